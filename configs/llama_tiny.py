"""Llama 3's design, small: `base.py`, with two query heads to each key/value head and a head of its own."""

from configs import base


def get_config():
    config = base.get_config()
    config.model.update({"num_kv_heads": 2, "tie_embeddings": False, "rope_theta": 500000.0})
    return config
