"""Chinese to English: a decoder that has read both languages, runs/base or init_from, learns to write the translation."""

from configs.finetune import causal_lm


def get_config():
    config = causal_lm.get_config()
    config.task = "seq2seq"
    config.data.train = ("builtin:hsk/zh-en",)
    config.data.prompt = "zh: {source}\nen: "  # as in the pairs that it has read
    config.optimizer.update({"learning_rate": 8e-4, "warmup_steps": 40, "weight_decay": 0.05})
    config.training.update({"num_steps": 800, "eval_every": 160, "checkpoint_every": 160})
    config.training.sample_prompts = ("你好。", "我是老师。")
    return config
