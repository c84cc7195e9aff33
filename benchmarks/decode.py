"""Tokens a second of greedy decoding, and the ratio to transformers' `generate` with the same weights, measured in turns.

    python -m benchmarks.decode [--batch 1] [--batch 8] [--new_tokens 64] [--rounds 7] [--no-transformers]

GPT-2 small's shape with random weights, in float32, in bfloat16 on a GPU. The tokens of both must be the same. Beside it,
the bandwidth that a plain matrix-vector product reaches: at batch 1 decoding can be no faster than reading the parameters.
"""

import argparse
import dataclasses
import functools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.train import compare, in_turns
from common.errors import UserError
from generation.decoder import generate
from generation.rows import Method
from interop.families import FAMILIES
from interop.writer import write_published
from model import TransformerConfig, presets
from model.parameters import init_params, split_layers

PROMPT = 16  # tokens
POSITIONS = (64, 256, 768)  # where the time of a token is measured


class Ours:
    """Greedy continuations of random prompts."""

    def __init__(self, params, config: TransformerConfig, batch: int, new_tokens: int):
        self.params, self.config, self.new_tokens = params, config, new_tokens
        self.prompts = np.random.default_rng(0).integers(0, config.vocab_size, (batch, PROMPT)).tolist()
        self.method = Method((), jnp.array([-1]), greedy=True)

    def run(self, new_tokens: int | None = None) -> np.ndarray:
        """Tokens [B, prompt + new]."""
        (decoded,) = generate(
            self.params, self.config, self.prompts, self.method, max_new_tokens=new_tokens or self.new_tokens
        )
        return decoded.ids_BS[:, : decoded.lengths_B[0]]


def theirs(folder: Path, prompts: list[list[int]], new_tokens: int) -> Callable[[], np.ndarray]:
    """The same by transformers: eager, with its cache, as its documentation shows it."""
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder).to(device).eval()
    if device == "cuda":
        model = model.to(torch.bfloat16)
    ids = torch.tensor(prompts, device=device)
    options = {"do_sample": False, "min_new_tokens": new_tokens, "max_new_tokens": new_tokens, "pad_token_id": 0}

    def run() -> np.ndarray:
        with torch.inference_mode():
            return model.generate(ids, attention_mask=torch.ones_like(ids), **options).cpu().numpy()

    return run


def matrix_vector(size: int = 1 << 26) -> tuple[Callable[[], object], int]:
    """A plain product of a matrix of `size` numbers with a vector, compiled; and the bytes it reads."""
    matrix = jnp.ones((size // 1024, 1024), jnp.bfloat16 if jax.default_backend() == "gpu" else jnp.float32)
    product = jax.jit(lambda matrix, vector: matrix @ vector)
    vector = matrix[0]
    return lambda: product(matrix, vector).block_until_ready(), matrix.nbytes


def first_token(folder: Path, cache: Path) -> float:
    """Seconds from starting Python to the first token, compilation and reading the weights included."""
    code = (
        "import sys, jax\n"
        "from pathlib import Path\n"
        "from benchmarks.decode import Ours, split_layers\n"
        "from interop.weights import look_through, read_params\n"
        "published = look_through(Path(sys.argv[1]))\n"
        "params = split_layers(jax.tree.map(jax.numpy.asarray, read_params(published)))\n"
        "Ours(params, published.config, 1, 1).run()\n"
    )
    variables = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=os.environ | variables)
    return time.perf_counter() - start


def measure(
    params, config: TransformerConfig, folder: Path, batch: int, new_tokens: int, rounds: int, both: bool
) -> None:
    ours = Ours(params, config, batch, new_tokens)
    plain, plain_bytes = matrix_vector()
    functions = [ours.run, functools.partial(ours.run, 1), plain]
    if both:
        functions.append(theirs(folder, ours.prompts, new_tokens))
        tokens, expected = ours.run(), functions[-1]()
        if not np.array_equal(tokens, expected):
            row, place = np.argwhere(tokens != expected)[0]
            raise UserError(f"row {row} differs at place {place}: {tokens[row, place]}, theirs {expected[row, place]}")
    for function in functions:
        function()
    times = in_turns(functions, rounds, seconds=0)
    whole, prefill, product = times[:, :3].T
    a_token = (whole - prefill) / (new_tokens - 1)
    read = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    bandwidth, most = read / a_token.min() / 1e9, plain_bytes / product.min() / 1e9
    print(f"\nbatch {batch}, {PROMPT} + {new_tokens} tokens")
    print(f"  ours: {batch * new_tokens / np.median(whole):.1f} tokens/s (median), {1e3 * a_token.min():.1f} ms a step")
    print(f"  reads parameters at {bandwidth:.1f} GB/s, a plain product {most:.1f} GB/s: {bandwidth / most:.2f}")
    if both:
        print(f"  transformers: {batch * new_tokens / np.median(times[:, 3]):.1f} tokens/s (median), the same tokens")
        print(f"  ours / transformers: {compare(times[:, 3], whole)}", flush=True)


def by_position(params, config: TransformerConfig) -> None:
    """Whether a token takes longer the longer the text is, at batch 1."""
    for position in POSITIONS:
        shorter, longer = (Ours(params, config, 1, position + more - PROMPT) for more in (0, 32))
        times = in_turns([shorter.run, longer.run], rounds=3, seconds=0)[1:]  # the first round compiles
        print(f"  {1e3 * (times[:, 1].min() - times[:, 0].min()) / 32:.1f} ms a token behind {position}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.decode", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", action="append", type=int, metavar="N", help="rows (default: 1 and 8)")
    parser.add_argument("--new_tokens", type=int, default=64, metavar="N", help="a row (default: 64)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns that each takes (default: 7)")
    parser.add_argument("--no-transformers", action="store_true", help="measure ours alone")
    flags = parser.parse_args()
    packages = ["jax", "flax"]
    if not flags.no_transformers:
        try:
            import transformers  # noqa: F401
        except ModuleNotFoundError:
            print("pip install -r requirements-parity.txt, or give --no-transformers", file=sys.stderr)
            return 1
        packages += ["torch", "transformers"]
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{os.cpu_count()} cores, {jax.devices()[0].device_kind}, Python {platform.python_version()}, {versions}")
    dtype = "bfloat16" if jax.default_backend() == "gpu" else "float32"
    config = dataclasses.replace(presets.gpt2("124m"), dtype=dtype)
    stacked = jax.tree.map(lambda leaf: leaf.astype(dtype), init_params(config, jax.random.key(0)))
    params = split_layers(stacked)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "published"
        folder.mkdir()
        write_published(folder, FAMILIES["gpt2"], config, stacked, {}, shard_size=1 << 30)
        for batch in flags.batch or (1, 8):
            measure(params, config, folder, batch, flags.new_tokens, flags.rounds, not flags.no_transformers)
        print("\nby position, batch 1")
        by_position(params, config)
        print("\nfirst token, from starting Python")
        for state in ("cold", "warm"):
            print(f"  {first_token(folder, Path(name) / 'cache'):.1f} s with a {state} compilation cache", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
