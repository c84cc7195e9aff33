"""A larger model for one Colab TPU or GPU: a quarter of an hour on the built-in corpus, or hours on your own text."""

from configs import base


def get_config():
    config = base.get_config()
    config.model.update({"decoder_layers": 8, "embed_dim": 512, "num_heads": 8, "mlp_dim": 1408, "dropout": 0.1})
    config.tokenizer.vocab_size = 4096
    config.data.sequence_length = 256
    config.optimizer.update({"learning_rate": 1e-3, "warmup_steps": 100})
    config.training.update({"num_steps": 2000, "batch_size": 64, "eval_every": 250, "checkpoint_every": 250})
    return config
