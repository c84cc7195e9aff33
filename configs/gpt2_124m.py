"""GPT-2 small (Radford et al. 2019), for 1, 2, 4 or 8 GPUs or TPUs of 16 GB; with more memory, fewer microbatches.

Runs as it is on the built-in corpus, which is far too small for it; give it yours, and a vocabulary to match:
--config.data.train='corpus/*.txt' --config.tokenizer.vocab_size=50257
"""

import dataclasses

from configs import base
from model import presets


def get_config():
    config = base.get_config()
    config.model.update(dataclasses.asdict(presets.gpt2("124m")) | {"dtype": "auto", "remat": "dots"})
    config.tokenizer.vocab_size = 8192
    config.data.sequence_length = 1024
    config.optimizer.update({"learning_rate": 6e-4, "warmup_steps": 700})
    config.training.update(
        {"num_steps": 20000, "batch_size": 512, "microbatches": 64, "eval_every": 500, "checkpoint_every": 500}
    )
    return config
