"""What people read about a prepared folder: report.md, with pictures and samples; the manifest says the same to programs."""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_whole
from common.pictures import picture
from common.tables import markdown, plain

BARS = 0.4  # inches of a picture for each bar


def write_report(folder: Path, content: Mapping[str, Any], lengths: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Writes report.md and its pictures.

    Args:
        content: of the manifest.
        lengths: tokens of each document, int64 [documents] for each source of a split.
    """
    splits = content["splits"]
    draw_lengths(folder / "lengths.png", lengths)
    rates = {
        f"{source} ({split})": part["tokens"] / part["bytes"]
        for split, parts in splits.items()
        for source, part in parts.items()
    }
    draw_bars(folder / "tokens_a_byte.png", rates, "tokens a byte")
    sources = (
        (source, facts["documents"], facts["bytes"], facts["attribution"])
        for source, facts in content["sources"].items()
    )
    parts = [
        "# What this folder holds",
        "## Sources",
        markdown(("source", "documents", "bytes", "origin and license"), sources),
        *_skipped(content["skipped"]),
        *_stages(content["stages"], folder),
        "## Tokens",
        markdown(*split_table(splits)),
        *_variants(content),
        "![Lengths of documents](lengths.png)",
        "![Tokens a byte](tokens_a_byte.png)",
        *_samples(content["stages"]),
        "## Options",
        "\n".join(f"- `{key}`: {literal(repr(value))}" for key, value in content["options"].items()),
    ]
    write_whole(folder / "report.md", "\n\n".join(parts) + "\n")


def _skipped(skipped: Mapping[str, Any] | None) -> list[str]:
    if skipped is None:
        return []
    told = f"{skipped['count']:,} lines, rows or files could not be read and were left out (`data.skip_bad`)."
    examples = "\n".join(f"- {literal(example)}" for example in skipped["examples"])
    return [told, examples] if examples else [told]


def _stages(stages: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    """What each took, as a table and, in the folder, as a picture."""
    parts = ["## Stages", markdown(*stage_table(stages))]
    taken = {f"{number}. {stage['name']}": 100 * taken_share(stage) for number, stage in enumerate(stages) if number}
    if taken:
        draw_bars(folder / "stages.png", taken, "% of bytes taken")
        parts += ["![What each stage took](stages.png)"]
    return parts


def _samples(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [row for stage in stages for row in sample_rows(stage)]
    if not rows:
        return []
    what = "Text before a stage and after it; of a copy, what was dropped and what stays instead."
    return ["## Samples", what, markdown(("stage", "what", "before", "after"), rows)]


def stage_table(stages: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Titles and rows: what each stage took and changed."""
    names = ("documents_in", "documents_out", "changed", "bytes_in", "bytes_out")
    titles = ("stage", *(name.replace("_", " ") for name in names), "bytes taken")
    rows = [(stage["name"], *(stage[name] for name in names), f"{taken_share(stage):.1%}") for stage in stages]
    return titles, rows


def split_table(splits: Mapping[str, Any]) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Titles and rows: what each source gave to each split, and where there are several, all of them."""
    names, rows = ("documents", "tokens", "bytes"), []
    for split, parts in splits.items():
        total = {name: sum(part[name] for part in parts.values()) for name in names}
        for source, part in [*parts.items(), *([("all", total)] if len(parts) > 1 else [])]:
            rows.append((split, source, *(part[name] for name in names), f"{part['tokens'] / part['bytes']:.3f}"))
    return ("split", "source", *names, "tokens a byte"), rows


def summary(manifest: Mapping[str, Any]) -> str:
    """Both tables, for a terminal."""
    return "\n\n".join([plain(*stage_table(manifest["stages"])), plain(*split_table(manifest["splits"]))])


def taken_share(stage: Mapping[str, Any]) -> float:
    """Of the bytes that came to a stage, those that it took; below 0 where it made texts longer."""
    return 1 - stage["bytes_out"] / stage["bytes_in"] if stage["bytes_in"] else 0.0


def sample_rows(stage: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for sample in stage["samples"]:
        before, after = (literal(sample[name]) for name in ("before", "after"))
        what = ("copy" if sample["after"] else "dropped") if sample["dropped"] else "changed"
        yield stage["name"], what, before, after


def line(text: str) -> str:
    """Text on one line, in a cell of a table."""
    return re.sub(r"[^\S\n]", " ", text.replace("|", "\\|")).replace("\n", "↵")


def literal(text: str) -> str:
    """The same, as it is: no mark or tag in it is taken for Markdown's; between more backticks than it has in a row."""
    text = line(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}" if text else ""


def _variants(content: Mapping[str, Any]) -> list[str]:
    """How many of the documents were made by augmentation, since no stage counts them."""
    if not content["options"]["data.augment"]:
        return []
    copies = content["options"]["data.augment_copies"]
    documents = sum(part["documents"] for part in content["splits"]["train"].values())
    return [f"{documents * copies // (copies + 1):,} of the documents to train on are variants (`data.augment`)."]


def draw_lengths(path: Path, lengths: Mapping[str, Sequence[np.ndarray]]) -> None:
    """A histogram of tokens a document, in steps of a factor."""
    longest = max(int(part.max()) for parts in lengths.values() for part in parts)
    edges = np.unique(np.geomspace(1, longest + 1, 60).round())
    with _picture(path, 3.5) as axes:
        for split, parts in lengths.items():
            axes.hist(np.concatenate(parts), edges, label=split, alpha=0.7)
        axes.set(xscale="log", yscale="log", xlabel="tokens a document", ylabel="documents")
        axes.set_ylim(bottom=0.5)  # a single document has a bar, too
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:,.0f}")
            axis.set_minor_formatter("")
        axes.legend()


def draw_bars(path: Path, values: Mapping[str, float], label: str) -> None:
    """A bar for each value, the first at the top."""
    with _picture(path, 1 + BARS * len(values)) as axes:
        axes.barh(list(values), list(values.values()))
        axes.invert_yaxis()
        axes.set(xlabel=label)


@contextlib.contextmanager
def _picture(path: Path, height: float):
    """Axes with a grid behind what is drawn."""
    with picture(path, (8, height), dpi=110) as axes:
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        yield axes
