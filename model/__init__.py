"""The network: mathematics on arrays, with no files, flags or meshes.

Read in this order: `config`, `layers`, `positions`, `attend`, `attention`, `transformer`, `parameters`. `lora` puts adapters
beside the parameters, and `presets` names published shapes.

One letter an axis, in the names of arrays (`q_BTNH`) and in einsums:

    B batch          T query length     S key length       L layers
    D model width    F hidden width     V vocabulary
    N query heads    K key/value heads  H size of a head
"""

from model.attention import Cache, Tokens
from model.config import TransformerConfig
from model.transformer import Output, Transformer

__all__ = ["Cache", "Output", "Tokens", "Transformer", "TransformerConfig"]
