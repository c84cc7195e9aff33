"""BERT base (Devlin et al. 2018) as RoBERTa trains it: masks only, for one or more GPUs or TPUs.

Runs as it is on the built-in corpus, which is far too small for it; give it yours, and a vocabulary to match:
--config.data.train='corpus/*.txt' --config.tokenizer.vocab_size=30522
"""

import dataclasses

from configs import base
from model.presets import preset


def get_config():
    config = base.get_config()
    config.task = "masked_lm"
    config.model.update(dataclasses.asdict(preset("bert", "base-uncased")) | {"dtype": "auto"})
    config.tokenizer.update({"vocab_size": 8192, "special_tokens": ("[MASK]",)})
    config.data.sequence_length = 512
    config.optimizer.update(
        {"learning_rate": 6e-4, "warmup_steps": 2000, "weight_decay": 0.01, "b2": 0.98, "eps": 1e-6}
    )
    config.training.update(
        {"num_steps": 100000, "batch_size": 512, "microbatches": 16, "eval_every": 1000, "checkpoint_every": 1000}
    )
    config.training.sample_prompts = ("zh: 我[MASK]学生。", "en: I am [MASK] student.")
    return config
