"""Parts of documents, against what cross-validation promises and scikit-learn's StratifiedKFold."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.corpus import load_corpus
from data.document import Document
from data.examples import load_examples
from data.folds import split_fold
from data.forms import FORMS
from data.tokenizer import TokenizerConfig

CHARACTERS = TokenizerConfig(300, "char", 1.0, byte_fallback=False, split_digits=True)
DOCUMENTS = st.lists(
    st.tuples(
        st.builds(Document, st.text("abc", min_size=1, max_size=5), st.just("x"), st.none() | st.sampled_from("kl")),
        st.sampled_from("ABC"),
    ),
    max_size=40,
)


@given(DOCUMENTS, st.integers(2, 5))
@settings(max_examples=100, deadline=None)
def test_each_document_validates_once_and_its_copies_with_it(pairs, folds):
    documents, strata = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    keys = {document.key or document.text for document in documents}
    if len(keys) < folds:
        with pytest.raises(UserError, match=f"different documents make no {folds} parts"):
            split_fold(documents, strata, folds, 1)
        return
    sides = [split_fold(documents, strata, folds, fold) for fold in range(1, folds + 1)]
    for rest, part in sides:
        assert sorted(map(repr, rest + part)) == sorted(map(repr, documents))
        assert not {each.key or each.text for each in rest} & {each.key or each.text for each in part}
    assert sorted(repr(each) for _, part in sides for each in part) == sorted(map(repr, documents))


def test_classes_are_shared_out_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 101, p=(0.7, 0.2, 0.1))
    documents = [Document(f"text {number}", "x") for number in range(len(labels))]
    of = dict(zip([document.text for document in documents], labels, strict=True))

    def counts(numbers) -> list[int]:
        return np.bincount(numbers, minlength=3).tolist()

    ours = [counts([of[each.text] for each in split_fold(documents, labels, 4, fold)[1]]) for fold in range(1, 5)]
    theirs = [counts(labels[part]) for _, part in StratifiedKFold(4).split(labels, labels)]
    for name in range(3):
        assert {each[name] for each in ours} == {each[name] for each in theirs}
    assert {sum(each) for each in ours} == {25, 26}


def data(path, **changes) -> DataConfig:
    return DataConfig((str(path),), (), 0.1, 16, str(path.parent / "cache"), **{"folds": 2, "packing": "pad"} | changes)


def write(path, *pairs: tuple[str, str]):
    path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in pairs))
    return path


def test_examples_and_texts_are_divided(tmp_path):
    source = write(tmp_path / "a.jsonl", *((f"text {number}", "ab"[number % 2]) for number in range(20)))
    corpora = [load_examples(data(source, fold=fold), FORMS["labels"], CHARACTERS, (), print) for fold in (1, 2)]
    held_out = [{each.text for side in corpus.valid_documents.values() for each in side} for corpus in corpora]
    assert len(held_out[0]) == len(held_out[1]) == 10 and not held_out[0] & held_out[1]
    for corpus in corpora:
        labels = np.concatenate([text.labels for text in corpus.valid.values()])
        assert np.bincount(labels).tolist() == [5, 5]
    assert corpora[0].fingerprint != corpora[1].fingerprint

    texts = tmp_path / "text.txt"
    texts.write_text("\n\n".join(f"the text of number {number}" for number in range(20)))
    sizes = [len(next(iter(load_corpus(data(texts, fold=fold), CHARACTERS).valid.values())).starts) for fold in (1, 2)]
    assert sizes == [10, 10]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("aaab", r"--folds 2: of the parts of .*, number [12] has no label but 'a'; give more examples"),
        ("aabbc", r"--folds 2: of the parts of .*, number [12] has all examples of c, so that none is trained on"),
    ],
)
def test_a_part_that_tells_nothing_is_refused(tmp_path, labels, message):
    source = write(tmp_path / "few.jsonl", *((f"text {number}", label) for number, label in enumerate(labels)))
    with pytest.raises(UserError, match=message):
        for fold in (1, 2):
            load_examples(data(source, fold=fold), FORMS["labels"], CHARACTERS, (), print)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "folds=1 must be at least 2 parts, or 0"),
        ({"fold": 3}, "fold=3 must be from 1 to folds=2"),
        ({"fold": 0}, "fold=0 must be from 1 to folds=2"),
        ({"dedup": "exact"}, r"folds=2 is for documents as they are; leave clean=\(\) and dedup='none'"),
    ],
)
def test_settings_that_make_no_parts(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        data(tmp_path / "any", **changes)
