"""Dialogues: the assistant's turns of builtin:chat are learned, from runs/base, or init_from, on; then sample.py."""

from configs.finetune import causal_lm


def get_config():
    config = causal_lm.get_config()
    config.task = "chat"
    config.data.train = ("builtin:chat",)
    config.optimizer.learning_rate = 5e-4
    config.training.sample_prompts = ("What is your name?", "你叫什么名字？")
    return config
