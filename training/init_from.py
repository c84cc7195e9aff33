"""A new run that starts from the parameters of another run's folder, or of converted weights.

The network and the tokenizer come with them; how they are trained on is the new run's own affair.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from common.command import Say
from common.errors import ConfigError, UserError, require
from data.forms import DIALOGUES
from model import TransformerConfig
from model.parameters import Params, abstract_params, by_path, nested
from tasks import TASKS, tasks_of
from training.config import Settings, require_task
from training.run_folder import RunFolder
from training.settings import chosen_keys
from training.sharding import MeshConfig
from training.trained_model import abstract_model, load_model

# Settings of the network that are the new run's own.
OWN = (
    "dropout",
    "initializer",
    "initializer_std",
    "attention",
    "dtype",
    "remat",
    "scan_layers",
    "bidirectional_prefix",
)
HEAD = "head/classes/"  # in the path of its arrays
NEW_HEAD = ("head", "num_classes")  # where the task has labels
# Those that come with the parameters but may be set to something else, for longer texts.
ADJUSTABLE = (
    "max_length",  # but not with learned positions: it is the shape of their table
    "sliding_window",
    "rope_theta",
    "rope_scaling",
    "rope_factor",
    "rope_original_length",
    "rope_low_rotations",
    "rope_high_rotations",
)


def settle(
    settings: Settings, overrides: Collection[str], folder: RunFolder | None
) -> tuple[Settings, RunFolder | None]:
    """The settings with those that come from elsewhere, and the folder whose tokenizer the run uses; None: it trains one.

    That is the run's own `folder` once it was begun, so that the one it started from may be gone; else that of `init_from`.

    Raises:
        ConfigError: `init_from` is no run's folder; settings contradict it; its network is not of the task's kind; the run's
            own folder holds converted weights, which it would start from.
    """
    path = settings.get("init_from")
    source = None if folder is None or folder.settings() is None else folder
    if not (isinstance(path, str) and path):  # of another type: `build_config` tells
        return settings, source
    if folder is not None and folder.is_untrained():
        raise ConfigError(
            f"init_from={path!r} is for a new folder, and {folder.path} holds weights; give another --workdir=DIR"
        )
    if source is None:
        try:
            source, _ = RunFolder.find(path)
        except UserError as error:
            raise ConfigError(f"init_from: {error}") from error
    return inherit(settings, chosen_keys(settings, overrides), source), source


def inherit(settings: Settings, chosen: Collection[str], source: RunFolder) -> Settings:
    """The settings with the network's and the tokenizer's from `source`; `chosen` are the keys that a user has set.

    Raises:
        ConfigError: a key that was set contradicts them; the network is not of the task's kind.
    """
    network, task = source.config(source.tokenizer()).model, str(settings.get("task"))
    require_task(task)
    fits = tasks_of(network.network)
    require(
        task in fits,
        f"init_from: the network in {source.path} is of the kind {network.network!r}, which task={task!r} does not train; "
        f"choose from: {', '.join(fits)}",
    )
    own = OWN
    if TASKS[task].head == "classes":
        own = (*OWN, *NEW_HEAD, *([] if TASKS[task].pooled else ["pooler"]))
    adjustable = [name for name in ADJUSTABLE if (network.position, name) != ("learned", "max_length")]
    theirs = {"model": dataclasses.asdict(network), "tokenizer": source.settings()["tokenizer"]}
    contradictions: list[str] = []

    def merge(section: str, ours: Any) -> Any:
        if not isinstance(ours, Mapping):  # `build_config` tells
            return ours
        merged = dict(ours)
        for name, value in theirs[section].items():
            key, given = f"{section}.{name}", ours.get(name)
            said = key in chosen and given is not None  # None: worked out from the others, which are theirs
            if section == "model" and (name in own or (said and name in adjustable)):
                continue
            if said and _plain(given) != _plain(value):
                contradictions.append(f"{key}={value!r}, not {given!r}")
            merged[name] = value
        return merged

    settings = _with_template(settings, chosen, source.settings())
    merged = settings | {section: merge(section, settings.get(section)) for section in theirs}
    require(
        not contradictions,
        f"init_from: the parameters in {source.path} are of a run with {'; '.join(contradictions)}; leave these keys out, "
        "since network and tokenizer come from there",
    )
    return merged


def _with_template(settings: Settings, chosen: Collection[str], theirs: Settings) -> Settings:
    """The settings with the chat template that the source has learned dialogues by, where none is chosen."""
    name, tasks = "chat_template", (settings.get("task"), theirs["task"])
    reads_dialogues = all(task in TASKS and TASKS[task].examples in DIALOGUES for task in tasks)
    if not reads_dialogues or f"data.{name}" in chosen or not isinstance(settings.get("data"), Mapping):
        return settings
    return settings | {"data": settings["data"] | {name: theirs["data"][name]}}


def _plain(value: Any) -> Any:
    """A tuple is equal to the list that JSON makes of it."""
    return list(value) if isinstance(value, tuple) else value


def read_init(path: str, config: TransformerConfig, mesh: MeshConfig, say: Say, classes: Sequence[str] = ()) -> Params:
    """The parameters in the run's folder `path` that the network of `config` has as well, laid over the mesh.

    `say` is told how many were loaded, which are new in this network and begin at random, and which were skipped.

    Args:
        classes: the names of the classes that the network is to tell apart, in their order; the head of a network that tells
            others apart, or these in another order, is not the same.

    Raises:
        UserError: they cannot be read, or one has another shape.
    """
    model = load_model(path, say, mesh=mesh)
    wanted, found = by_path(abstract_params(config)), by_path(model.params)
    loaded = _shared(path, wanted, found, classes)
    say(f"parameters from {path}, step {model.step}:")
    groups = {"loaded": loaded, "new": wanted.keys() - loaded, "skipped": found.keys() - loaded}
    for title, names in groups.items():
        size = sum((found if title != "new" else wanted)[name].size for name in names)
        listed = "" if title == "loaded" or not names else f": {', '.join(sorted(names))}"
        say(f"    {title:<8}{len(names):4} arrays {size:>15,} parameters{listed}")
    if any(name.startswith(HEAD) for name in wanted.keys() & found.keys() - loaded):
        say(
            f"    the head is new, since that one told other classes apart: {', '.join(model.classes) or 'none by name'}"
        )
    return nested({name: found[name] for name in loaded})


def abstract_init(
    path: str, config: TransformerConfig, mesh: MeshConfig, say: Say, classes: Sequence[str] = ()
) -> Params:
    """Shapes, dtypes and shardings of what `read_init` gives; no array is read.

    Raises:
        UserError: as `read_init`.
    """
    found = by_path(abstract_model(path, say, mesh))
    return nested({name: found[name] for name in _shared(path, by_path(abstract_params(config)), found, classes)})


def _shared(path: str, wanted: Mapping[str, Any], found: Mapping[str, Any], classes: Sequence[str]) -> set[str]:
    """The names of the arrays that both have; a head for other classes is not the same."""
    same_classes = RunFolder.find(path)[0].classes() == tuple(classes)
    shared = {
        name
        for name in wanted.keys() & found.keys()
        if not name.startswith(HEAD) or (same_classes and wanted[name].shape == found[name].shape)
    }
    for name in sorted(shared):
        if wanted[name].shape != found[name].shape:
            shapes = f"{list(found[name].shape)}, and this network's is {list(wanted[name].shape)}"
            raise UserError(
                f"init_from: {name} in {path} has the shape {shapes}; leave the model's settings as they are there"
            )
    return shared
