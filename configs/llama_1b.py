"""The shape of Llama 3.2 1B, parameters and optimizer divided over all devices: 8 or 16 of 16 GB.

Give it your text, and a vocabulary to match: --config.data.train='corpus/*.jsonl' --config.tokenizer.vocab_size=64000
"""

import dataclasses

from configs import base
from model import presets


def get_config():
    config = base.get_config()
    config.model.update(dataclasses.asdict(presets.llama("llama3.2-1b")) | {"dtype": "auto", "remat": "full"})
    config.tokenizer.vocab_size = 8192
    config.data.sequence_length = 2048
    config.loss.z_loss = 1e-4
    config.optimizer.update({"learning_rate": 3e-4, "warmup_steps": 2000})
    config.training.update(
        {"num_steps": 100000, "batch_size": 512, "microbatches": 32, "eval_every": 1000, "checkpoint_every": 1000}
    )
    config.mesh.update({"data": 1, "fsdp": -1})
    return config
