"""The network written again in NumPy and float64: one sequence, one head, one query at a time. Slow, plain, no JAX.

Parameters are the network's own nested dicts, with arrays of float64. Nothing here is shared with `model/`.
"""

import math

import numpy as np


def forward(params, config, tokens, positions, segments):
    """Logits [B, T, V] of token ids, positions and segment ids [B, T]. A padding token attends to nothing."""
    return np.stack([_sequence(params, config, *row) for row in zip(tokens, positions, segments, strict=True)])


def _sequence(params, config, tokens, positions, segments):
    table = params["token_embedding"]["embedding"]
    x = table[tokens]
    if config.scale_embeddings:
        x = x * math.sqrt(config.embed_dim)
    if config.position == "learned":
        x = x + params["position_embedding"]["embedding"][positions]
    if config.position == "sinusoidal":
        x = x + sinusoids(positions, config.embed_dim)
    mask = visible(positions, positions, segments, segments)
    for layer in range(config.decoder_layers):
        x = _block(_select(params["decoder"]["blocks"], layer), config, x, mask, positions)
    if config.norm_position == "pre":
        x = norm(params["final_norm"], config, x)
    return x @ (table.T if config.tie_embeddings else params["head"]["kernel"])


def _block(params, config, x, mask, positions):
    rope = positions if config.position == "rope" else None
    if config.norm_position == "pre":
        h = norm(params["attention_norm"], config, x)
        x = x + attention(params["attention"], config, h, h, mask, rope)
        return x + feed_forward(params["mlp"], config, norm(params["mlp_norm"], config, x))
    x = norm(params["attention_norm"], config, x + attention(params["attention"], config, x, x, mask, rope))
    return norm(params["mlp_norm"], config, x + feed_forward(params["mlp"], config, x))


def _select(tree, layer):
    if isinstance(tree, dict):
        return {name: _select(branch, layer) for name, branch in tree.items()}
    return tree[layer]


def visible(query_positions, key_positions, query_segments, key_segments, causal=True):
    """Which key each query may see, bool [T, S], case by case."""
    mask = np.zeros((len(query_positions), len(key_positions)), bool)
    for t in range(len(query_positions)):
        for s in range(len(key_positions)):
            padding = key_segments[s] == 0
            other_text = key_segments[s] != query_segments[t]
            future = causal and key_positions[s] > query_positions[t]
            mask[t, s] = not (padding or other_text or future)
    return mask


def attention(params, config, x, context, mask, rope_positions=None):
    """From each of x [T, D] to those of context [S, C] that mask [T, S] allows: [T, D]."""
    y = np.zeros((len(x), config.embed_dim))
    for head in range(config.num_heads):
        kv_head = head * config.num_kv_heads // config.num_heads
        q = _project(params["query"], x, head)
        k = _project(params["key"], context, kv_head)
        v = _project(params["value"], context, kv_head)
        if config.qk_norm:
            q = norm(params["query_norm"], config, q)
            k = norm(params["key_norm"], config, k)
        if rope_positions is not None:
            q = rotate(q, rope_positions, config.rope_theta)
            k = rotate(k, rope_positions, config.rope_theta)
        for t in range(len(x)):
            if mask[t].any():
                scores = k[mask[t]] @ q[t] / math.sqrt(config.head_dim)
                weights = np.exp(scores - scores.max())
                y[t] += weights @ v[mask[t]] / weights.sum() @ params["out"]["kernel"][head]
    return y + params["out"].get("bias", 0)


def _project(params, x, head):
    y = x @ params["kernel"][:, head]
    return y + params["bias"][head] if "bias" in params else y


def norm(params, config, x):
    if config.norm == "layernorm":
        x = x - x.mean(-1, keepdims=True)
    y = x / np.sqrt(np.mean(x**2, -1, keepdims=True) + config.norm_eps)
    return y * params["scale"] + params.get("bias", 0)


def feed_forward(params, config, x):
    h = _dense(params["up"], x)
    if config.activation in ("swiglu", "geglu"):
        h = h * activate(config.activation, _dense(params["gate"], x))
    else:
        h = activate(config.activation, h)
    return _dense(params["down"], h)


def _dense(params, x):
    return x @ params["kernel"] + params.get("bias", 0)


def activate(name, x):
    """The activation, of the gate where it is a gated one."""
    if name == "relu":
        return np.where(x > 0, x, 0)
    if name == "swiglu":
        return x / (1 + np.exp(-x))
    if name == "gelu":
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    if name in ("gelu_tanh", "geglu"):
        return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    raise ValueError(name)


def sinusoids(positions, embed_dim):
    table = np.zeros((len(positions), embed_dim))
    for row, position in enumerate(positions):
        for column in range(embed_dim):
            angle = position / 10000 ** (column // 2 * 2 / embed_dim)
            table[row, column] = math.sin(angle) if column % 2 == 0 else math.cos(angle)
    return table


def rotate(x, positions, theta):
    """RoPE on x [T, H]: column i and column i + H/2 are one complex number, turned by position * theta^(-2i/H)."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-2 * np.arange(half) / x.shape[-1])
    turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.outer(positions, frequencies))
    return np.concatenate([turned.real, turned.imag], axis=-1)
