"""Figures of names, of several classes and of numbers against seqeval, scikit-learn and SciPy."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.metrics import f1_score as class_f1

from metrics import by_class, by_type, count_spans, multilabel_metrics, regression_metrics, span_metrics
from metrics.spans import find_spans

CLASSES = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER", "I-X-Y")
NUMBERS = st.integers(0, len(CLASSES) - 1)
DOCUMENTS = st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8), min_size=1, max_size=5)


@given(st.lists(st.sampled_from(CLASSES), max_size=12))
def test_spans_are_seqevals(tags):
    theirs = [(start, end + 1, kind) for kind, start, end in get_entities(tags)]
    assert find_spans(tags) == [each for each in theirs if each[2] != "_"]


def test_spans_by_hand():
    assert find_spans(["B-A", "I-A", "B-A", "O", "I-B", "I-A"]) == [(0, 2, "A"), (2, 3, "A"), (4, 5, "B"), (5, 6, "A")]


@settings(deadline=None)
@given(DOCUMENTS)
def test_scores_of_spans_are_seqevals(documents):
    """Also that no span goes on from one document into the next."""
    labels, predictions = (np.array([pair[side] for document in documents for pair in document]) for side in (0, 1))
    numbers = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    names = [[[CLASSES[pair[side]] for pair in document] for document in documents] for side in (0, 1)]
    ours = span_metrics(labels, predictions, numbers, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
        theirs = {name: score(*names) for name, score in theirs.items()}
        report = (
            classification_report(*names, output_dict=True, zero_division=0) if any(map(find_spans, names[0])) else {}
        )
    assert ours == pytest.approx(theirs | {"accuracy": (labels == predictions).mean()})
    counts, kinds = count_spans(labels, predictions, numbers, CLASSES)
    assert counts.shape == (len(documents), 3, 3) and kinds == ["LOC", "PER", "X-Y"]
    for kind, scores in by_type(counts, kinds).items():
        if kind in report:
            assert scores == pytest.approx({n.replace("-score", ""): v for n, v in report[kind].items()}), kind


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 5))
def test_several_classes_are_scikit_learns(seed, examples, classes):
    labels, predictions = np.random.default_rng(seed).integers(0, 2, (2, examples, classes)).astype(np.int32)
    expected = {
        f"{average}_f1": class_f1(labels, predictions, average=average, zero_division=0)
        for average in ("micro", "macro")
    }
    assert multilabel_metrics(labels, predictions) == pytest.approx(
        expected | {"exact_match": accuracy_score(labels, predictions)}
    )
    names = [f"c{number}" for number in range(classes)]
    table = np.array([[*row.values()] for row in by_class(labels, predictions, names).values()]).T
    np.testing.assert_allclose(table, precision_recall_fscore_support(labels, predictions, zero_division=0))


def test_numbers_by_hand():
    values = regression_metrics(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]))
    assert values == pytest.approx({"mse": 0.5, "pearson": 0.8, "spearman": 0.8})
    curved = regression_metrics(np.arange(1, 6.0), np.exp(np.arange(1, 6.0)))
    assert curved["spearman"] == pytest.approx(1) and curved["pearson"] < 0.95
    constant = regression_metrics(np.array([1.0, 2]), np.array([1.0, 1]))
    assert constant["mse"] == 0.5 and math.isnan(constant["pearson"]) and math.isnan(constant["spearman"])
