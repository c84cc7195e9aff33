"""How well parameters predict texts: in all, and document by document."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from data.batches import ValidBatches
from data.encoded import EncodedText
from data.tokenizer import Tokenizer
from metrics import bits_per_byte, language_model_metrics
from tasks import TASKS, Task
from training.config import RunConfig
from training.prefetch import prefetch
from training.rows import pack_rows
from training.sharding import local_rows, put_batch, replicated
from training.step import Batch, Params, make_eval_step

# Told how far it is: batches done, and how many there are.
Tell = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class DocumentSums:
    """What was measured of each document of a text; float64 [documents].

    Attributes:
        loss: cross-entropy of its targets in nats, summed.
        weight: the targets that count.
        places: the document of each target that counts, in their order, int64 [N]; where something is asked there.
        answers: then, what the network would answer there, as the task's `predict` names it, and the "targets"; [N, ...] each.
    """

    loss: np.ndarray
    weight: np.ndarray
    places: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    answers: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


class Evaluator:
    """Measures parameters on texts by source, each packed once, in batches laid over the mesh."""

    def __init__(
        self,
        eval_step,
        batches: Mapping[str, ValidBatches],
        task: Task,
        mesh: Mesh,
        classes: Sequence[str] = (),
    ):
        """`eval_step`: (params, batch) -> {"loss", "weight"} and answers at each place, as `make_eval_step` gives it.

        `classes`: the names of the classes, where there are any.
        """

        def step(params: Params, batch: Batch) -> dict[str, jax.Array]:
            wanted = ("segment_ids", "targets") if task.score is not None else ("segment_ids",)
            return eval_step(params, batch) | {name: batch[name] for name in wanted}

        self._step = jax.jit(step, out_shardings=replicated(mesh))  # so that each process can read all of it
        self._batches, self._task, self._mesh, self._classes = batches, task, mesh, tuple(classes)

    @property
    def figures(self) -> list[str]:
        """The names of what `__call__` gives."""
        if self._task.score is not None:
            return ["loss", *self._task.figures]
        several = [f"bits_per_byte/{source}" for source in self._batches] if len(self._batches) > 1 else []
        return ["loss", "perplexity", *(["bits_per_byte", *several] if self._task.every_token else [])]

    def batch_loss(self, params: Params, batch: Batch) -> float:
        """The summed cross-entropy of one batch, arrays [B, T] over the mesh, in nats."""
        return float(np.sum(self._step(params, batch)["loss"]))

    def __call__(self, params: Params) -> dict[str, float]:
        """The "loss" (mean nats a target) of all texts together, and what the task's `score` gives; without one "perplexity".

        Where every token is a target, "bits_per_byte" as well and, of several sources, "bits_per_byte/SOURCE" of each.
        """
        return self.metrics(self.measure(params))

    def metrics(self, measured: Mapping[str, DocumentSums]) -> dict[str, float]:
        """The same of what `measure` gave."""
        sizes = {source: batches.packed.texts[0].num_bytes for source, batches in self._batches.items()}
        sums = {source: (each.loss.sum(), each.weight.sum()) for source, each in measured.items()}
        loss, weight = map(sum, zip(*sums.values(), strict=True))
        if self._task.score is not None:
            answers = all_answers(measured) | {"classes": np.array(self._classes)}
            return {"loss": loss / weight} | self._task.score(answers)
        every_token = self._task.every_token
        values = language_model_metrics(loss, weight, sum(sizes.values()) if every_token else None)
        if every_token and len(sums) > 1:
            values |= {f"bits_per_byte/{source}": bits_per_byte(sums[source][0], sizes[source]) for source in sums}
        return values

    def measure(self, params: Params, tell: Tell = lambda *_: None) -> dict[str, DocumentSums]:
        """What each document of each source costs."""
        total, done, measured = sum(map(len, self._batches.values())), 0, {}
        for source, batches in self._batches.items():
            rows = local_rows(self._mesh, batches.batch_size)
            loss, weight = (np.zeros(len(batches.packed.texts[0].starts)) for _ in range(2))
            asked: list[dict[str, np.ndarray]] = []

            def make(number: int, batches: ValidBatches = batches, rows: slice = rows) -> Batch:
                return put_batch(self._mesh, batches(number, rows), batches.batch_size)

            with prefetch(make, range(len(batches))) as ready:
                for number, batch in enumerate(ready):
                    values = jax.device_get(self._step(params, batch))
                    documents = batches.documents(number, values["segment_ids"])
                    np.add.at(loss, documents, values["loss"])
                    np.add.at(weight, documents, values["weight"])
                    if self._task.score is not None:
                        counted = values["weight"] > 0
                        names = values.keys() - {"loss", "weight", "segment_ids"}
                        asked.append({name: values[name][counted] for name in names} | {"": documents[counted]})
                    done += 1
                    tell(done, total)
            measured[source] = DocumentSums(loss, weight, *_in_order(asked))
        return measured


def make_evaluator(
    config: RunConfig,
    texts: Mapping[str, EncodedText],
    tokenizer: Tokenizer,
    mesh: Mesh,
    batch_size: int,
    classes: Sequence[str] = (),
) -> Evaluator:
    """The Evaluator of a run's task on these texts, so many rows at a time."""
    task = TASKS[config.task]
    packed = {source: pack_rows(config, tokenizer, [text]) for source, text in texts.items()}
    batches = {source: ValidBatches(rows, batch_size, prepare) for source, (rows, prepare) in packed.items()}
    return Evaluator(make_eval_step(config.model, task, config.loss, mesh), batches, task, mesh, classes)


def _in_order(asked: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The document (under "") of each answer, in their order, and the answers, of what each batch gave."""
    if not asked:
        return np.zeros(0, np.int64), {}
    answers = {name: np.concatenate([batch[name] for batch in asked]) for name in asked[0]}
    documents = answers.pop("")
    order = np.argsort(documents, kind="stable")
    return documents[order], {name: values[order] for name, values in answers.items()}


def all_answers(measured: Mapping[str, DocumentSums]) -> dict[str, np.ndarray]:
    """The answers to all documents, in the order of the sources, [N, ...] each; and "documents", the number of each one's."""
    parts = [each.answers for each in measured.values()]
    before = np.cumsum([0, *(len(each.loss) for each in measured.values())])
    documents = [each.places + first for first, each in zip(before, measured.values(), strict=False)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | {
        "documents": np.concatenate(documents)
    }
