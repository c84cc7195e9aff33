import math

import numpy as np
import pytest
import scipy.stats

from metrics import (
    bits_per_byte,
    bootstrap,
    by_class,
    classification_averages,
    classification_metrics,
    confusion,
    perplexity,
)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(0.0, 1.0), (math.log(2), 2.0), (math.log(8192), 8192.0), (-math.log(4), 0.25), (700.0, 1.0142320547350045e304)],
)
def test_perplexity_is_the_number_of_even_choices(loss, expected):
    assert perplexity(loss) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [710.0, 1e300, math.inf])
def test_perplexity_beyond_a_float_is_infinite(loss):
    assert perplexity(loss) == math.inf


def test_perplexity_of_no_number_is_none():
    assert math.isnan(perplexity(math.nan))


def test_bits_per_byte_of_even_odds():
    # 6 tokens out of 16 take 4 bits each; spelled in 12 bytes that is 2 bits a byte.
    assert bits_per_byte(6 * math.log(16), 12) == pytest.approx(2)
    # A model that knows nothing of bytes needs all 8 bits of each.
    assert bits_per_byte(100 * math.log(256), 100) == pytest.approx(8)
    assert bits_per_byte(0.0, 5) == 0


def test_bits_per_byte_does_not_depend_on_the_tokens():
    # One text of 10 bytes, probability 2^-20 in all, as 4 tokens or as 10.
    in_four, in_ten = 4 * (5 * math.log(2)), 10 * (2 * math.log(2))
    assert bits_per_byte(in_four, 10) == pytest.approx(bits_per_byte(in_ten, 10)) == pytest.approx(2)
    assert perplexity(in_four / 4) != pytest.approx(perplexity(in_ten / 10))


# The bootstrap.


def mean_and_ratio(numbers, sizes):
    return {"mean": numbers.mean(), "ratio": numbers.sum() / sizes.sum()}


def test_intervals_are_those_of_scipy():
    draw = np.random.default_rng(1)
    numbers, sizes = draw.normal(3, 1, 60), draw.integers(1, 9, 60)
    found = bootstrap(mean_and_ratio, (numbers, sizes), resamples=4000)
    for name in found:
        expected = scipy.stats.bootstrap(
            (numbers, sizes),
            lambda numbers, sizes, name=name: mean_and_ratio(numbers, sizes)[name],
            paired=True,
            vectorized=False,
            n_resamples=4000,
            method="percentile",
        ).confidence_interval
        assert found[name] == pytest.approx(tuple(expected), rel=0.02)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    draw, hits = np.random.default_rng(0), 0
    for _ in range(200):
        sample = draw.normal(1, 2, 80)
        low, high = bootstrap(lambda x: {"mean": x.mean()}, (sample,), resamples=200)["mean"]
        hits += low < 1 < high
    assert 180 <= hits <= 198


def test_one_document_has_no_interval_and_a_seed_gives_the_same_again():
    assert bootstrap(mean_and_ratio, (np.ones(1), np.ones(1))) == {}
    samples = np.arange(9.0), np.ones(9)
    assert bootstrap(mean_and_ratio, samples) == bootstrap(mean_and_ratio, samples)
    assert bootstrap(mean_and_ratio, samples) != bootstrap(mean_and_ratio, samples, seed=1)


# Classes: two of "a" are right, one is taken for "b"; one of two "b" is right; "c" is never said.
LABELS, ANSWERS = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])


def test_classes_as_worked_by_hand():
    found = by_class(LABELS, ANSWERS, ["a", "b", "c"])
    assert found["a"] == pytest.approx({"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7, "support": 3})
    assert found["b"] == pytest.approx({"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2})
    assert found["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    macro_f1 = (4 / 7 + 1 / 2) / 3
    assert classification_metrics(LABELS, ANSWERS) == pytest.approx({"accuracy": 3 / 6, "macro_f1": macro_f1})
    averages = classification_averages(LABELS, ANSWERS)
    assert averages["macro_precision"] == pytest.approx(1 / 3) and averages["macro_recall"] == pytest.approx(7 / 18)
    assert averages["macro_f1"] == pytest.approx(macro_f1)
    assert {averages[f"micro_{name}"] for name in ("precision", "recall", "f1")} == {0.5}
    assert confusion(LABELS, ANSWERS, ["a", "b", "c"]).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
