"""T5's design, small, with rotary positions and norms of queries and keys, which learn faster: it writes what gaps hide."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "span_corruption"
    config.model.update(
        {
            "encoder_layers": 3,
            "decoder_layers": 3,
            "qk_norm": True,
            "activation": "geglu",
            "tie_embeddings": False,
            "initializer": "xavier",
            "initializer_std": 1.0,  # of embeddings, as T5's: so the decoder soon finds the sentinels
        }
    )
    config.tokenizer.special_tokens = tuple(f"<extra_id_{number}>" for number in reversed(range(40)))
    config.corruption.update({"rate": 0.3, "mean_span_length": 2.0, "spans_anywhere": True})
    config.optimizer.learning_rate = 2e-3
    config.training.update({"num_steps": 4000, "eval_every": 500, "checkpoint_every": 500})
    config.training.sample_prompts = (  # pairs, as in the text that it learns from
        "zh: 我<extra_id_0>老师。\nen: I am a teacher.",
        "zh: 我是老师。\nen: I <extra_id_0> a teacher.",
    )
    return config
