"""A summary of each text, from a decoder, runs/base or init_from; `python -m benchmarks.docstrings` writes the examples."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "seq2seq"
    config.init_from = "runs/base"
    config.model.update({"max_length": 256, "dropout": 0.1})
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
    config.optimizer.update({"learning_rate": 8e-4, "schedule": "linear", "warmup_steps": 40, "weight_decay": 0.05})
    config.optimizer.update({"b2": 0.999, "final_fraction": 0.0})
    config.training.update({"num_steps": 800, "eval_every": 160, "checkpoint_every": 160})
    config.training.sample_prompts = ("Return the number of items in the list. It is an error if the list is empty.",)
    return config
