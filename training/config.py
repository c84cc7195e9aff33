"""The one frozen record of a run's settings.

This is the only place where settings are checked: after it, every key is there, has its type and makes sense.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from common.configs import CONFIGS
from common.errors import ConfigError, check_choice, check_type, nearest, require
from data.config import DataConfig
from data.sources import split_sources
from data.tokenizer import TokenizerConfig
from data.word_text import WordsConfig
from model import TransformerConfig
from model.lora import LoraConfig
from tasks import TASKS, CorruptionConfig, LossConfig
from training.figures import more_is_better
from training.hardware import default_dtype
from training.optimizer import OptimizerConfig
from training.sharding import MeshConfig

Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long a run is, and what it reports; `configs/base.py` says what each field means."""

    num_steps: int
    batch_size: int
    microbatches: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    keep_checkpoints: int
    sample_prompts: tuple[str, ...]
    sample_tokens: int
    tensorboard: bool
    wandb_project: str
    word_vectors: str = ""
    patience: int = 0
    epochs: int = 0
    layer_norms: bool = False
    best_metric: str = "loss"
    ema_decay: float = 0.0
    activations_every: int = 0

    def __post_init__(self):
        more_is_better(self.best_metric)
        for field in dataclasses.fields(self):
            if field.name in ("patience", "epochs", "activations_every"):
                require(
                    getattr(self, field.name) >= 0, f"{field.name}={getattr(self, field.name)} must not be negative"
                )
            elif field.type is int:
                require(getattr(self, field.name) >= 1, f"{field.name}={getattr(self, field.name)} must be at least 1")
        require(
            self.activations_every % self.log_every == 0,
            f"activations_every={self.activations_every} must be a multiple of log_every={self.log_every}, or 0",
        )
        require(0 <= self.ema_decay < 1, f"ema_decay={self.ema_decay} must be in [0, 1); 0 averages nothing")
        require(
            self.batch_size % self.microbatches == 0,
            f"microbatches={self.microbatches} does not divide batch_size={self.batch_size}",
        )

    def in_steps(self, steps_per_epoch: int) -> "TrainingConfig":
        """The same with `epochs` put into steps, where they say how long the run is: each ends with an evaluation."""
        if not self.epochs:
            return self
        each = {"eval_every": steps_per_epoch, "checkpoint_every": steps_per_epoch}
        return dataclasses.replace(self, num_steps=self.epochs * steps_per_epoch, **each)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All settings of a run."""

    seed: int
    task: str
    model: TransformerConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    corruption: CorruptionConfig
    loss: LossConfig
    lora: LoraConfig
    optimizer: OptimizerConfig
    training: TrainingConfig
    mesh: MeshConfig
    words: WordsConfig
    init_from: str = ""

    def __post_init__(self):
        require_task(self.task)
        task = TASKS[self.task]
        needed = " or ".join(f"{'a' if kind == 'decoder' else 'an'} {kind}" for kind in task.networks)
        require(
            self.model.network in task.networks,
            f"task={self.task!r} trains {needed}; set model.encoder_layers and model.decoder_layers for it",
        )
        require(
            bool(self.init_from) or not task.has_reference,
            f"task={self.task!r} compares with the network that it starts from; set init_from to a run's folder",
        )
        tells_classes = task.head == "classes"
        verb = "needs" if tells_classes else "has no use for"
        require(
            (self.model.head == "classes") == tells_classes,
            f"task={self.task!r} {verb} model.head='classes'; "
            f"configs/finetune/{self.task if tells_classes else 'classification'}.py has what belongs to it",
        )
        require(
            not (tells_classes and self.training.sample_prompts),
            f"training.sample_prompts: a network that learns task={self.task!r} writes no text; set them to ()",
        )
        require(
            not (self.init_from and self.training.word_vectors),
            f"init_from={self.init_from!r} and training.word_vectors={self.training.word_vectors!r} both say where the "
            "token embedding starts; leave one out",
        )
        require(
            not self.training.epochs or self.data.on_end == "repeat",
            f"training.epochs={self.training.epochs} and data.on_end={self.data.on_end!r} both say how often the text is seen; "
            "leave one out",
        )
        require(
            self.loss.class_weights == "none" or self.task == "classification",
            f"loss.class_weights={self.loss.class_weights!r} is for task='classification'; set none",
        )
        if self.lora.rank:
            require(
                not self.training.layer_norms,
                "training.layer_norms is for layers that are trained in full; leave it False",
            )
            require(
                self.init_from, f"lora.rank={self.lora.rank} adds to weights that are given; name them in init_from"
            )
            for name, whole in (("frozen", ()), ("layer_decay", 1.0)):
                value = getattr(self.optimizer, name)
                require(
                    value == whole,
                    f"optimizer.{name}={value!r} is for parameters that are trained in full, and with lora.rank="
                    f"{self.lora.rank} only adapters are; lora.targets says of which",
                )
        require(0 <= self.seed < 2**32, f"seed={self.seed} must be from 0 to {2**32 - 1}")
        require(
            self.data.sequence_length <= self.model.max_length,
            f"data.sequence_length={self.data.sequence_length} is above model.max_length={self.model.max_length}; "
            "lower the first or raise the second",
        )


def require_task(name: str) -> None:
    """Raises ConfigError where no task has this name; of what a config for fine-tuning is called after, it names that."""
    its_own = name not in TASKS and name.isidentifier() and (CONFIGS / "finetune" / f"{name}.py").is_file()
    require(not its_own, f"task={name!r} is not known; --config configs/finetune/{name}.py has what learns it")
    check_choice(TASKS, name, "task")


SECTIONS = {field.name: field.type for field in dataclasses.fields(RunConfig)}


def fill_in_defaults(stored: Settings, kind: type = RunConfig) -> Settings:
    """The settings of a run that was begun before some keys came to be: these have their field's default.

    So a field that is added must have a default, and the default must mean "as before".
    """
    fields = dataclasses.fields(kind)
    filled = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING} | stored
    for field in fields:
        section = filled.get(field.name, {})
        if dataclasses.is_dataclass(field.type) and isinstance(section, Mapping):
            filled[field.name] = fill_in_defaults(section, field.type)
    return filled


def build_config(settings: Settings, vocab_size: int | None = None, num_classes: int | None = None) -> RunConfig:
    """The frozen record of `settings`; `vocab_size` is the tokenizer's and `num_classes` the data's, once they are known.

    Raises:
        ConfigError: an unknown or missing key, a wrong type, a value or a combination that is not allowed, with its
            dotted path.
    """
    _same_keys("", settings, SECTIONS)
    values = {}
    for name in sorted(SECTIONS, key=lambda name: name == "model"):  # last, since others give it sizes
        kind, value = SECTIONS[name], settings[name]
        if name == "model" and isinstance(value, Mapping):
            value = _fill_in(value, values, vocab_size, num_classes)
        values[name] = (_build_section if dataclasses.is_dataclass(kind) else _checked)(name, value, kind)
    return RunConfig(**values)


def _build_section(name: str, section: Any, kind: type) -> Any:
    if not isinstance(section, Mapping):
        raise ConfigError(f"{name}={section!r} must be a section of settings")
    fields = typing.get_type_hints(kind)
    _same_keys(f"{name}.", section, fields)
    values = {field: _checked(f"{name}.{field}", section[field], fields[field]) for field in fields}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{name}.{error}") from error


def _fill_in(
    model: Mapping[str, Any], others: Mapping[str, Any], pieces: int | None, classes: int | None
) -> dict[str, Any]:
    """The model's settings, with what is worked out from `others`: the tokenizer may be asked for more pieces than it has."""
    model = dict(model)
    if model.get("vocab_size", ...) is None:
        model["vocab_size"] = pieces or others["tokenizer"].vocab_size
    elif pieces and type(model.get("vocab_size")) is int and model["vocab_size"] < pieces:
        raise ConfigError(
            f"model.vocab_size={model['vocab_size']} is below the tokenizer's {pieces} pieces; raise it, or set None"
        )
    fixed = TASKS[others["task"]].outputs if others["task"] in TASKS else None  # `RunConfig` tells of an unknown one
    classes = fixed or classes
    if classes and model.get("num_classes", ...) is None:
        model["num_classes"] = classes
    elif classes and type(model.get("num_classes")) is int and model["num_classes"] != classes:
        why = f"task={others['task']!r} has {fixed} output" if fixed else f"the labels have {classes} classes"
        raise ConfigError(f"model.num_classes={model['num_classes']}, but {why}; set None")
    if model.get("max_length", ...) is None:
        model["max_length"] = others["data"].sequence_length
    if model.get("bidirectional_prefix", ...) is None:
        model["bidirectional_prefix"] = others["task"] == "prefix_lm"
    if model.get("dtype") == "auto":
        model["dtype"] = default_dtype()
    return model


def _same_keys(prefix: str, given: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for key in given:
        if key not in expected:
            raise ConfigError(f"{prefix}{key} is not a key{nearest(key, expected)}; configs/base.py lists them all")
    missing = [key for key in expected if key not in given]
    if missing:
        raise ConfigError(f"{prefix}{missing[0]} is missing; start the config from configs/base.py")


def _checked(key: str, value: Any, kind) -> Any:
    """`value` as `kind`, where it is of that type."""
    if typing.get_origin(kind) is tuple:
        if typing.get_args(kind)[0] is float:
            if isinstance(value, (tuple, list)):
                return tuple(_checked(key, item, float) for item in value)
            raise ConfigError(f"{key}={value!r} must be a tuple of numbers, such as (0.7, 0.3)")
        if isinstance(value, str):
            value = split_sources(value) if key.startswith("data.") else (value,)
        if isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ConfigError(f"{key}={value!r} must be a string or a tuple of strings")
    return check_type(key, value, kind)
