"""Preferences by DPO, from what configs/finetune/chat.py has learned, runs/chat, or init_from.

data.train names your pairs, with the fields prompt, chosen and rejected. Those of builtin:chat prefer the answer to a question
to that to another one.
"""

from configs.finetune import chat


def get_config():
    config = chat.get_config()
    config.task = "dpo"
    config.init_from = "runs/chat"
    config.model.dropout = 0.0
    config.data.update({"packing": "pad", "sequence_length": 128, "valid_fraction": 0.1})  # a pair a row
    config.loss.dpo_beta = 0.1
    config.optimizer.update({"learning_rate": 1e-5, "warmup_steps": 10, "weight_decay": 0.0})
    config.training.update({"num_steps": 200, "eval_every": 50, "checkpoint_every": 50})
    return config
