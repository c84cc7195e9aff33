"""Dialogues: the assistant's turns of builtin:chat are learned, from runs/base, or init_from, on; then sample.py --chat."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "chat"
    config.init_from = "runs/base"
    config.model.dropout = 0.1
    config.data.train = ("builtin:chat",)
    config.optimizer.update({"learning_rate": 5e-4, "schedule": "linear", "warmup_steps": 20, "weight_decay": 0.01})
    config.optimizer.update({"b2": 0.999, "final_fraction": 0.0})
    config.training.update({"num_steps": 500, "eval_every": 100, "checkpoint_every": 100})
    config.training.sample_prompts = ("What is your name?", "你叫什么名字？")
    return config
