"""The network written again in NumPy and float64: one sequence, one head, one query at a time. Slow, plain, no JAX.

Parameters are the network's own nested dicts, with arrays of float64. Nothing here is shared with `model/`.
"""

import math

import numpy as np


def forward(params, config, tokens, positions, segments, source=None, look=None):
    """Logits [B, T, V] of token ids, positions and segment ids [B, T]; `source` is three such arrays for the encoder.

    A padding token attends to nothing. `look` is shown what there is on the way: (what, stack, layer, segments, array).
    """
    rows = zip(tokens, positions, segments, *(source or ()), strict=True)
    look = look or (lambda *_: None)
    return np.stack([_sequence(params, config, row[:3], row[3:], look) for row in rows])


def _sequence(params, config, own, source, look):
    if config.decoder_layers == 0:
        x = _stack(params, "encoder", config, config.encoder_layers, own, False, look)
    else:
        context = _stack(params, "encoder", config, config.encoder_layers, source, False, look) if source else None
        x = _stack(params, "decoder", config, config.decoder_layers, own, True, look, context, source)
    return _head(params, config, x)


def _head(params, config, x):
    head = params.get("head", {})
    if config.head == "transform":
        x = norm(head["norm"], config, activate(config.activation, _dense(head["transform"], x)))
    if config.scale_logits:
        x = x / math.sqrt(config.embed_dim)
    table = params["token_embedding"]["embedding"].T if config.tie_embeddings else head["output"]["kernel"]
    return x @ table + head.get("bias", 0)


def _embed(params, config, tokens, positions):
    x = params["token_embedding"]["embedding"][tokens]
    if config.scale_embeddings:
        x = x * math.sqrt(config.embed_dim)
    if config.position == "learned":
        x = x + params["position_embedding"]["embedding"][positions + config.position_offset]
    if config.position == "sinusoidal":
        x = x + sinusoids(positions, config.embed_dim)
    if config.num_token_types:
        x = x + params["token_type_embedding"]["embedding"][0]
    return norm(params["embedding_norm"], config, x) if config.embedding_norm else x


def _stack(params, name, config, depth, own, causal, look, context=None, source=None):
    tokens, positions, segments = own
    x, stack = _embed(params, config, tokens, positions), params[name]
    mask = visible(positions, positions, segments, segments, causal, config.sliding_window)
    bias = None
    if config.position == "relative_bias":
        bias = np.array([[relative_bias(stack, config, s - t, causal) for s in positions] for t in positions])
    rope = positions / config.rope_factor if config.position == "rope" else None  # divided: the linear scaling
    cross_mask = None if context is None else visible(positions, source[1], segments, source[2], causal=False)
    for layer in range(depth):
        block = _select(stack["blocks"], layer)

        def scores(what, array, layer=layer):
            look(what, name, layer, segments, array)

        sublayers = {
            "attention": lambda h, p=block, see=scores: attention(
                p["attention"], config, h, h, mask, rope, bias, lambda array: see("attention", array)
            )
        }
        if context is not None:
            sublayers["cross_attention"] = lambda h, p=block, see=scores: attention(
                p["cross_attention"], config, h, context, cross_mask, look=lambda array: see("cross_attention", array)
            )
        sublayers["mlp"] = lambda h, p=block: feed_forward(p["mlp"], config, h)
        for sublayer, function in sublayers.items():
            scale = block[f"{sublayer}_norm"]
            if config.norm_position == "pre":
                x = x + function(norm(scale, config, x))
            else:
                x = norm(scale, config, x + function(x))
        look("residual", name, layer, segments, x)
    return norm(stack["final_norm"], config, x) if config.norm_position == "pre" else x


def relative_bias(stack, config, ahead, causal):
    """T5's bias [N] for a key so many places ahead, found by walking through the buckets."""
    buckets = config.relative_buckets // (1 if causal else 2)
    distance = max(-ahead, 0) if causal else abs(ahead)
    exact = buckets // 2
    bucket = distance
    if distance >= exact:
        ratio = math.log(distance / exact) / math.log(config.relative_max_distance / exact)
        bucket = min(exact + int(ratio * (buckets - exact)), buckets - 1)
    if not causal and ahead > 0:
        bucket += buckets
    return stack["relative_bias"]["embedding"][bucket]


def _select(tree, layer):
    if isinstance(tree, dict):
        return {name: _select(branch, layer) for name, branch in tree.items()}
    return tree[layer]


def visible(query_positions, key_positions, query_segments, key_segments, causal=True, window=None):
    """Which key each query may see, bool [T, S], case by case."""
    mask = np.zeros((len(query_positions), len(key_positions)), bool)
    for t in range(len(query_positions)):
        for s in range(len(key_positions)):
            padding = key_segments[s] == 0
            other_text = key_segments[s] != query_segments[t]
            future = causal and key_positions[s] > query_positions[t]
            far = window is not None and abs(key_positions[s] - query_positions[t]) >= window
            mask[t, s] = not (padding or other_text or future or far)
    return mask


def attention(params, config, x, context, mask, rope_positions=None, bias=None, look=lambda scores: None):
    """From each of x [T, D] to those of context [S, C] that mask [T, S] allows, with bias [T, S, N] on the scores: [T, D].

    `look` is shown the scores of each query and head.
    """
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
                scores = k[mask[t]] @ q[t] / (math.sqrt(config.head_dim) if config.scale_attention else 1)
                if bias is not None:
                    scores = scores + bias[t, mask[t], head]
                look(scores)
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
