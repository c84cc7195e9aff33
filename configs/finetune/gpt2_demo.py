"""Published GPT-2, taken further on train.txt by Adam at 1e-4; what it makes of valid.txt is printed after each epoch.

It starts from runs/gpt2: python convert.py from-hf openai-community/gpt2 runs/gpt2
"""

from configs import base


def get_config():
    config = base.get_config()
    config.init_from = "runs/gpt2"
    config.data.update({"train": ("train.txt",), "valid": ("valid.txt",), "sequence_length": 256})
    config.optimizer.update({"name": "adam", "learning_rate": 1e-4, "schedule": "constant", "warmup_steps": 0})
    config.optimizer.update({"weight_decay": 0.0, "b2": 0.999})
    config.training.update({"epochs": 3, "sample_prompts": ("猫是一种",)})
    return config
