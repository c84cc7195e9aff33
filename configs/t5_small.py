"""T5 v1.1 small (Raffel et al. 2020), for one or more GPUs or TPUs.

Runs as it is on the built-in corpus, which is far too small for it; give it yours, and a vocabulary to match:
--config.data.train='corpus/*.txt' --config.tokenizer.vocab_size=32100
"""

import dataclasses

from configs import base
from model.presets import preset


def get_config():
    config = base.get_config()
    config.task = "span_corruption"
    config.model.update(dataclasses.asdict(preset("t5", "v1.1-small")) | {"dtype": "auto", "dropout": 0.0})
    sentinels = tuple(f"<extra_id_{number}>" for number in reversed(range(100)))
    config.tokenizer.update({"vocab_size": 8192, "special_tokens": sentinels})
    config.data.sequence_length = 512
    config.optimizer.update(
        {"name": "adafactor", "learning_rate": 0.01, "schedule": "rsqrt", "warmup_steps": 10000, "weight_decay": 0.0}
    )
    config.training.update(
        {"num_steps": 500000, "batch_size": 128, "microbatches": 4, "eval_every": 1000, "checkpoint_every": 1000}
    )
    config.training.sample_prompts = ("zh: 我<extra_id_0>学生。", "en: I <extra_id_0> student.")
    return config
