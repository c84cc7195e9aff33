"""How an array of theirs lies in one of ours, as a view: writing to it imports, reading it exports.

A row of a name table joins a parameter of ours to a tensor of theirs. Ours are stacked over layers and keep heads apart; theirs
are one a layer, and flat. Since a view moves no number, export after import gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
    """`inputs`: how many leading axes of ours are a matrix's rows (0: it is a vector). `transposed`: theirs is [out, in]."""

    inputs: int
    transposed: bool = False

    def view(self, ours: np.ndarray) -> np.ndarray:
        """Our array in the shape of theirs, without a copy."""
        if self.inputs == 0:
            return ours.reshape(-1)
        matrix = ours.reshape(int(np.prod(ours.shape[: self.inputs])), -1)
        return matrix.T if self.transposed else matrix


VECTOR = Layout(0)  # biases, norms
TABLE = Layout(1)  # embeddings; GPT-2's dense layers, whose kernels are [in, out] as ours are
LINEAR = Layout(1, transposed=True)  # torch.nn.Linear
TABLE_OF_HEADS, LINEAR_OF_HEADS = Layout(2), Layout(2, transposed=True)  # dense layers that read heads


class Row(NamedTuple):
    """One tensor of theirs, `{layer}` in its name counting the stacked axis of ours.

    Several of ours make one of theirs side by side, along its last axis (GPT-2's queries, keys and values).
    """

    ours: str | tuple[str, ...]
    theirs: str
    layout: Layout

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.ours,) if isinstance(self.ours, str) else self.ours


def dense(ours: str, theirs: str, layout: Layout = LINEAR) -> tuple[Row, Row]:
    """The rows of a dense layer; without a bias in our network the second names nothing."""
    return Row(f"{ours}/kernel", f"{theirs}.weight", layout), Row(f"{ours}/bias", f"{theirs}.bias", VECTOR)


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
    """The rows of a norm; an RMSNorm has no bias."""
    return Row(f"{ours}/scale", f"{theirs}.weight", VECTOR), Row(f"{ours}/bias", f"{theirs}.bias", VECTOR)


def embedding(ours: str, theirs: str) -> Row:
    return Row(f"{ours}/embedding", f"{theirs}.weight", TABLE)


def views(rows: Sequence[Row], params: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, ...]]:
    """Of every tensor of theirs, the views of our arrays (by path) that make it, in order along its last axis.

    Rows that name no parameter of this network are passed over.
    """
    found: dict[str, tuple[np.ndarray, ...]] = {}
    for row in rows:
        if any(path not in params for path in row.paths):
            continue
        arrays = [params[path] for path in row.paths]
        if "{layer}" in row.theirs:
            for layer in range(len(arrays[0])):
                found[row.theirs.format(layer=layer)] = tuple(row.layout.view(array[layer]) for array in arrays)
        else:
            found[row.theirs] = tuple(row.layout.view(array) for array in arrays)
    return found


def nameless(rows: Sequence[Row], params: Mapping[str, np.ndarray]) -> list[str]:
    """The paths of parameters that no row names."""
    return sorted(params.keys() - {path for row in rows for path in row.paths})


def shape(parts: Sequence[np.ndarray]) -> tuple[int, ...]:
    """The shape of the tensor that these views make."""
    return (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
