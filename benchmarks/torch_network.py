"""The same Transformer in PyTorch, written as PyTorch is usually written, with our parameters copied in."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from model import TransformerConfig
from training.optimizer import OptimizerConfig

QKV = ("query", "key", "value")  # one product, as in nanoGPT
ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "swiglu": F.silu}


def norm(config: TransformerConfig) -> nn.Module:
    if config.norm == "layernorm":
        return nn.LayerNorm(config.embed_dim, config.norm_eps, bias=config.use_bias)
    return nn.RMSNorm(config.embed_dim, config.norm_eps)


class Block(nn.Module):
    """Attention and feed-forward, each after a norm, as many query as key heads."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.heads, self.activation = config.num_heads, ACTIVATIONS[config.activation]
        width, hidden, bias = config.embed_dim, config.mlp_dim, config.use_bias
        self.attention_norm, self.mlp_norm = norm(config), norm(config)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)
        self.up, self.down = nn.Linear(width, hidden, bias), nn.Linear(hidden, width, bias)
        self.gate = nn.Linear(width, hidden, bias) if config.activation == "swiglu" else None

    def forward(self, x, cos_sin):
        y = self.attention_norm(x)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in self.qkv(y).chunk(3, dim=-1))
        if cos_sin is not None:
            q, k = rotate(q, *cos_sin), rotate(k, *cos_sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        y = self.mlp_norm(x)
        h = self.activation(self.up(y)) if self.gate is None else self.up(y) * self.activation(self.gate(y))
        return x + self.down(h)


def rotate(x, cos, sin):
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)


class Network(nn.Module):
    """A decoder with tied embeddings, learned positions or RoPE."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.embed_dim)
        if config.position == "learned":
            self.positions = nn.Embedding(config.max_length, config.embed_dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.decoder_layers))
        self.final_norm = norm(config)

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1])
        x, cos_sin = self.tokens(tokens), None
        if self.config.position == "learned":
            x = x + self.positions(places)
        else:
            half = self.config.head_dim // 2
            angles = places[:, None] * self.config.rope_theta ** (-torch.arange(half) / half)
            cos_sin = angles.cos(), angles.sin()
        for block in self.blocks:
            x = block(x, cos_sin)
        return self.final_norm(x) @ self.tokens.weight.T


@torch.no_grad()
def copy_parameters(network: Network, params) -> None:
    """Our parameters (`kernel` [layer, in, out], heads apart) into PyTorch's (`weight` [out, in])."""

    def copy(target, values, transpose=False):
        array = np.array(values, np.float32).reshape(target.shape[::-1] if transpose else target.shape)
        target.copy_(torch.from_numpy(array.T if transpose else array))

    def copy_layer(module, values, part=0, parts=1):
        for name, array in values.items():
            target = module.bias if name == "bias" else module.weight
            copy(target.chunk(parts)[part], array, transpose=name == "kernel")

    copy(network.tokens.weight, params["token_embedding"]["embedding"])
    if "position_embedding" in params:
        copy(network.positions.weight, params["position_embedding"]["embedding"])
    copy_layer(network.final_norm, params["decoder"]["final_norm"])
    blocks = params["decoder"]["blocks"]
    layers = blocks["attention"] | blocks["mlp"] | {name: blocks[name] for name in ("attention_norm", "mlp_norm")}
    for number, block in enumerate(network.blocks):
        for name, values in layers.items():
            values = {part: array[number] for part, array in values.items()}
            if name in QKV:
                copy_layer(block.qkv, values, QKV.index(name), len(QKV))
            else:
                copy_layer(getattr(block, name), values)


def make_step(config: TransformerConfig, optimizer: OptimizerConfig, params, inputs, targets):
    """`step() -> loss`: one step of AdamW, clipped, on the batch, from our parameters."""
    network = Network(config)
    copy_parameters(network, params)
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": optimizer.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, optimizer.learning_rate, (optimizer.b1, optimizer.b2), optimizer.eps, fused=True)
    inputs, targets = torch.from_numpy(inputs).long(), torch.from_numpy(targets).long()

    def step() -> float:
        loss = F.cross_entropy(network(inputs).flatten(0, 1), targets.flatten())
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), optimizer.clip_norm)
        adamw.step()
        return loss.item()

    return step
