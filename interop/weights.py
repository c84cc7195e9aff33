"""A folder of published weights as our config and parameters, and back."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from common.errors import ConfigError, UserError, choose
from common.files import read_json
from interop.families import FAMILIES
from interop.family import KINDS, OTHER_HEADS, Family, Json, take, unsupported
from interop.layout import nameless, shape, views
from interop.reader import REMEDY, Tensors, open_tensors
from model import TransformerConfig
from model.parameters import abstract_params, by_path

ALIGNMENT = 64  # bytes; XLA copies arrays that begin elsewhere


@dataclasses.dataclass(frozen=True)
class Published:
    """A folder that was looked through: what it holds fits together, but nothing large was read.

    Attributes:
        theirs: config.json.
        left_out: tensors that are not taken over, though they are no copies and no buffers: heads of other tasks.
    """

    family: Family
    theirs: Json
    config: TransformerConfig
    tensors: Tensors
    left_out: tuple[str, ...]


def look_through(folder: Path) -> Published:
    """The model of `folder`, checked by name, field and shape.

    Raises:
        UserError: an unknown family, a field or a tensor that is not supported, missing, surplus or of another shape.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json; give a folder of published weights")
    theirs = read_json(folder / "config.json", REMEDY)
    if "model_type" not in theirs and {"task", "model"} <= theirs.keys():
        raise UserError(f"{folder} is a run's folder already; sample.py --ckpt {folder} takes it as it is")
    try:
        family = choose(FAMILIES, take(theirs, "model_type", str), "config.json: model_type")
    except ConfigError as error:
        raise UserError(str(error)) from error
    tensors = _as_named_now(open_tensors(folder), family)
    repeats = {
        copy
        for copy, original in family.copies.items()
        if {copy, original} <= tensors.names and tensors.equal(copy, original)
    }
    config = family.config(theirs, tensors.names - repeats)
    _refuse_other_size(family, theirs, config, tensors)
    expected = views(family.rows(config), by_path(empty_params(config)))
    return Published(family, theirs, config, tensors, _agree(family, tensors, expected, repeats))


def read_params(published: Published, dtype: str = "float32"):
    """The parameters, read a piece at a time into arrays that are made once.

    Raises:
        UserError: a tensor cannot be read, is damaged, or holds numbers beyond those of `dtype`.
    """
    params = empty_params(published.config, dtype)
    for name, parts in views(published.family.rows(published.config), by_path(params)).items():
        for span, piece in published.tensors.pieces(name):
            start = 0
            for part in parts:
                with np.errstate(over="ignore"):  # which is asked for
                    part[span] = piece[..., start : start + part.shape[-1]]
                if piece.dtype != part.dtype and not np.isfinite(part[span]).all():
                    most = np.abs(piece).max()
                    raise UserError(f"{name} holds {most:.3g}, which {dtype} cannot; such weights are not supported")
                start += part.shape[-1]
    return params


def published_tensors(family: Family, config: TransformerConfig, params) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of our parameters under their names, one after the other; in the dtype that ours have."""
    rows = family.rows(config)
    for name, parts in views(rows, {path: np.asarray(leaf) for path, leaf in by_path(params).items()}).items():
        bare = name.removeprefix(family.prefix) if config.head == "none" else name
        yield bare, np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1))


def family_of(config: TransformerConfig, preferred: str | None = None) -> Family:
    """The family that a network of ours is of; the one it came from, where it still is.

    Raises:
        UserError: it is of none; the message says what stands in the way of the nearest, and what to do.
    """
    found = {}
    params = by_path(empty_params(config))
    for family in sorted(FAMILIES.values(), key=lambda family: family.model_type != preferred):
        rows = family.rows(config)
        differences = family.differences(config, views(rows, params).keys())
        differences += [f"{path} (no such tensor in {family.model_type})" for path in nameless(rows, params)]
        if not differences:
            return family
        found[family.model_type] = differences
    nearest = min(found, key=lambda name: len(found[name]))
    raise UserError(
        f"no published family has this architecture; nearest is {nearest}, but for {', '.join(found[nearest])}; "
        f"to write it as one, train a network that has these as {nearest} has them"
    )


def empty_params(config: TransformerConfig, dtype: str = "float32"):
    """Parameters of any content; memory is taken only where it is written to, and JAX on a CPU takes it over as it is."""

    def empty(leaf) -> np.ndarray:
        size = leaf.size * np.dtype(dtype).itemsize
        room = np.empty(size + ALIGNMENT, np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        return room[start : start + size].view(dtype).reshape(leaf.shape)

    return jax.tree.map(empty, abstract_params(config))


def _as_named_now(tensors: Tensors, family: Family) -> Tensors:
    """Old names as they are now, and the prefix that a model without its head goes without."""
    names = {}
    for name in tensors.names:
        now = name
        for old, new in family.renamed.items():
            now = now.replace(old, new)
        names[name] = now
    if not any(name.startswith(family.prefix) for name in names.values()):
        names = {name: now if now.startswith(family.heads) else family.prefix + now for name, now in names.items()}
    return tensors.renamed(names)


def _refuse_other_size(family: Family, theirs: Json, config: TransformerConfig, tensors: Tensors) -> None:
    """Raises UserError where config.json asks for far more than there is, before anything is made of that size."""
    sizes = {field.theirs: theirs.get(field.theirs) for field in family.fields if KINDS[field.ours] is int}
    largest = max((name for name in sizes if sizes[name] is not None), key=lambda name: sizes[name])
    if sizes[largest] >= 1 << 31:
        raise unsupported(largest, sizes[largest], "no array has a length of 2^31")
    asked = sum(leaf.size for leaf in jax.tree.leaves(abstract_params(config)))
    held = sum(math.prod(tensors.shape(name)) for name in tensors.names)
    if asked > 4 * held:
        raise UserError(
            f"the weights do not agree with config.json: it makes a network of {asked:,} parameters, and they are "
            f"{held:,}; look at {largest}={sizes[largest]}, or fetch both again"
        )


def _agree(family: Family, tensors: Tensors, expected, repeats: set[str]) -> tuple[str, ...]:
    """Refuses tensors that are missing, surplus or of another shape; those that are left out, and hold something."""

    def refuse(names: list[str], what: str) -> None:
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"the weights do not agree with config.json: {names[0]} {what}{more}; fetch both again")

    missing = sorted(expected.keys() - tensors.names)
    for part in dict.fromkeys(name.partition(".")[0] for name in missing if len(missing) < len(expected)):
        if not any(name.startswith(f"{part}.") for name in tensors.names):
            raise UserError(
                f"the weights have no {part}, and a part of a {family.model_type} alone is not supported; "
                "fetch those of the whole model"
            )
    refuse(missing, "is missing")
    surplus = tensors.names - expected.keys() - repeats
    silent = {name for name in surplus if any(re.fullmatch(pattern, name) for pattern in family.buffers)}
    others = (*family.left_out, OTHER_HEADS)
    left_out = {name for name in surplus - silent if any(re.fullmatch(pattern, name) for pattern in others)}
    for name in sorted(surplus & family.copies.keys() - silent - left_out):
        refuse([name], f"is not the same as {family.copies[name]}, with which config.json ties it")
    refuse(sorted(surplus - silent - left_out), "is not part of this network")
    for name, parts in expected.items():
        if tensors.shape(name) != shape(parts):
            refuse([name], f"has shape {tensors.shape(name)}, not {shape(parts)}")
    return tuple(sorted(left_out))
