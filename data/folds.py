"""Cross-validation: the documents in so many parts, each of which validates once."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

from common.errors import UserError
from data.document import Document
from data.split import split_hash

D = TypeVar("D", bound=Document)


def split_fold(documents: Sequence[D], strata: Sequence[Hashable], folds: int, fold: int) -> tuple[list[D], list[D]]:
    """The documents outside part number `fold`, from 1, and those in it.

    Those of a stratum (a class, or a source) are dealt out to the parts in turn, in the order of their hashes: so each part has
    its share of each, as those of scikit-learn's StratifiedKFold, and equal documents, or those of one key, are in one part.

    Raises:
        UserError: there are fewer different documents than parts.
    """
    of_stratum: dict[Hashable, set[int]] = {}
    seen: set[int] = set()
    for document, stratum in zip(documents, strata, strict=True):
        number = split_hash(document)
        if number not in seen:
            of_stratum.setdefault(stratum, set()).add(number)
            seen.add(number)
    if len(seen) < folds:
        raise UserError(f"{len(seen)} different documents make no {folds} parts; lower --folds, or give more")
    dealt = [number for stratum in sorted(of_stratum, key=repr) for number in sorted(of_stratum[stratum])]
    held_out = set(dealt[fold - 1 :: folds])
    sides: tuple[list[D], list[D]] = [], []
    for document in documents:
        sides[split_hash(document) in held_out].append(document)
    return sides
