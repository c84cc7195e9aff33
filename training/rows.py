"""The rows that a run's texts make; and rows as text, for people who look at what they train on."""

from collections.abc import Iterator, Sequence

import numpy as np

from data.batches import PackedRows, PrepareRow, Row, TrainBatches
from data.corpus import Corpus, mixture
from data.encoded import EncodedText
from data.tokenizer import Tokenizer
from tasks import TASKS
from training.config import RunConfig


def pack_rows(config: RunConfig, tokenizer: Tokenizer, texts: Sequence[EncodedText]) -> tuple[PackedRows, PrepareRow]:
    """The rows that a run packs these texts into, and what makes of each row what its task feeds the network.

    Raises:
        ConfigError: the tokenizer has not the special tokens that the task takes.
    """
    task = TASKS[config.task]
    length = task.row_length(config.data.sequence_length, config.corruption)
    packed = PackedRows.pack(texts, length, config.data.packing)
    return packed, task.prepare(packed, tokenizer, config.corruption, config.model.network)


def describe_classes(corpus: Corpus) -> str:
    """One line on labelled texts: the classes, how many texts there are, and how much of what validates is of the commonest."""
    train, valid = (sum(len(text.starts) for text in side.values()) for side in (corpus.train, corpus.valid))
    text = next(iter(corpus.valid.values()))
    if text.marks is not None:
        of = "of the words of one class"
    else:
        of = "of them of one class" if text.labels.ndim == 1 else "of them with the commonest label"
    return (
        f"classes: {len(corpus.classes)} ({', '.join(corpus.classes)}); {train:,} texts to train on, {valid:,} to "
        f"validate, {_commonest(corpus):.1%} {of}"
    )


def _commonest(corpus: Corpus) -> float:
    """The share of the commonest class in what validates: in texts or, where words have labels, in these."""
    texts = list(corpus.valid.values())
    if texts[0].labels is None:
        marks = np.concatenate([text.marks[1:] for text in texts])
        return np.bincount(marks[marks >= 0]).max() / (marks >= 0).sum()
    labels = np.concatenate([text.labels for text in texts])
    return (labels.sum(0) if labels.ndim > 1 else np.bincount(labels)).max() / len(labels)


def show_rows(config: RunConfig, corpus: Corpus, count: int) -> Iterator[str]:
    """The first `count` rows that a run trains on, before its objective makes inputs and targets of them."""
    length = TASKS[config.task].row_length(config.data.sequence_length, config.corruption)
    (texts, weights), size = mixture(config.data, corpus), config.training.batch_size
    packed = PackedRows.pack(texts, length, config.data.packing)
    batches = TrainBatches(packed, size, config.seed, lambda row, _: row, weights)
    for number in range(count):
        step, place = divmod(number, size)
        index = int(batches.indices(step)[place])
        yield f"--- step {step + 1}, row {place + 1}: " + show_row(packed.row(index), corpus.tokenizer)


def show_row(row: Row, tokenizer: Tokenizer) -> str:
    """The pieces of documents in a row, each on lines of its own behind what it is, and how much padding there is."""
    segments, lines = row["segment_ids"], []
    for segment in range(1, segments.max(initial=0) + 1):
        tokens = row["inputs"][segments == segment].tolist()
        begins, ends = (
            tokens[0] == tokenizer.end_of_text,
            row["targets"][segments == segment][-1] == tokenizer.end_of_text,
        )
        mark = "document" if begins else "document, goes on"
        lines.append(f"[{mark}: {len(tokens)} tokens] {tokenizer.decode(tokens)}" + ("" if ends else " […]"))
    padding = int(np.count_nonzero(segments == 0))
    full = len(segments) - padding
    return "\n".join([f"{full} tokens, {padding} padding", *lines, *([f"[padding: {padding}]"] if padding else [])])
