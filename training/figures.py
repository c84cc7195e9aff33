"""The figures of a validation: how they are told, and which of two is the better one."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from common.errors import choose, require


class Figure(NamedTuple):
    shown: str  # how it is told
    more_is_better: bool


# By the name of a validation's figure (of one of its sources, what stands before the "/"), in the order of telling them.
FIGURES = {
    "loss": Figure("loss {:.4f}", False),
    "perplexity": Figure("perplexity {:.2f}", False),
    "bits_per_byte": Figure("{:.3f} bits a byte", False),
    "mse": Figure("MSE {:.4f}", False),
    "pearson": Figure("Pearson {:.3f}", True),
    "spearman": Figure("Spearman {:.3f}", True),
    "precision": Figure("precision {:.3f}", True),
    "recall": Figure("recall {:.3f}", True),
    "f1": Figure("F1 {:.3f}", True),
    "accuracy": Figure("accuracy {:.3f}", True),
    "micro_f1": Figure("micro F1 {:.3f}", True),
    "macro_f1": Figure("macro F1 {:.3f}", True),
    "exact_match": Figure("exact match {:.3f}", True),
    "reward_accuracy": Figure("reward accuracy {:.3f}", True),
    "margin": Figure("margin {:.3f} nats", True),
    "span_accuracy": Figure("span accuracy {:.3f}", True),
}


def tell(values: Mapping[str, float]) -> str:
    """The figures of a validation in one line; behind them, in brackets, the bits a byte of each of several sources."""
    shown = ", ".join(figure.shown.format(values[name]) for name, figure in FIGURES.items() if name in values)
    of_sources = {name.partition("/")[2]: bits for name, bits in values.items() if name.startswith("bits_per_byte/")}
    by_source = ", ".join(f"{source} {bits:.3f}" for source, bits in of_sources.items())
    return f"{shown} ({by_source})" if by_source else shown


def more_is_better(name: str) -> bool:
    """Whether more of this figure is better.

    Raises:
        ConfigError: it is not in the table.
    """
    return choose(FIGURES, name.partition("/")[0], "best_metric").more_is_better


def check_metric(name: str, reported: Collection[str]) -> None:
    """Raises ConfigError unless a validation reports the figure of this name, and it is known which way is better."""
    require(
        name in reported,
        f"training.best_metric={name!r} is none that this run's validation reports; choose from: {', '.join(reported)}",
    )
    more_is_better(name)
