"""T5's design, small: it writes the spans that sentinels stand for."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "span_corruption"
    config.model.update(
        {
            "encoder_layers": 3,
            "decoder_layers": 3,
            "position": "relative_bias",
            "activation": "geglu",
            "tie_embeddings": False,
            "initializer": "xavier",
            "initializer_std": 1.0,  # of embeddings, as T5's: so the decoder soon finds the sentinels
        }
    )
    config.tokenizer.special_tokens = tuple(f"<extra_id_{number}>" for number in reversed(range(40)))
    config.corruption.update({"rate": 0.3, "spans_anywhere": True})
    config.optimizer.learning_rate = 2e-3
    config.training.update({"num_steps": 3000, "eval_every": 500, "checkpoint_every": 500})
    config.training.sample_prompts = (  # pairs, as in the text that it learns from
        "zh: 我<extra_id_0>老师。\nen: I am a teacher.",
        "zh: 我是老师。\nen: I am a <extra_id_0>.",
    )
    return config
