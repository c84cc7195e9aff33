"""Word vectors by skip-gram, for word_vectors.py: minutes on a CPU, and as wide as base.py's network."""

from configs import base


def get_config():
    config = base.get_config()
    config.optimizer.update(
        {
            "name": "adam",
            "learning_rate": 5e-3,
            "schedule": "linear",
            "final_fraction": 0.0,
            "weight_decay": 0.0,
            "clip_norm": 0.0,
            "b2": 0.999,
        }
    )
    config.training.update(
        {
            "num_steps": 3000,
            "batch_size": 1024,  # pairs of words
            "log_every": 500,
            "checkpoint_every": 1000,
            "sample_prompts": ("老师", "吃", "teacher", "eat"),  # their nearest words are shown at the end
        }
    )
    config.words.subsample = 1e-4  # the text is small, and its frequent words are in every line
    return config
