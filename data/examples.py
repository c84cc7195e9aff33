"""Examples: rows of sources, read by their form and turned into a corpus, for tasks that learn from more than text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from common.command import Say
from common.errors import UserError, require
from common.files import digest
from data.builtin import attribution
from data.cleaning import Cleaner
from data.config import DataConfig, require_defaults
from data.corpus import Corpus, load_corpus
from data.document import by_source
from data.encoded import EncodedText, document_sizes, join_pieces
from data.folds import split_fold
from data.forms import FORMS, Example, Form
from data.prepared import is_prepared
from data.readers import TABLES, has_fields, naming
from data.sample import sample_texts
from data.skipped import STOP, Report, Skipped, reported, tell_skipped
from data.sources import counted, names_in, open_rows
from data.split import split_documents
from data.tokenizer import Tokenizer, TokenizerConfig, train


def load(
    data: DataConfig, form: str, tokenizer: TokenizerConfig | Tokenizer, classes: Sequence[str], say: Say
) -> Corpus:
    """`load_examples` of a form by its name in `FORMS`; `load_corpus` where that is "", which is text alone."""
    return load_examples(data, FORMS[form], tokenizer, classes, say) if form else load_corpus(data, tokenizer)


def load_examples(
    data: DataConfig, form: Form, tokenizer: TokenizerConfig | Tokenizer, classes: Sequence[str], say: Say
) -> Corpus:
    """What `data.train` and `data.valid` name, as `load_corpus` gives it, with labels or marks, and `classes` if it has some.

    Args:
        classes: the labels' names, where they are settled; else () for those of the training examples.
        say: told of texts that are cut.

    Raises:
        ConfigError, UserError: as `load_corpus`; a setting that is for text alone; an example that its form refuses; a label
            that no training example has; a class without any; fewer than two.
    """
    _refuse_settings_of_text(data, form)
    skipped, cleaner = Skipped(allowed=data.skip_bad), Cleaner(data.clean)
    examples = list(cleaner.clean(read_examples(data.train, form, data, skipped)))
    held_out = list(cleaner.clean(read_examples(data.valid, form, data, skipped))) if data.valid else None
    if not examples or held_out == []:
        raise UserError(f"data.clean leaves nothing of {', '.join(data.train if not examples else data.valid)}")
    if data.folds:
        examples, held_out = _split_fold(examples, form, data)
    elif held_out is None:
        examples, held_out = split_documents(examples, data.valid_fraction)
    if form.classes is not None:
        apart = {name for each in held_out for name in form.classes(each.values)}
        classes = _settle(classes, {name for each in examples for name in form.classes(each.values)}, apart, form, data)
        held_out = list(with_known_classes(held_out, form, classes, skipped))
    sides = by_source(examples), by_source(held_out)
    if isinstance(tokenizer, TokenizerConfig):
        texts = {source: [example.text for example in side] for source, side in sides[0].items()}
        tokenizer = train(sample_texts(texts, tokenizer.sample_bytes, keeps_order=True), tokenizer)
    train_texts, valid_texts = (encode_sources(side, form, tokenizer, classes, data, say) for side in sides)
    sources = {source: attribution(source) for source in (*data.train, *data.valid)}
    parts = (array.tobytes() for text in (*train_texts.values(), *valid_texts.values()) for array in _arrays(text))
    origin = {"sources": sources, "classes": classes, "fingerprint": digest(tokenizer.model, repr(classes), *parts)}
    return Corpus(tokenizer, train_texts, valid_texts, origin, data.train, skipped, tuple(classes), sides[1])


def _refuse_settings_of_text(data: DataConfig, form: Form) -> None:
    names = ("dedup", "augment", "subword_sampling", *(() if form.cleaned else ("clean",)))
    require_defaults(data, names, "is for text alone, and this task learns examples; leave it")
    require(data.packing != "contiguous", "data.packing='contiguous' cuts texts, and examples are whole; set pad")


def _split_fold(examples: list[Example], form: Form, data: DataConfig) -> tuple[list[Example], list[Example]]:
    """The examples outside and inside of part `data.fold`, each of which has its share of every class and source.

    Raises:
        UserError: a part has one label alone, or none, or all there is of one.
    """

    def classes(example: Example) -> tuple[str, ...]:
        return () if form.classes is None else tuple(sorted({*form.classes(example.values)}))

    strata = [(classes(example), example.source) for example in examples]
    rest, part = split_fold(examples, strata, data.folds, data.fold)
    trained, held_out = ({name for each in side for name in classes(each)} for side in (rest, part))
    where = f"--folds {data.folds}: of the parts of {', '.join(data.train)}, number {data.fold} has"
    remedy = "give more examples"
    if form.classes is not None and len(held_out) < 2:
        raise UserError(
            f"{where} no label but {held_out.pop()!r}; {remedy}" if held_out else f"{where} no label; {remedy}"
        )
    if alone := sorted(held_out - trained):
        raise UserError(f"{where} all examples of {', '.join(alone)}, so that none is trained on; {remedy} of it")
    return rest, part


def _settle(classes: Sequence[str], found: set[str], apart: set[str], form: Form, data: DataConfig) -> tuple[str, ...]:
    """The names of the classes, in their order; `found` are those to train on, `apart` those that are held out."""
    for name in classes:
        if name not in found:
            raise UserError(
                f"the class {name!r} has no example to train on in {', '.join(data.train)}; give some, or leave it out"
            )
    classes = tuple(classes) or tuple(sorted(found, key=form.order))
    alone = f"the one label {classes[0]!r}" if classes else "no label"
    key = f"{form.fields[-1]}_field"
    more = ", ".join(sorted(apart - found))
    remedy = (
        f"{more} is held out: give more rows, or data.valid" if more else "give rows of another, or name another column"
    )
    require(
        len(classes) > 1,
        f"data.{key}={getattr(data, key)!r}: what is trained on of {', '.join(data.train)} has {alone}, and two are needed; "
        f"{remedy}",
    )
    return classes


def with_known_classes(
    examples: Iterable[Example], form: Form, classes: Sequence[str], skipped: Skipped = STOP
) -> Iterator[Example]:
    """The examples all of whose classes are among these; the others are an error or, where `skipped` takes them, left out.

    Raises:
        UserError: the error; or none is left.
    """
    known, seen, left = set(classes), 0, 0
    for example in examples:
        seen += 1
        other = [name for name in form.classes(example.values) if name not in known]
        if other:
            names = ", ".join(classes)
            skipped.add(UserError(f"{example.place}: the label {other[0]!r} is none that was trained on: {names}"))
            continue
        left += 1
        yield example
    if seen and not left:
        raise UserError(f"no example has only labels that were trained on: {', '.join(classes)}")


def _arrays(text: EncodedText) -> list[np.ndarray]:
    return [array for array in (text.tokens, text.starts, text.labels, text.marks) if array is not None]


def encode_sources(
    sources: Mapping[str, Sequence[Example]],
    form: Form,
    tokenizer: Tokenizer,
    classes: Sequence[str],
    data: DataConfig,
    say: Say,
) -> dict[str, EncodedText]:
    """The examples of each source as tokens; where some are cut, to fit into a row, `say` is told."""
    texts = {}
    for source, examples in sources.items():
        pieces = form.encode(examples, tokenizer, classes, data)
        if pieces.cut:
            many = f"{pieces.cut:,} of {len(examples):,} texts"
            say(f"{source}: {many} are cut to data.sequence_length={data.sequence_length}")
        sizes = document_sizes([example.text for example in examples])
        if pieces.owners is not None:  # the bytes count once, with the first part
            sizes = np.where(np.diff(pieces.owners, prepend=-1) > 0, sizes[pieces.owners], 0)
        texts[source] = join_pieces(pieces.tokens, sizes, tokenizer, pieces.labels, pieces.marks)
    return texts


def read_examples(sources: Sequence[str], form: Form, data: DataConfig, skipped: Skipped = STOP) -> Iterator[Example]:
    """The examples of every source, in order.

    Args:
        skipped: takes what is broken, which is then left out, if it may be.

    Raises:
        ConfigError: a source that names nothing, or that has no examples of this form.
        UserError: what cannot be read, with file and row; a source without examples.
    """
    for source in sources:
        yield from counted(source, _read_source(source, form, data, skipped.add), skipped)


def read_all(sources: Sequence[str], form: Form, data: DataConfig, say: Say) -> list[Example]:
    """The same as a list; `say` is told of what was left out, as `data.skip_bad` has it."""
    skipped = Skipped(allowed=data.skip_bad)
    examples = list(read_examples(sources, form, data, skipped))
    tell_skipped(skipped, lambda message: say(f"warning: {message}"))
    return examples


def _read_source(source: str, form: Form, data: DataConfig, report: Report) -> Iterator[Example]:
    require(not is_prepared(source), f"{source} is a prepared folder, which keeps text alone; name its sources")
    if source.startswith("builtin:"):
        require(form.builtin is not None, f"{source} has no examples for this task; give JSONL, CSV or Parquet")
        for document, values in form.builtin(source, data):
            yield Example(document.text, source, document.key, form.check(values, data), source)
        return
    settings = [f"{name}_field" for name in form.fields]
    columns = [getattr(data, setting) for setting in settings]
    report = naming(report, dict(zip(columns, settings, strict=True)))
    for name in names_in(source):
        with reported(report):
            if name is not None:
                _require_fields(name, columns)
            rows, place = open_rows(source, name, columns, report)
            for number, row in rows:
                where = f"{place} {number}"
                try:
                    values = form.check(dict(zip(form.fields, row, strict=True)), data)
                except UserError as error:
                    report(UserError(f"{where}: {error}"))
                else:
                    text = form.text(values)
                    key = text if form.key is None else form.key(values)
                    yield Example(text, source, key, values, where)


def _require_fields(name: str, columns: Sequence[str]) -> None:
    """Raises UserError where a file is of a format whose rows have no fields."""
    if not has_fields(name):
        wanted = " and ".join(map(repr, columns))
        raise UserError(f"{name}: examples are read from {', '.join(TABLES)}; give one of these, with {wanted}")
