"""Which text a run learns from, and how it is cut: the section `data` of the settings."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from common.errors import check_choice, require
from data.augment import augment_texts, parse_specs
from data.chat_template import DEFAULT_TEMPLATE, ChatTemplate
from data.cleaning import STEPS
from data.packing import PACKINGS
from data.selection import DEDUP
from data.sources import split_sources
from data.subword_sampling import SubwordSampling
from data.tokenizer import TokenizerConfig

# By the name in `data.on_end`: whether a row may be seen more than once.
ON_END = {"repeat": True, "stop": False}
# What no prepared token depends on, or is kept apart.
TRAINING_FIELDS = (
    "train",
    "label_field",
    "source_field",
    "target_field",
    "prompt",
    "tokens_field",
    "tags_field",
    "messages_field",
    "prompt_field",
    "chosen_field",
    "rejected_field",
    "chat_template",
    "context_field",
    "question_field",
    "answers_field",
    "choices_field",
    "answer_field",
    "window_stride",
    "sequence_length",
    "cache_dir",
    "packing",
    "weights",
    "temperature",
    "on_end",
    "folds",
    "fold",
)
SOURCE = "{source}"  # where a source stands in `data.prompt`


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which text, and how it is cut; `configs/base.py` says what each field means."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    valid_fraction: float
    sequence_length: int
    cache_dir: str
    text_field: str = "text"
    label_field: str = "label"
    source_field: str = "source"
    target_field: str = "target"
    prompt: str = SOURCE
    tokens_field: str = "tokens"
    tags_field: str = "tags"
    messages_field: str = "messages"
    prompt_field: str = "prompt"
    chosen_field: str = "chosen"
    rejected_field: str = "rejected"
    chat_template: tuple[str, ...] = DEFAULT_TEMPLATE
    context_field: str = "context"
    question_field: str = "question"
    answers_field: str = "answers"
    choices_field: str = "choices"
    answer_field: str = "answer"
    window_stride: int | None = None
    skip_bad: bool = False
    clean: tuple[str, ...] = ()
    dedup: str = "none"
    augment: tuple[str, ...] = ()
    augment_copies: int = 1
    augment_seed: int = 0
    subword_sampling: float = 0.0
    subword_copies: int = 1
    subword_seed: int = 0
    packing: str = "best_fit"
    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    on_end: str = "repeat"
    folds: int = 0
    fold: int = 1

    def __post_init__(self):
        object.__setattr__(self, "train", split_sources(self.train))
        object.__setattr__(self, "valid", split_sources(self.valid))
        require(len(self.train) > 0, "train is empty; give a file, a glob, or builtin:hsk")
        for name, sources in (("train", self.train), ("valid", self.valid)):
            twice = [source for number, source in enumerate(sources) if source in sources[:number]]
            require(not twice, f"{name} names {', '.join(twice)} twice; data.weights can make a source count for more")
        require(0 < self.valid_fraction < 1, f"valid_fraction={self.valid_fraction} must be between 0 and 1")
        require(self.sequence_length >= 2, f"sequence_length={self.sequence_length} must be at least 2")
        for name in (field.name for field in dataclasses.fields(self) if field.name.endswith("_field")):
            held = name.removesuffix("_field")
            require(getattr(self, name) != "", f"{name} is empty; name the field that holds the {held}")
        require(self.prompt.count(SOURCE) == 1, f"prompt={self.prompt!r} must hold {SOURCE} once, for the source")
        require(
            self.window_stride is None or self.window_stride >= 1,
            f"window_stride={self.window_stride} must be at least 1, or None",
        )
        ChatTemplate.parse(self.chat_template)
        for spec in self.clean:
            # Their values are looked at when text is cleaned.
            check_choice(STEPS, spec.partition("=")[0].strip(), "clean")
        check_choice(DEDUP, self.dedup, "dedup")
        parse_specs(self.augment)
        require(0 <= self.subword_sampling <= 1, f"subword_sampling={self.subword_sampling} must be in [0, 1]")
        for name in ("augment_copies", "subword_copies"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        for name in ("augment_seed", "subword_seed"):
            require(0 <= getattr(self, name) < 2**32, f"{name}={getattr(self, name)} must be from 0 to {2**32 - 1}")
        check_choice(PACKINGS, self.packing, "packing")
        check_choice(ON_END, self.on_end, "on_end")
        require(self.folds == 0 or self.folds >= 2, f"folds={self.folds} must be at least 2 parts, or 0 for none")
        if self.folds:
            require(1 <= self.fold <= self.folds, f"fold={self.fold} must be from 1 to folds={self.folds}")
            require(not self.valid, f"folds={self.folds} parts of train validate in turn; leave valid=() empty")
            require(
                self.keeps_order, f"folds={self.folds} is for documents as they are; leave clean=() and dedup='none'"
            )
        require(self.temperature > 0, f"temperature={self.temperature} must be above 0")
        if len(self.train) > 1:  # one may be a prepared folder, which has sources of its own
            require_weights(self.weights, self.train, "")
        if self.weights:
            require(
                min(self.weights) > 0,
                f"weights={self.weights} must be above 0; leave a source out of data.train instead",
            )
            require(
                self.temperature == 1, "temperature makes weights of the sources' sizes; with weights, leave it at 1.0"
            )

    def augmented(self, texts: Iterable[str]) -> Iterator[str]:
        """Texts to train on, each with its variants."""
        return augment_texts(texts, self.augment, self.augment_copies, self.augment_seed)

    @property
    def subwords(self) -> SubwordSampling | None:
        """How text to train on is cut at random; None: as the tokenizer does."""
        if self.subword_sampling == 0:
            return None
        return SubwordSampling(self.subword_sampling, self.subword_copies, self.subword_seed)

    @property
    def keeps_order(self) -> bool:
        """Whether documents stay in the order of the sources; what selects among them gives them one of its own."""
        return not self.clean and self.dedup == "none"


def require_weights(weights: Sequence[float], sources: Sequence[str], section: str) -> None:
    """Raises ConfigError unless there are none, or as many as sources; `section` stands before the key in the message."""
    require(
        not weights or len(weights) == len(sources),
        f"{section}weights={weights} must be one number for each of the {len(sources)} sources of data.train",
    )


def require_defaults(data: DataConfig, names: Sequence[str], why: str) -> None:
    """Raises ConfigError where a setting that has no say is not its default, which follows `why` in the message."""
    for name in names:
        value, default = getattr(data, name), getattr(DataConfig, name)
        require(value == default, f"data.{name}={value!r} {why} {default!r}")


def preparation_options(data: DataConfig, tokenizer: TokenizerConfig | None) -> dict[str, Any]:
    """The settings that tokens depend on, by dotted key; None: the tokenizer is not trained here."""
    options = {f"data.{name}": value for name, value in dataclasses.asdict(data).items() if name not in TRAINING_FIELDS}
    trained = {} if tokenizer is None else dataclasses.asdict(tokenizer)
    return options | {f"tokenizer.{name}": value for name, value in trained.items()}


def default_options(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Of keys that came to be after a folder was prepared, what they were then: their default, which means "as before"."""
    sections = {"data": DataConfig}
    if "tokenizer.model_type" in manifest["options"]:  # it was trained there
        sections["tokenizer"] = TokenizerConfig
    defaults = {
        f"{section}.{field.name}": field.default
        for section, kind in sections.items()
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING and field.name not in TRAINING_FIELDS
    }
    return json.loads(json.dumps(defaults))  # tuples as lists, as a manifest has them
