"""BERT's design, small, with rotary positions and more masks, which learn faster: it fills in [MASK]s."""

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
            "activation": "gelu",
            "use_bias": True,
            "head": "transform",
            "head_bias": True,
        }
    )
    config.tokenizer.special_tokens = ("[MASK]",)
    config.corruption.rate = 0.3  # Wettig et al. 2022, arXiv:2202.08005
    config.optimizer.learning_rate = 2.4e-3
    config.training.update({"num_steps": 2000, "eval_every": 400, "checkpoint_every": 400})
    config.training.sample_prompts = ("zh: 我[MASK]学生。", "en: I am [MASK] student.")
    return config
