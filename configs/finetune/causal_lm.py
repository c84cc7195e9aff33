"""Goes on from the parameters of a run's or converted folder, init_from, on other text, at a low learning rate."""

from configs import base


def get_config():
    config = base.get_config()
    config.init_from = "runs/base"
    config.model.dropout = 0.1
    config.optimizer.update({"learning_rate": 5e-5, "schedule": "linear", "warmup_steps": 20, "weight_decay": 0.01})
    config.optimizer.update({"b2": 0.999, "final_fraction": 0.0})
    config.training.update({"num_steps": 500, "eval_every": 100, "checkpoint_every": 100})
    return config
