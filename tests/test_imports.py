"""Reads the imports of every file and holds their direction: down the rows of LAYERS, never up or across."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the top; a folder may import from the rows below its own. The commands, files beside them, are above all.
LAYERS = (("training", "generation"), ("tasks", "interop"), ("model", "data", "metrics"), ("common",))
ROW = {folder: row for row, folders in enumerate(LAYERS) for folder in folders}

# Packages that one folder keeps to itself: the rest of the code need not change when they do.
ONLY_IN = {"flax": {"model"}, "orbax": {"training"}, "optax": {"training"}, "sentencepiece": {"data", "interop"}}
# What has nothing to do with arrays on devices does not wait for JAX to be imported.
WITHOUT_JAX = {"data", "metrics", "common"}

COMMANDS = {file.stem for file in ROOT.glob("*.py")}
FILES = sorted(
    file
    for file in [*ROOT.glob("*.py"), *(file for folder in (*ROW, "configs") for file in (ROOT / folder).rglob("*.py"))]
    if not file.name.startswith(".")
)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(tree: ast.AST, for_types: bool = True, inside: bool = True) -> Iterator[str]:
    """The dotted names that a file imports; a name from a module counts as `module.name`.

    `for_types` counts those under TYPE_CHECKING too, `inside` those in functions.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write it from the root"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif (for_types or not is_type_checking(node)) and (inside or not isinstance(node, ast.FunctionDef)):
            yield from imported(node, for_types, inside)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), file.name)


def package(file: Path) -> str:
    """The folder that a file is in; of a command, its own name."""
    return file.relative_to(ROOT).parts[0]


def allowed(here: str, name: str) -> bool:
    """Whether a file in the folder `here`, or the command of this name, may import `name`."""
    there = name.partition(".")[0]
    if here == "configs":
        ours = there == here or name == "model.presets" or name.startswith("model.presets.")
        return ours or there == "ml_collections" or there in sys.stdlib_module_names
    if here not in ONLY_IN.get(there, {here}) or (there == "jax" and here in WITHOUT_JAX):
        return False
    if there in ROW:
        return here == there or here not in ROW or ROW[there] > ROW[here]
    return there != "configs" and there not in COMMANDS


def refused(file: Path, source: ast.AST) -> list[str]:
    """The imports in `source` that a file in this place must not have."""
    return [name for name in imported(source) if not allowed(package(file), name)]


def test_every_layer_is_read():
    assert {"train.py", "sample.py", "configs", *ROW} - {"interop"} <= {package(file) for file in FILES}
    assert len(FILES) > 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file):
    assert refused(file, parse(file)) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("model/layers.py", "import data.corpus"),
        ("data/sources.py", "from metrics import perplexity"),
        ("metrics/new.py", "from model import config"),
        ("data/sources.py", "def f():\n    import jax.numpy as jnp"),
        ("training/loop.py", "from generation.completion import complete"),
        ("generation/decoder.py", "if True:\n    import training.step"),
        ("tasks/task.py", "from training.step import TrainState"),
        ("tasks/task.py", "from interop import llama"),
        ("common/errors.py", "from data import document"),
        ("model/layers.py", "if TYPE_CHECKING:\n    from tasks import Task"),
        ("data/corpus.py", "import train"),
        ("training/loop.py", "import configs.base"),
        ("training/step.py", "from flax import linen as nn"),
        ("train.py", "import flax"),
        ("configs/tiny.py", "from model import config"),
        ("configs/tiny.py", "import numpy"),
    ],
)
def test_what_points_elsewhere_would_be_found(file, source):
    assert len(refused(ROOT / file, ast.parse(source))) == 1


def modules() -> dict[str, set[str]]:
    """Our modules, and which of ours each one imports as it is loaded."""
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}

    def known(name: str) -> str | None:
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name or None

    def loads(name: str, file: Path) -> set[str]:
        found = {known(other) for other in imported(parse(file), for_types=False, inside=False)}
        return found - {None, name}

    return {name: loads(name, file) for name, file in files.items()}


def test_no_module_needs_itself():
    graph = modules()
    assert graph["data.corpus"] >= {"data.sources", "data.document", "common.files"}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(graph)


def test_a_circle_would_be_found():
    graph = modules()
    graph["data.document"] |= {"data.corpus"}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()
