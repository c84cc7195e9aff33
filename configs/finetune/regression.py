"""A number of a text: the level, 1 to 6, of graded Chinese sentences, from runs/bert_tiny, or init_from."""

from configs.finetune import classification


def get_config():
    config = classification.get_config()
    config.task = "regression"
    config.data.label_field = "hsk_level"
    config.training.best_metric = "spearman"
    return config
