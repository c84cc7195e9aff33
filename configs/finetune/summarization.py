"""A summary of each text, from a decoder, runs/base or init_from; `python -m benchmarks.docstrings` writes the examples."""

from configs.finetune import translation


def get_config():
    config = translation.get_config()
    config.model.max_length = 256
    config.data.update(
        {
            "train": ("docstrings.jsonl",),
            "source_field": "text",
            "target_field": "summary",
            "prompt": "{source}\n\nSummary: ",
            "sequence_length": 256,
            "valid_fraction": 0.1,
        }
    )
    config.training.sample_prompts = ("Return the number of items in the list. It is an error if the list is empty.",)
    return config
