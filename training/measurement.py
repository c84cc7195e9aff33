"""A run's model measured on text: the figures of the loop's own validation, and how sure they are."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from common.command import Say
from common.errors import UserError, require
from data.config import DataConfig
from data.examples import load
from data.forms import FORMS
from data.measured import load_held_out, load_texts
from data.skipped import tell_skipped
from data.tokenizer import Tokenizer
from model import TransformerConfig
from model.parameters import Params
from tasks import TASKS, tasks_of
from training.answer_figures import of_answers
from training.config import RunConfig, build_config
from training.evaluation import Tell, make_evaluator
from training.found import Found, Subject
from training.label_figures import of_classes, of_label_sets, of_numbers, of_preferences, of_tags
from training.reference import add_reference, ask_reference
from training.run_folder import RunFolder
from training.sharding import batch_divisor, make_mesh
from training.text_figures import of_pairs, of_text
from training.trained_model import load_model


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        step: of the checkpoint.
        data: the sources.
        metrics: the figures by name, and how much they were measured on.
        intervals: 95 % intervals of the figures, from the bootstrap over documents; some may have none.
        per_class: where there are classes, precision, recall, F1 and the number of examples of each; of words' labels, of
            each type of span.
        confusion_matrix: of texts of one class, examples of each class (rows) by what they were taken for (columns).
        signatures: where texts were written, how each figure of them was taken, as the libraries sign it.
        predictions: of each example its text, label, prediction and the probability of that, or what else its task tells.
    """

    task: str
    step: int
    data: tuple[str, ...]
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_class: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    confusion_matrix: list[list[int]] | dict = dataclasses.field(default_factory=dict)
    signatures: dict[str, str] = dataclasses.field(default_factory=dict)
    predictions: list[dict[str, Any]] = dataclasses.field(default_factory=list)


# (parameters, network, tokenizer, settings, sources of pairs) -> what the model writes for each source
Write = Callable[[Params, TransformerConfig, Tokenizer, DataConfig, Sequence[str]], list[str]]


def measure_run(
    path: str,
    task: str | None,
    data: Mapping[str, Any],
    batch_size: int | None,
    say: Say,
    tell: Tell,
    write: Write | None = None,
) -> Measurement:
    """Measures the model in the run's folder (or one step of it) at `path`, on all devices.

    Args:
        task: None: the run's own.
        data: changes to the run's `data` settings; where `valid` is not among them, it is the text the run validates on.
        batch_size: rows at a time, about; None: as many as the run.
        write: asked where the task is to write texts; None: only the loss of these is measured.

    Raises:
        ConfigError, UserError: there is no such run, task or text.
    """
    folder, _ = RunFolder.find(path)
    config, tokenizer = _config(folder, task, data)
    mesh = make_mesh(config.mesh)
    classes = folder.classes()
    rows = batch_size or config.training.batch_size // config.training.microbatches
    rows = -(-rows // batch_divisor(mesh)) * batch_divisor(mesh)
    if "valid" in data:
        subject = _read(config, tokenizer, classes, say)
        if TASKS[config.task].has_reference:
            texts = ask_reference(config, subject.texts, tokenizer, mesh, rows)
            subject = dataclasses.replace(subject, texts=texts)
    else:
        subject = _own(folder, config, tokenizer, mesh, rows)
    evaluator = make_evaluator(config, subject.texts, tokenizer, mesh, rows, subject.classes)
    model = load_model(path, say, mesh=config.mesh)
    if write is not None:
        writes = functools.partial(write, model.params, model.run.model, tokenizer, config.data)
        subject = dataclasses.replace(subject, write=writes)
    measured = evaluator.measure(model.params, tell)
    report = REPORTS.get(config.task, of_text)
    figures = report(Found(evaluator, measured, subject, tokenizer, say))
    return Measurement(config.task, model.step, tuple(subject.texts), **figures)


REPORTS = {  # of all other tasks, a language model's
    "classification": of_classes,
    "multilabel": of_label_sets,
    "question_answering": of_answers,
    "seq2seq": of_pairs,
    "regression": of_numbers,
    "token_classification": of_tags,
    "dpo": of_preferences,
}


def _config(folder: RunFolder, task: str | None, data: Mapping[str, Any]) -> tuple[RunConfig, Tokenizer]:
    """The run's config, with the changes, for all devices; and its tokenizer."""
    tokenizer = folder.tokenizer()
    model = folder.config(tokenizer).model
    fits = tasks_of(model.network)
    require(
        task is None or task in fits,
        f"--task {task}: the network in {folder.path} is of the kind {model.network!r}; choose from: {', '.join(fits)}",
    )
    settings = folder.settings()
    changes = {
        "task": task or settings["task"],
        "model": settings["model"]
        | {"max_length": model.max_length},  # it may follow from the length of the run's rows
        "data": settings["data"] | data | ({"folds": 0} if "valid" in data else {}),
        "mesh": {"data": -1, "fsdp": 1, "tensor": 1},
    }
    classes = len(folder.classes()) or None
    return build_config(settings | changes, tokenizer.vocab_size, classes), tokenizer


def _read(config: RunConfig, tokenizer: Tokenizer, classes: tuple[str, ...], say: Say) -> Subject:
    form, documents = TASKS[config.task].examples, {}
    if form:
        texts, documents, skipped = load_held_out(config.data, FORMS[form], tokenizer, classes, say)
    else:
        texts, skipped = load_texts(config.data, tokenizer)
    tell_skipped(skipped, lambda message: say(f"warning: {message}"))
    return Subject(texts, documents, classes, config.data)


def _own(folder: RunFolder, config: RunConfig, tokenizer: Tokenizer, mesh: Mesh, rows: int) -> Subject:
    """What the run validates on.

    Raises:
        UserError: it was not trained here; its text cannot be read, or is another now.
    """
    remedy = "name a text with --data"
    if folder.is_untrained():
        raise UserError(f"{folder.path} holds converted weights, which have no text of their own; {remedy}")
    try:
        corpus = load(config.data, TASKS[config.task].examples, tokenizer, folder.classes(), lambda line: None)
    except UserError as error:
        raise UserError(f"the run's own text cannot be read: {error}; or {remedy}") from error
    if corpus.fingerprint != (folder.data() or {}).get("fingerprint"):
        raise UserError(f"the text that {folder.path} was trained on has changed since; bring it back, or {remedy}")
    if TASKS[config.task].has_reference:
        corpus = add_reference(config, corpus, folder, mesh, rows, lambda line: None)
    return Subject(corpus.valid, corpus.valid_documents, corpus.classes, config.data)
