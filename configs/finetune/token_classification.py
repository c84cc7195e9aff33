"""Names in texts, as B-TYPE, I-TYPE and O of each word: give data.train, and runs/bert_tiny or another encoder in init_from."""

from configs.finetune import classification


def get_config():
    config = classification.get_config()
    config.task = "token_classification"
    config.data.update({"train": ("names.jsonl",), "valid_fraction": 0.1, "sequence_length": 128})
    config.training.update({"num_steps": 1000, "eval_every": 200, "checkpoint_every": 200, "best_metric": "f1"})
    return config
