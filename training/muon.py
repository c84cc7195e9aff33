"""Muon: the momentum of each of the layers' matrices is made orthogonal; what is no such matrix goes by Adam.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon), with the scale of Liu et al. 2025 (arXiv:2502.16982): an update
is as large as one of AdamW usually is, so that learning rate and weight decay are AdamW's.

Of a step that sees T tokens it adds at most 5 D / T of the work: nothing at scale, much where batches are small.
"""

import math

import jax
import jax.numpy as jnp
import optax

from common.errors import require
from model import lora
from model.parameters import STACKED, by_path, parameter_path

# a x + b x^3 + c x^5 has the steepest slope at 0 of those that, applied again and again, keep what is in [0, 1] about 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
ADAMS_RMS = 0.2  # of an update of AdamW, as it is found in practice


def is_matrix(path: str) -> bool:
    """Whether Muon is for the parameter at `path`: kernels and adapters of layers; not embeddings, the head, norms, biases."""
    return path.rpartition("/")[2] in ("kernel", lora.A, lora.B) and not path.startswith("head/")


def as_matrices(path: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """What the array at `path` is as matrices: (their number, inputs, outputs); a stack holds one for each layer."""
    lead = 1 if STACKED in path else 0
    kernel, _, name = path.rpartition("/")
    inputs = 1 if name == lora.B else lora.num_inputs(kernel if name == lora.A else path)
    return math.prod(shape[:lead]), math.prod(shape[lead : lead + inputs]), math.prod(shape[lead + inputs :])


def orthogonalize(x_MN: jax.Array) -> jax.Array:
    """U V^T, about, where x = U S V^T: its singular values become 0.7 to 1.2, but those that are tiny beside the largest.

    By Newton-Schulz iterations, which are matrix products alone; float32. Zeros stay zeros.
    """
    a, b, c = COEFFICIENTS
    is_tall = x_MN.shape[0] > x_MN.shape[1]
    x = x_MN.T if is_tall else x_MN
    x = x / (jnp.linalg.norm(x) + 1e-20)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if is_tall else x


def orthogonal_updates(momentum, _=None):
    """Each array of a tree like the parameters, as matrices that are orthogonal, with elements of RMS 0.2 or so.

    They are taken one layer after the other: with `fsdp` no device holds more than one of them whole.
    """

    def update(path, leaf: jax.Array) -> jax.Array:
        number, rows, columns = as_matrices(parameter_path(path), leaf.shape)
        directions = jax.lax.map(orthogonalize, leaf.reshape(number, rows, columns))
        return (ADAMS_RMS * math.sqrt(max(rows, columns)) * directions).reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(update, momentum)


def scale_by_muon(b1: float, others: optax.GradientTransformation, dtype: str) -> optax.GradientTransformation:
    """Gradients to directions, with Nesterov's momentum `b1`, kept in `dtype`; by `others` of what `is_matrix` is not for.

    Raises:
        ConfigError: there is no matrix to train.
    """

    def matrices(tree):
        require(
            any(map(is_matrix, by_path(tree))),
            "optimizer.name='muon' is for the matrices of layers, and none is trained here; set adamw",
        )
        return jax.tree_util.tree_map_with_path(lambda path, _: is_matrix(parameter_path(path)), tree)

    def rest(tree):
        return jax.tree.map(lambda matrix: not matrix, matrices(tree))

    momentum = optax.trace(b1, nesterov=True, accumulator_dtype=dtype)
    muon = optax.chain(momentum, optax.stateless(orthogonal_updates))
    return optax.chain(optax.masked(muon, matrices), optax.masked(others, rest))
