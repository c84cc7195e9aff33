"""What a network that has learned labels gives texts without one, by the functions that train and measure it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from common.errors import UserError, require
from data.batches import PackedRows, ValidBatches
from data.cleaning import Cleaner
from data.config import DataConfig
from data.encoded import EncodedText, join_pieces
from data.forms import FORMS, Example, Pieces
from data.forms.words import join_words
from data.tokenizer import Tokenizer
from generation.network import apply
from generation.readings import Reading
from generation.rows import WRONG, Status
from generation.sizes import round_up
from metrics.spans import find_spans
from model import Output, TransformerConfig
from model.parameters import Params
from tasks import TASKS, Batch, CorruptionConfig, as_tokens

ROWS = 16  # texts that are read at once
SHOWN = 5  # of the likeliest classes
Arrays = Mapping[str, np.ndarray]


@functools.partial(jax.jit, static_argnames=("config", "task"))
def _predict(params: Params, batch: Batch, *, config: TransformerConfig, task: str) -> Batch:
    def network(params: Params, batch: Batch, key: jax.Array | None) -> Output:
        return apply(params, config, *as_tokens(batch, config))

    return TASKS[task].predict(network, params, batch)


def predict_texts(
    params: Params, config: TransformerConfig, tokenizer: Tokenizer, task: str, text: EncodedText
) -> list[Arrays]:
    """Of each document what the task's `predict` says at its places that count, in their order, [places, ...] each.

    A document is a row of its own, padded to one of few lengths.

    Raises:
        UserError: the model gives NaN or infinity.
    """
    longest = min(round_up(int(text.lengths.max())), config.max_length)
    packed = PackedRows.pack([text], longest, "pad")
    prepare = TASKS[task].prepare(packed, tokenizer, CorruptionConfig(), config.network)
    batches = ValidBatches(packed, min(round_up(len(packed), 1), ROWS), prepare)
    documents = []
    for number in range(len(batches)):
        batch = batches(number)
        found = jax.device_get(_predict(params, batch, config=config, task=task))
        for values, counts in zip(_rows(found), batch["weights"] > 0, strict=True):
            documents.append({name: value[counts] for name, value in values.items()})
            if not all(np.isfinite(value).all() for value in documents[-1].values()):
                raise UserError(WRONG[Status.NOT_FINITE])
    return documents[: len(packed)]


def _rows(arrays: Arrays) -> list[Arrays]:
    return [dict(zip(arrays, values, strict=True)) for values in zip(*arrays.values(), strict=True)]


class Prepared(NamedTuple):
    text: str
    example: Example
    pieces: Pieces


class Labeller:
    """Gives texts their labels; a `Reader`.

    A text is cleaned, cut into tokens and, where it is too long, shortened as those were that the run has learned from.
    """

    def __init__(
        self,
        params: Params,
        config: TransformerConfig,
        tokenizer: Tokenizer,
        task: str,
        data: DataConfig,
        classes: Sequence[str],
        does: str,
    ):
        """
        Args:
            task, data, classes: what the run has learned, its settings, and the names of its classes.
        """
        self._network, self._task, self._data, self._classes = (params, config, tokenizer), task, data, classes
        self._form, self._cleaner, self.does = FORMS[TASKS[task].examples], Cleaner(data.clean), does

    def prepare(self, text: str) -> tuple[Prepared, str]:
        """The text as an example, and whether it is cut.

        Raises:
            UserError: there is nothing in it, or `data.clean` leaves nothing of it.
        """
        require(bool(text.strip()), "there is no text; give one, and its label is told")
        values = self._form.check(self._form.unlabelled(text, self._classes), self._data)
        examples = list(self._cleaner.clean([Example(self._form.text(values), "", values=values)]))
        require(bool(examples), f"the run's data.clean={self._data.clean} leaves nothing of this text")
        pieces = self._form.encode(examples, self._network[2], self._classes, self._data)
        cut = f"cut to data.sequence_length={self._data.sequence_length}, as in training" if pieces.cut else ""
        return Prepared(text, examples[0], pieces), cut

    def read(self, prepared: Sequence[Prepared]) -> list[Reading]:
        """The labels of each text, as its task tells them."""
        pieces, tokenizer = [each.pieces for each in prepared], self._network[2]
        tokens = [tokens for each in pieces for tokens in each.tokens]
        marks = [marks for each in pieces for marks in each.marks or ()]
        labels = [each.labels for each in pieces if each.labels is not None]
        sizes = np.zeros(len(tokens), np.int64)
        text = join_pieces(tokens, sizes, tokenizer, np.concatenate(labels) if labels else None, marks or None)
        told = zip(prepared, predict_texts(*self._network, self._task, text), strict=True)
        return [
            Reading({"prompt": each.text} | reading.fields, reading.shown)
            for each, found in told
            for reading in [TELLS[self._task](found, self._classes, each.example)]
        ]


def tell_class(found: Arrays, classes: Sequence[str], example: Example) -> Reading:
    """The likeliest class, and the probability of each, the likeliest first."""
    chances = _by_chance(found["probability"][0], classes)
    shown = ", ".join(f"{name} {chance:.0%}" for name, chance in list(chances.items())[:SHOWN])
    return Reading({"label": classes[int(found["prediction"][0])], "probabilities": chances}, shown)


def tell_classes(found: Arrays, classes: Sequence[str], example: Example) -> Reading:
    """The classes above 1/2, in the order of all, and the probability of each; without any the likeliest is shown."""
    chances = _by_chance(found["probability"][0], classes)
    chosen = [classes[number] for number in np.flatnonzero(found["prediction"][0])]
    shown = ", ".join(f"{name} {chance:.0%}" for name, chance in chances.items() if name in chosen)
    likeliest = next(iter(chances))
    shown = shown or f"(no label)    the likeliest: {likeliest} {chances[likeliest]:.0%}"
    return Reading({"label": chosen, "probabilities": chances}, shown)


def tell_number(found: Arrays, classes: Sequence[str], example: Example) -> Reading:
    number = round(float(found["prediction"][0]), 4)
    return Reading({"label": number}, f"{number:.4f}")


def tell_tags(found: Arrays, classes: Sequence[str], example: Example) -> Reading:
    """Each word with its label, as far as the text was read, and the names that these make."""
    tags = [classes[number] for number in found["prediction"]]
    words = list(example.values["tokens"][: len(tags)])
    chances = [round(float(each.max()), 4) for each in found["probability"]]
    names = [
        {"text": "".join(join_words(words[a:b])), "type": kind, "words": [a, b]} for a, b, kind in find_spans(tags)
    ]
    shown = " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    shown += "".join(f"\n    {name['type']}: {name['text']}" for name in names)
    return Reading({"tokens": words, "tags": tags, "probabilities": chances, "spans": names}, shown)


def _by_chance(chances: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    order = np.argsort(-chances, kind="stable")
    return {classes[number]: round(float(chances[number]), 4) for number in order}


# Task -> (what was found of a text, the classes' names, the text as an example) -> what is said of it.
TELLS: dict[str, Callable[[Arrays, Sequence[str], Example], Reading]] = {
    "classification": tell_class,
    "multilabel": tell_classes,
    "regression": tell_number,
    "token_classification": tell_tags,
}
