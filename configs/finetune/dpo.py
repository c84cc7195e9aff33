"""Preferences by DPO, from what configs/finetune/chat.py has learned, runs/chat, or init_from.

data.train names your pairs, with the fields prompt, chosen and rejected. Those of builtin:chat prefer the answer to a question
to that to another one.
"""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "dpo"
    config.init_from = "runs/chat"
    config.data.update({"train": ("builtin:chat",), "packing": "pad"})  # a pair a row
    config.data.update({"sequence_length": 128, "valid_fraction": 0.1})
    config.loss.dpo_beta = 0.1
    config.optimizer.update({"learning_rate": 1e-5, "schedule": "linear", "warmup_steps": 10, "weight_decay": 0.0})
    config.optimizer.update({"b2": 0.999, "final_fraction": 0.0})
    config.training.update({"num_steps": 200, "eval_every": 50, "checkpoint_every": 50})
    config.training.sample_prompts = ("What is your name?", "你叫什么名字？")
    return config
