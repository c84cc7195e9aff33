"""The shape of Llama 2 7B, divided over 64 devices of 16 GB or more; try `train.py --plan="64 x TPU v5e"` on it."""

import dataclasses

from configs import llama_1b
from model import presets


def get_config():
    config = llama_1b.get_config()
    config.model.update(dataclasses.asdict(presets.llama("llama2-7b")) | {"dtype": "auto", "remat": "full"})
    config.training.update({"batch_size": 1024, "microbatches": 16})
    return config
