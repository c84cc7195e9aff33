"""Characters instead of pieces: no tokenizer to think about, and the letters show what the network has learned."""

from configs import base


def get_config():
    config = base.get_config()
    config.tokenizer.update(
        {"model_type": "char", "vocab_size": 4096, "character_coverage": 1.0, "byte_fallback": False}
    )
    config.data.sequence_length = 256
    config.training.update({"batch_size": 8, "sample_tokens": 96})
    return config
