"""All classes of a text, none or several: give data.train, and runs/bert_tiny or another encoder in init_from."""

from configs.finetune import classification


def get_config():
    config = classification.get_config()
    config.task = "multilabel"
    config.data.update({"train": ("tags.jsonl",), "label_field": "label"})
    config.training.best_metric = "macro_f1"
    return config
