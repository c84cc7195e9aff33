"""Seconds on any machine: for tests, and to try a change."""

from configs import base


def get_config():
    config = base.get_config()
    config.model.update({"decoder_layers": 2, "embed_dim": 32, "num_heads": 2, "mlp_dim": 64})
    config.data.sequence_length = 64
    config.optimizer.warmup_steps = 5
    config.training.update(
        {
            "num_steps": 30,
            "batch_size": 8,
            "log_every": 5,
            "eval_every": 15,
            "checkpoint_every": 15,
            "sample_tokens": 12,
        }
    )
    return config
