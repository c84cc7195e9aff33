"""No flipped bit and no exchanged element goes unseen."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import checksums as module
from training.checksums import checksums

ARRAYS = {
    "matrix": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
    "cube": np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32),
    "zeros": np.zeros(17, np.float32),
    "scalar": np.int32(12345),
    "key": np.array([1, 2], np.uint32),
    "half": np.random.default_rng(2).normal(size=(4, 3)).astype(jnp.bfloat16),
    "bytes": np.arange(9, dtype=np.uint8),
}
SUMS = checksums(ARRAYS)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_flipped_bit_is_always_seen(data):
    name = data.draw(st.sampled_from(sorted(ARRAYS)))
    raw = bytearray(ARRAYS[name].tobytes())
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    flipped = np.frombuffer(bytes(raw), ARRAYS[name].dtype).reshape(ARRAYS[name].shape)
    found = checksums(ARRAYS | {name: flipped})
    assert found[name] != SUMS[name]
    assert {key: found[key] for key in found if key != name} == {key: SUMS[key] for key in SUMS if key != name}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_exchanged_elements_are_seen(data):
    matrix = ARRAYS["matrix"].copy().reshape(-1)
    i, j = data.draw(st.lists(st.integers(0, 14), min_size=2, max_size=2, unique=True))
    matrix[[i, j]] = matrix[[j, i]]
    assert checksums({"matrix": matrix.reshape(3, 5)})["matrix"] != SUMS["matrix"]


@pytest.mark.parametrize("name, kind", [("cube", np.uint32), ("half", np.uint16), ("bytes", np.uint8)])
def test_checksum_by_hand(name, kind):
    """Bits times 1, 3, 5, ... modulo 2^32."""
    bits = ARRAYS[name].view(kind).reshape(-1).astype(object)
    assert SUMS[name] == sum(int(b) * (2 * i + 1) for i, b in enumerate(bits)) % 2**32


def test_checksums_of_truths():
    truths = np.array([True, False, True, True])
    assert checksums({"mask": truths}) == checksums({"mask": truths.astype(np.uint8)}) == {"mask": 1 + 5 + 7}


@pytest.mark.parametrize("piece", [1, 6, 7, 50])
def test_large_arrays_are_summed_in_pieces_and_give_the_same(monkeypatch, piece):
    monkeypatch.setattr(module, "PIECE", piece)
    assert checksums(ARRAYS) == SUMS
