"""GPT-2's design, small: learned positions, LayerNorm, tanh GELU, biases; minutes on two CPU cores."""

from configs import base


def get_config():
    config = base.get_config()
    config.model.update(
        {
            "norm": "layernorm",
            "position": "learned",
            "activation": "gelu_tanh",
            "mlp_dim": None,
            "use_bias": True,
        }
    )
    return config
