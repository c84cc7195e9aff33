import math
import time

import numpy as np
import pytest
import scipy.stats
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from metrics import (
    bits_per_byte,
    bootstrap,
    by_class,
    classification_metrics,
    confusion,
    perplexity,
    text_statistics,
)
from metrics.text import bleu_tokenizer


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
    averages = classification_metrics(LABELS, ANSWERS)
    assert averages["macro_precision"] == pytest.approx(1 / 3) and averages["macro_recall"] == pytest.approx(7 / 18)
    assert (averages["accuracy"], averages["macro_f1"]) == pytest.approx((3 / 6, macro_f1))
    assert {averages[f"micro_{name}"] for name in ("precision", "recall", "f1")} == {0.5}
    assert confusion(LABELS, ANSWERS, ["a", "b", "c"]).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(("examples", "classes"), [(1, 2), (5, 9), (60, 4)])
def test_classes_are_scikit_learns(examples, classes):
    generator = np.random.default_rng(examples)
    for _ in range(20):
        labels, answers = generator.integers(classes, size=(2, examples), dtype=np.int32)
        theirs = {"accuracy": accuracy_score(labels, answers)}
        for average in ("macro", "micro"):
            scores = precision_recall_fscore_support(labels, answers, average=average, zero_division=0)[:3]
            theirs |= {
                f"{average}_{name}": score for name, score in zip(("precision", "recall", "f1"), scores, strict=True)
            }
        assert classification_metrics(labels, answers) == pytest.approx(theirs)


def test_an_interval_of_classes_takes_no_second():
    samples = np.random.default_rng(0).integers(19, size=(2, 867))
    begun = time.process_time()
    assert bootstrap(classification_metrics, samples).keys() >= {"accuracy", "macro_f1", "micro_recall"}
    assert time.process_time() - begun < 1  # by scikit-learn's functions it is ten


ENGLISH = ["The cat sat on the mat.", "It's 3.5 metres, isn't it?", "Nothing.", "A man is here"]
NEARLY = ["The cat is on a mat.", "It is 3.5 metres, isn't it?", "", "a man was here today"]
CHINESE = ["我们是好朋友。", "他在3号楼学习 English。", "你好"]
NEAR = ["我们是朋友。", "他在3号楼学英语。", "您好"]


@pytest.mark.parametrize(("predictions", "references", "tokens"), [(NEARLY, ENGLISH, "13a"), (NEAR, CHINESE, "zh")])
def test_bleu_and_chrf_are_those_of_the_library(predictions, references, tokens):
    samples, statistics, signatures = text_statistics(predictions, references)
    for kept in (slice(None), [0, 0, 1], [1]):
        mine, theirs = (np.array(texts, object)[kept].tolist() for texts in (predictions, references))
        figures = statistics(*(sample[kept] for sample in samples))
        for name, metric in {"bleu": BLEU(tokenize=tokens), "chrf": CHRF()}.items():
            assert figures[name] == pytest.approx(metric.corpus_score(mine, [theirs]).score)
            assert signatures[name] == str(metric.get_signature()), "as the library writes it"
    assert f"tok:{tokens}" in signatures["bleu"]


def test_rouge_of_english_is_the_librarys_and_of_chinese_that_of_its_characters_apart():
    samples, statistics, _ = text_statistics(NEARLY, ENGLISH)
    library = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name in ("rouge1", "rouge2", "rougeL"):
        scores = [library.score(*pair)[name].fmeasure for pair in zip(ENGLISH, NEARLY, strict=True)]
        assert statistics(*samples)[name] == pytest.approx(np.mean(scores))

    samples, statistics, signatures = text_statistics(NEAR, CHINESE)
    figures = statistics(*samples)
    # By hand: 5 of 5 and 6 characters; 他 在 3 号 楼 学 of 8 and 8 tokens (习 english, 英 语); 好 of 2 and 2.
    unigrams = [2 * 5 / 11, 2 * 6 / 16, 2 * 1 / 4]
    bigrams = [2 * 3 / 9, 2 * 5 / 14, 0]
    assert figures["rouge1"] == figures["rougeL"] == pytest.approx(np.mean(unigrams))
    assert figures["rouge2"] == pytest.approx(np.mean(bigrams))
    assert "characters" in signatures["rouge"]


@pytest.mark.parametrize("text", ["Привет, мир", "私は学生です。", "เขาไปโรงเรียน", "Das Mädchen übt schön."])
def test_rouge_knows_letters_of_all_scripts(text):
    samples, statistics, _ = text_statistics([text], [text])
    assert statistics(*samples)["rouge2"] == 1
    samples, statistics, _ = text_statistics([text[:-3]], [text])
    assert 0 < statistics(*samples)["rouge1"] < 1


def test_rouge_takes_a_chinese_zero_for_a_character():
    samples, statistics, _ = text_statistics(["一九〇〇年"], ["一九〇年"])
    assert statistics(*samples)["rouge1"] == pytest.approx(2 * 4 / 9)


def test_equal_texts_are_perfect_and_intervals_hold_the_figures():
    samples, statistics, _ = text_statistics(CHINESE[:2], CHINESE[:2])
    assert statistics(*samples) == pytest.approx({"bleu": 100, "chrf": 100, "rouge1": 1, "rouge2": 1, "rougeL": 1})
    samples, statistics, _ = text_statistics(NEARLY * 5, ENGLISH * 5)
    for name, (low, high) in bootstrap(statistics, samples, resamples=200).items():
        assert low < statistics(*samples)[name] < high


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [("我们 are", "13a"), ("我们是 it", "zh"), ("日本語です、ね", "char"), ("ไปโรงเรียน", "char"), ("123", "13a")],
)
def test_the_tokenizer_is_that_of_the_commonest_script(text, tokenizer):
    assert bleu_tokenizer([text]) == tokenizer
