"""What is said of devices, of the network's size and of its work."""

import types

import jax
import pytest

from model import TransformerConfig, presets
from model.parameters import abstract_params
from training.hardware import KINDS, default_dtype, describe_devices, peak_flops
from training.model_size import count_parameters, flops_per_token


@pytest.mark.parametrize(
    "kind, flops",
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L4", 121e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("TPU v5", 459e12),
        ("TPU v4", 275e12),
        ("NVIDIA H100 NVL", 835e12),
        ("Tesla T4", 8.1e12),
    ],
)
def test_data_sheets(monkeypatch, kind, flops):
    monkeypatch.setattr("jax.devices", lambda: [types.SimpleNamespace(device_kind=kind)])
    assert peak_flops() == (flops, "data sheet")


@pytest.mark.parametrize(
    "kind, platform, dtype",
    [
        ("NVIDIA A100-SXM4-40GB", "gpu", "bfloat16"),
        ("Tesla T4", "gpu", "float32"),
        ("unknown", "gpu", "bfloat16"),
        ("cpu", "cpu", "float32"),
    ],
)
def test_the_dtype_that_is_fast(monkeypatch, kind, platform, dtype):
    monkeypatch.setattr("jax.devices", lambda: [types.SimpleNamespace(device_kind=kind)])
    monkeypatch.setattr("jax.default_backend", lambda: platform)
    assert default_dtype() == dtype


def test_no_start_hides_a_longer_one():
    names = list(KINDS)
    for at, name in enumerate(names):
        assert not any(later.startswith(name) for later in names[at + 1 :]), name


def test_elsewhere_than_on_a_cpu_a_large_bfloat16_product_is_timed(monkeypatch):
    """One of 1024 rows in float32 is over before an accelerator has got going. Here a clock and a device that ticks it."""
    clock, products = iter(range(100)), []

    class Matrix:
        def __matmul__(self, other):
            return self

        def block_until_ready(self):
            return self

    monkeypatch.setattr("jax.devices", lambda: [types.SimpleNamespace(device_kind="unknown")])
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    monkeypatch.setattr("jax.jit", lambda function: function)
    monkeypatch.setattr("jax.numpy.ones", lambda *what: products.append(what) or Matrix())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert peak_flops() == (2 * 8192**3, "measured")
    assert products == [((8192, 8192), jax.numpy.bfloat16)]


def test_measured():
    flops, source = peak_flops()
    assert source == "measured" and 1e7 < flops < 1e13
    assert describe_devices() == "8 x cpu"


# Parameters as the papers and the published checkpoints count them.
@pytest.mark.parametrize(
    "config, total",
    [
        (presets.gpt2("124m"), 124_439_808),
        (presets.gpt2("1558m"), 1_557_611_200),
        (presets.llama("llama3.2-1b"), 1_235_814_400),
        (presets.llama("llama3-8b"), 8_030_261_248),
        (presets.llama("tinyllama-1.1b"), 1_100_048_384),
    ],
)
def test_parameters_and_flops(config, total):
    """Of work a token: 6 a weight of a matrix product, 12 L T N H for attention (PaLM, appendix B)."""
    shapes = abstract_params(config)
    counts = count_parameters(shapes)
    assert sum(counts.values()) == total

    layers, width, heads = config.decoder_layers, config.embed_dim, config.num_heads * config.head_dim
    products = 2 * width * heads + 2 * width * config.num_kv_heads * config.head_dim
    products += (3 if config.activation == "swiglu" else 2) * width * config.mlp_dim
    products = layers * products + width * config.vocab_size
    assert flops_per_token(config, shapes, 512) == 6 * products + 12 * layers * 512 * heads


# Of width 4, 2 heads of 2, 8 hidden units and 10 pieces: a layer's attention has 4 x 16 weights, its feed-forward 2 x 32, the
# output 40. Rows of 3 tokens; the encoder-decoder's encoder reads 5 others.
SMALL = {"vocab_size": 10, "embed_dim": 4, "num_heads": 2, "mlp_dim": 8, "activation": "gelu", "max_length": 8}


@pytest.mark.parametrize(
    "changes, source, flops",
    [
        ({"decoder_layers": 2}, 0, 6 * (2 * 128 + 40) + 12 * 2 * 4 * 3),
        ({"decoder_layers": 2, "tie_embeddings": False}, 0, 6 * (2 * 128 + 40) + 12 * 2 * 4 * 3),
        ({"encoder_layers": 2, "head": "transform", "pooler": True}, 0, 6 * (2 * 128 + 16 + 40) + 12 * 2 * 4 * 3),
        # A class is read from a summary, at each place, by weights 4 x 4 and 4 x 3.
        (
            {"encoder_layers": 2, "head": "classes", "num_classes": 3, "pooler": True},
            0,
            6 * (2 * 128 + 16 + 12) + 12 * 2 * 4 * 3,
        ),
        (
            {"encoder_layers": 1, "decoder_layers": 2},
            5,
            # Read tokens meet the encoder, and both layers' keys and values; written ones the rest, and both texts' keys.
            (5 * (6 * (128 + 2 * 32) + 12 * 4 * 5) + 3 * (6 * (2 * (128 + 32) + 40) + 12 * 2 * 4 * (3 + 5))) / 8,
        ),
    ],
)
def test_flops_by_hand(changes, source, flops):
    config = TransformerConfig(**SMALL | changes)
    shapes = abstract_params(config)
    assert flops_per_token(config, shapes, 3, source) == pytest.approx(flops)


def test_parameters_of_a_layer_without_a_name_here():
    assert count_parameters({"adapter": {"kernel": jax.numpy.ones((2, 3))}}) == {"other": 6}
