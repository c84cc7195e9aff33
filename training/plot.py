"""Pictures: of a run's losses, and of the classes that it confuses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.pictures import chinese_fonts, picture
from training.metrics_writer import read_metrics


def plot_losses(metrics: Path, target: Path, title: str) -> None:
    """Draws training and validation loss over steps from metrics.jsonl as a PNG, the best validation marked.

    Raises:
        OSError: `target` cannot be written.
    """
    records = read_metrics(metrics)
    train = [(record["step"], record["loss"]) for record in records if record["split"] == "train"]
    valid = [(record["step"], record["loss"]) for record in records if record["split"] == "valid"]
    with picture(target, (8, 4.5), dpi=120) as axes:
        if train:
            axes.plot(*zip(*train, strict=True), label="train", color="tab:blue", linewidth=1, alpha=0.8)
        if valid:
            axes.plot(*zip(*valid, strict=True), label="validation", color="tab:orange", marker="o", markersize=3)
            step, loss = min(valid, key=lambda point: point[1])
            axes.plot(step, loss, "*", color="tab:red", markersize=14, label=f"best: {loss:.3f} at step {step}")
        axes.set(title=title, xlabel="step", ylabel="loss (nats a token)")
        axes.grid(alpha=0.3)
        if records:
            axes.legend()


def plot_confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], target: Path) -> None:
    """Draws how many examples of each class (rows) were taken for which (columns), shaded by their share of the row, as a PNG.

    Where no font has a class's name, its number stands for it, counted from 1.

    Raises:
        OSError: `target` cannot be written.
    """
    has_chinese = bool(chinese_fonts())
    names = [name if name.isascii() or has_chinese else str(number) for number, name in enumerate(classes, 1)]
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.5 + 0.42 * len(classes)
    with picture(target, (size, size), dpi=100) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("prediction")
        axes.set_ylabel("label")
        for row, column in zip(*counts.nonzero(), strict=True):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=color, fontsize=7)
