"""BERT's design, small: it learns to fill in [MASK]s, in minutes on two CPU cores."""

from configs import base


def get_config():
    config = base.get_config()
    config.task = "masked_lm"
    config.model.update(
        {
            "encoder_layers": 4,
            "decoder_layers": 0,
            "norm": "layernorm",
            "norm_position": "post",
            "embedding_norm": True,
            "position": "learned",
            "activation": "gelu",
            "use_bias": True,
            "head": "transform",
            "head_bias": True,
        }
    )
    config.tokenizer.special_tokens = ("[MASK]",)
    config.training.sample_prompts = ("zh: 我[MASK]学生。", "en: I am [MASK] student.")
    return config
