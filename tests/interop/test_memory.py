"""The memory that a conversion takes."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from interop.families import FAMILIES
from interop.weights import empty_params
from interop.writer import write_published
from tests.conftest import ROOT
from tests.interop.folders import small, write_tokenizer

MEASURED = """
import re, sys
import convert
convert.main()
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


def convert_measured(folder: Path, **sizes) -> tuple[int, int]:
    """The bytes of a drawn model's parameters, and the most memory that its conversion takes, in a process of its own."""
    folder.mkdir()
    config = small("llama", num_heads=8, num_kv_heads=8, **sizes)
    generator = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: generator.standard_normal(leaf.shape, np.float32), empty_params(config)
    )  # which does not compress
    write_published(folder, FAMILIES["llama"], config, params, {}, 1 << 26)
    write_tokenizer(folder)
    arguments = [sys.executable, "-c", MEASURED, "from-hf", str(folder), str(folder / "run")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params)), 1024 * int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most memory of one program")
def test_it_is_at_most_1_3_times_the_parameters(tmp_path):
    little, base = convert_measured(tmp_path / "small", decoder_layers=24, embed_dim=192, head_dim=24, mlp_dim=528)
    much, peak = convert_measured(tmp_path / "large", decoder_layers=24, embed_dim=512, head_dim=64, mlp_dim=1408)
    assert little < 5e7 and much > 3e8
    ratio = (peak - base) / (much - little)  # so that Python, JAX and what is of constant size do not count
    assert ratio < 1.3, ratio
