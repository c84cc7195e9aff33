"""Which of two validations is the better one."""

from collections.abc import Collection

from common.errors import choose, require

# By the name of a validation's figure (of one of its sources, what stands before the "/"): whether more of it is better.
MORE_IS_BETTER = {
    "loss": False,
    "perplexity": False,
    "bits_per_byte": False,
    "mse": False,
    "accuracy": True,
    "macro_f1": True,
    "micro_f1": True,
    "exact_match": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "span_accuracy": True,
    "pearson": True,
    "spearman": True,
}


def more_is_better(name: str) -> bool:
    """Whether more of this figure is better.

    Raises:
        ConfigError: it is not in the table.
    """
    return choose(MORE_IS_BETTER, name.partition("/")[0], "best_metric")


def check_metric(name: str, reported: Collection[str]) -> None:
    """Raises ConfigError unless a validation reports the figure of this name, and it is known which way is better."""
    require(
        name in reported,
        f"training.best_metric={name!r} is none that this run's validation reports; choose from: {', '.join(reported)}",
    )
    more_is_better(name)
