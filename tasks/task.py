"""The record that every objective fills in."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np

from common.errors import check_choice, require
from data.batches import PackedRows, PrepareRow
from data.tokenizer import Tokenizer
from model import Output, Tokens, TransformerConfig
from model.parameters import Params

Batch = dict[str, jax.Array]


class Apply(Protocol):
    """The network as a function of its parameters."""

    def __call__(self, params: Params, batch: Batch, key: jax.Array | None) -> Output:
        """What it gives for a batch; `key`: of the dropout, None for none."""

    def logits(self, params: Params, hidden_BTD: jax.Array) -> jax.Array:
        """What its head makes of `Output.hidden_BTD`, or of a part of it: [B, T, V]."""


def as_tokens(batch: Batch, config: TransformerConfig) -> tuple[Tokens, Tokens | None]:
    """What a network reads of a batch, and what its encoder reads, where the batch has two sides.

    These are `inputs`, `positions` and `segment_ids` [B, T]; where there are some `prefix`, and `types` if the network tells
    any apart; and `encoder_inputs`, `encoder_positions` and `encoder_segment_ids` [B, S].
    """
    types = batch.get("types") if config.num_token_types > 1 else None
    tokens = Tokens(batch["inputs"], batch["positions"], batch["segment_ids"], types, batch.get("prefix"))
    if "encoder_inputs" not in batch:
        return tokens, None
    return tokens, Tokens(batch["encoder_inputs"], batch["encoder_positions"], batch["encoder_segment_ids"])


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is added to the cross-entropy; `configs/base.py` says what each field means."""

    label_smoothing: float
    z_loss: float
    l1_penalty: float
    l2_penalty: float
    class_weights: str = "none"
    dpo_beta: float = 0.1
    chunks: int = 1

    def __post_init__(self):
        require(self.chunks >= 1, f"chunks={self.chunks} must be at least 1")
        require(0 <= self.label_smoothing < 1, f"label_smoothing={self.label_smoothing} must be in [0, 1)")
        for name in ("z_loss", "l1_penalty", "l2_penalty"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must not be negative")
        require(self.dpo_beta > 0, f"dpo_beta={self.dpo_beta} must be above 0")
        check_choice(("none", "balanced"), self.class_weights, "class_weights")


@dataclasses.dataclass(frozen=True)
class CorruptionConfig:
    """What is hidden from a network that learns to fill it in; `configs/base.py` says what each field means."""

    rate: float = 0.15
    mean_span_length: float = 3.0
    whole_words: bool = False
    spans_anywhere: bool = False

    def __post_init__(self):
        require(0 < self.rate < 1, f"rate={self.rate} must be above 0 and below 1")
        require(self.mean_span_length >= 1, f"mean_span_length={self.mean_span_length} must be at least 1")


def same_length(sequence_length: int, config: CorruptionConfig) -> int:
    return sequence_length


@dataclasses.dataclass(frozen=True)
class Task:
    """An objective.

    Attributes:
        networks: the kinds that it trains: "decoder", "encoder", "encoder-decoder".
        prepare: (packed rows, tokenizer, corruption, kind of network) -> the function that makes of each packed row what the
            network is fed. Raises ConfigError where the tokenizer has not the special tokens that this takes.
        row_length: (data.sequence_length, corruption) -> tokens of text in a packed row.
        every_token: whether each token of the text is a target just once, so that bits a byte can be told.
        examples: the form of the rows that it learns from, in `data.forms.FORMS`; "": text alone.
        head: what the network answers with: "tokens", or "classes".
        outputs: of the head "classes", how many there are whatever the examples; None: one for each class.
        pooled: whether that head reads what the network's pooler makes of a place, where that has one.
        predict: (apply, params, batch) -> what the network would answer at each place, arrays [B, T, ...]; None: nothing is
            asked.
        has_reference: whether it compares with the network that the run starts from: the "chosen" and "rejected" among that
            one's values, once before the training, are what the examples have as labels.
        score: (these answers where the weight is not 0, and there the "targets", arrays [N, ...]; "documents", int64 [N], the
            number of the document that each is of, in order; "classes", their names) -> figures of a validation.
        figures: the names of these figures.
        loss: (apply, params, batch, key, config) -> (objective, values), arrays of one shape, [B, T]: of each target, times
            its weight. The sum of `objective` is minimized; `values` are "loss" (cross-entropy in nats, without smoothing
            and penalties), "weight", and whatever else a task wants to see the mean of. Their sums are divided once, after
            all microbatches and devices, so that the loss does not depend on how the batch was cut.
    """

    networks: tuple[str, ...]
    prepare: Callable[[PackedRows, Tokenizer, CorruptionConfig, str], PrepareRow]
    loss: Callable[[Apply, Params, Batch, jax.Array | None, LossConfig], tuple[jax.Array, dict[str, jax.Array]]]
    row_length: Callable[[int, CorruptionConfig], int] = same_length
    every_token: bool = False
    examples: str = ""
    head: str = "tokens"
    outputs: int | None = None
    pooled: bool = True
    predict: Callable[[Apply, Params, Batch], dict[str, jax.Array]] | None = None
    score: Callable[[dict[str, np.ndarray]], dict[str, float]] | None = None
    figures: tuple[str, ...] = ()
    has_reference: bool = False
