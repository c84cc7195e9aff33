"""What was found where a model was measured, from which the figures of each task are made."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from common.command import Say
from data.config import DataConfig
from data.encoded import EncodedText
from data.forms import Example
from data.tokenizer import Tokenizer
from metrics import bootstrap
from training.evaluation import DocumentSums, Evaluator, all_answers


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured: texts by source, and of examples they themselves and the classes' names; and the settings of it.

    Attributes:
        write: (sources of pairs) -> what the model writes for each; None: it is asked nothing.
    """

    texts: Mapping[str, EncodedText]
    documents: Mapping[str, Sequence[Example]] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()
    data: DataConfig | None = None
    write: Callable[[Sequence[str]], list[str]] | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """A subject, and what was measured of each of its documents.

    Attributes:
        say: told of figures that cannot be had.
    """

    evaluator: Evaluator
    measured: Mapping[str, DocumentSums]
    subject: Subject
    tokenizer: Tokenizer
    say: Say

    @functools.cached_property
    def answers(self) -> dict[str, np.ndarray]:
        """See `all_answers`."""
        return all_answers(self.measured)

    @property
    def examples(self) -> list[Example]:
        """In the order of the answers."""
        return [example for source in self.measured for example in self.subject.documents[source]]

    @property
    def losses(self) -> np.ndarray:
        """The loss of each document, summed, in this order: float64 [documents]."""
        return np.concatenate([each.loss for each in self.measured.values()])

    @property
    def weights(self) -> np.ndarray:
        """How much counts in each document: float64 [documents]."""
        return np.concatenate([each.weight for each in self.measured.values()])


def figures_of(
    statistics: Callable[..., dict[str, float]], samples: Sequence[np.ndarray], counts: Mapping[str, int], **others: Any
) -> dict[str, Any]:
    """Figures as a `Measurement` has them: the statistics of the samples, their intervals, and how much was measured.

    Args:
        statistics: (arrays [N, ...] each) -> figures; see `bootstrap`.
    """
    return {"metrics": statistics(*samples) | counts, "intervals": bootstrap(statistics, samples), **others}
