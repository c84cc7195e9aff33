"""Classes of texts: the topic of graded Chinese sentences, told by an encoder that starts from runs/bert_tiny, or init_from."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "classification"
    config.init_from = "runs/bert_tiny"
    config.model.update({"head": "classes", "dropout": 0.1})
    config.data.update(
        {
            "train": ("builtin:hsk/zh",),
            "label_field": "topic",
            "valid_fraction": 0.2,
            "sequence_length": 32,
            "packing": "pad",  # a text a row
        }
    )
    config.optimizer.update({"learning_rate": 5e-4, "schedule": "linear", "warmup_steps": 40, "weight_decay": 0.01})
    config.optimizer.update({"b2": 0.999, "final_fraction": 0.0})
    config.training.update({"num_steps": 650, "batch_size": 32, "eval_every": 108, "checkpoint_every": 108})
    config.training.sample_prompts = ()
    return config
