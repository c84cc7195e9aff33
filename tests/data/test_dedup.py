"""Copies, against Jaccard similarity by brute force and clusters by plain Python."""

import functools
import hashlib
import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data import dedup
from data.builtin import read_builtin
from data.dedup import NGRAM, NUM_HASHES, find_duplicates, normalise, rows_for, sign, similarity
from data.scripts import words

CHINESE, ENGLISH = zip(
    *(
        (document.text.partition("\n")[0][4:], document.text.rpartition("\n")[2][4:])
        for document in itertools.islice(read_builtin("builtin:hsk"), 0, 4000, 2)
    ),
    strict=True,
)


def make_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 20 sentences, English and Chinese in turn, that share some sentences by chance."""
    pick = random.Random(seed)
    return [
        "".join(pick.sample(CHINESE, 20)) if number % 2 else " ".join(pick.sample(ENGLISH, 20))
        for number in range(count)
    ]


def edit(text: str, share: float, seed: int = 0) -> str:
    """The text with so large a share of its units changed."""
    pick, units = random.Random(seed), list(words(text))
    for at in pick.sample(range(len(units)), round(share * len(units))):
        units[at] = f"x{pick.randrange(10**6)}"
    return " ".join(units)


@functools.cache
def shingles(text: str) -> frozenset[tuple]:
    units = list(words(normalise(text)))
    return frozenset(tuple(units[at : at + NGRAM]) for at in range(max(len(units) - NGRAM + 1, 1)))


def jaccard(a: str, b: str) -> float:
    first, second = shingles(a), shingles(b)
    return len(first & second) / len(first | second)


def test_the_estimate_is_the_jaccard_similarity():
    texts = make_texts(60)
    edited = [edit(text, number / 300, number) for number, text in enumerate(texts)]
    true = np.array([jaccard(a, b) for a, b in zip(texts, edited, strict=True)])
    estimate = similarity(sign(texts).minhash, sign(edited).minhash)
    assert true.min() < 0.25 and true.max() == 1
    deviation = np.sqrt(np.maximum(true * (1 - true), 0.01) / NUM_HASHES)
    assert (np.abs(estimate - true) < 4.5 * deviation).all()
    assert abs((estimate - true).mean()) < 4 * deviation.mean() / np.sqrt(len(texts))


def test_unrelated_texts_are_not_similar():
    minhash = sign(make_texts(40)[::2] + list(CHINESE[:200])).minhash
    pairs = np.triu_indices(len(minhash), 1)
    assert abs(similarity(minhash[pairs[0]], minhash[pairs[1]]).mean()) < 0.02


@given(st.lists(st.text(max_size=60) | st.sampled_from(ENGLISH + CHINESE), max_size=8), st.integers(0, 8))
@settings(max_examples=50, deadline=None)
def test_a_signature_depends_on_its_text_alone(texts, cut):
    together, *apart = sign(texts), sign(texts[:cut]), sign(texts[cut:])
    for field in ("content", "text", "minhash"):
        assert np.array_equal(getattr(together, field), np.concatenate([getattr(part, field) for part in apart]))


def test_nor_does_it_depend_on_how_texts_are_batched(monkeypatch):
    texts = make_texts(30)
    before = sign(texts).minhash
    monkeypatch.setattr(dedup, "BATCH", 700)
    assert np.array_equal(sign(texts).minhash, before)


def test_a_long_text_is_signed_in_pieces(monkeypatch):
    texts = [" ".join(make_texts(9)[::2]), "short"]
    whole = sign(texts).minhash
    monkeypatch.setattr(dedup, "PIECE", 1500)
    pieces = sign(texts).minhash
    assert similarity(whole[0], pieces[0]) > 0.9 and np.array_equal(whole[1], pieces[1])


def staying(kept_copy: np.ndarray) -> np.ndarray:
    """Which documents stay, bool [N], from the one that stays for each."""
    return kept_copy == np.arange(len(kept_copy))


def test_content_is_blake2b_of_the_normalised_text():
    signatures = sign(["  Hello,\tＷorld！\n"])
    expected = hashlib.blake2b(b"hello, world!", digest_size=16).digest()
    assert signatures.content.tobytes() == expected


@pytest.mark.parametrize("threshold", [None, 0.8, 1.0])
def test_exact_copies_differ_in_case_width_and_white_space_only(threshold):
    texts = [
        "Hello, world!",
        "你好，世界。",
        "HELLO,  ｗorld！ ",
        "你好,世界。",
        "Hello, worlds!",
        "……",
        "！！！",
        "……",
    ]
    copies = find_duplicates(sign(texts), threshold)
    assert copies[0] == copies[2] in (0, 2) and copies[1] == copies[3] in (1, 3)
    assert copies.tolist()[4:] == [4, 5, 6, 5]


def test_of_documents_equal_to_the_letter_the_first_stays():
    assert find_duplicates(sign(["b", "a", "b", "b"])).tolist() == [0, 1, 0, 0]


def planted() -> list[str]:
    """24 texts, and for each a copy with 1 % of its units changed, one with 2 %, one with 10 %."""
    texts = make_texts(24)
    return texts + [edit(text, share, number) for share in (0.01, 0.02, 0.1) for number, text in enumerate(texts)]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_copies_are_those_of_brute_force(threshold):
    texts = planted()
    stays = staying(find_duplicates(sign(texts), threshold))
    margin = 4.5 * np.sqrt(threshold * (1 - threshold) / NUM_HASHES)
    kept = np.flatnonzero(stays)
    for a, b in itertools.combinations(kept, 2):
        assert jaccard(texts[a], texts[b]) < threshold + margin
    for dropped in np.flatnonzero(~stays):
        others = (other for other in range(len(texts)) if other != dropped)
        assert max(jaccard(texts[dropped], texts[other]) for other in others) > threshold - margin


def clusters_by_hand(minhash: np.ndarray, threshold: float) -> set[frozenset]:
    groups = [{number} for number in range(len(minhash))]
    for a, b in itertools.combinations(range(len(minhash)), 2):
        if similarity(minhash[a], minhash[b]) >= threshold and groups[a] is not groups[b]:
            groups[a] |= groups[b]
            for number in groups[b]:
                groups[number] = groups[a]
    return {frozenset(group) for group in groups}


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_clusters_are_what_similar_pairs_connect(threshold):
    signatures = sign(planted())
    copies = find_duplicates(signatures, threshold)
    found = {frozenset(np.flatnonzero(copies == kept).tolist()) for kept in set(copies.tolist())}
    assert found == clusters_by_hand(signatures.minhash, threshold)


def test_the_lowest_content_of_a_cluster_stays():
    texts = planted()
    signatures = sign(texts)
    copies = find_duplicates(signatures)
    for kept in np.flatnonzero(staying(copies)):
        members = np.flatnonzero(copies == kept)
        assert tuple(signatures.content[kept]) == min(tuple(signatures.content[member]) for member in members)


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_which_texts_stay_does_not_depend_on_their_order(shuffler):
    numbers = list(range(len(TEXTS)))
    shuffler.shuffle(numbers)
    texts = [TEXTS[number] for number in numbers]
    is_held_out = np.array([HELD_OUT[number] for number in numbers])
    kept = staying(find_duplicates(sign(texts), held_out=is_held_out))
    assert sorted(itertools.compress(texts, kept)) == KEPT


TEXTS = planted() + make_texts(30)[:5]
HELD_OUT = [number % 7 == 0 for number in range(len(TEXTS))]
KEPT = sorted(itertools.compress(TEXTS, staying(find_duplicates(sign(TEXTS), held_out=np.array(HELD_OUT)))))


def test_no_near_copy_of_a_held_out_text_is_trained_on():
    texts = make_texts(40)
    held_out, others = texts[:20], texts[20:]
    copies = [edit(text, 0.005, number) for number, text in enumerate(held_out)]
    assert min(map(jaccard, held_out, copies)) > 0.9
    everything = copies + held_out + [text.upper() for text in held_out] + others
    is_held_out = np.array([False] * 20 + [True] * 20 + [False] * 40)
    copies = find_duplicates(sign(everything), held_out=is_held_out)
    assert copies.tolist() == [*range(20, 40), *range(20, 40), *range(20, 40), *range(60, 80)]


def test_a_held_out_copy_of_a_held_out_text_goes_too():
    text = make_texts(1)[0]
    copies = find_duplicates(sign([text, edit(text, 0.005), text]), held_out=np.array([True, True, False]))
    assert len(set(copies.tolist())) == 1 and copies[0] != 2


def test_many_copies_of_one_text_are_one_cluster():
    text = " ".join(ENGLISH[:60])
    assert len(np.unique(find_duplicates(sign(f"{text} {number}" for number in range(3000))))) == 1


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_bands_miss_one_pair_in_a_hundred_at_most(threshold):
    rows = rows_for(threshold)
    draws = np.random.default_rng(0).random((20000, NUM_HASHES // rows, rows)) < threshold
    assert draws.all(axis=2).any(axis=1).mean() > 0.985
    if rows < 8:
        more = np.random.default_rng(0).random((20000, NUM_HASHES // (rows + 1), rows + 1)) < threshold
        assert more.all(axis=2).any(axis=1).mean() < 0.993


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=25))
def test_connect_finds_the_lowest_of_what_is_connected(pairs):
    labels = np.arange(16)
    for some in (pairs[::2], pairs[1::2]):
        a, b = np.array(some, np.int64).reshape(-1, 2).T
        dedup._connect(labels, a, b)
    groups = [{number} for number in range(16)]
    for a, b in pairs:
        union = groups[a] | groups[b]
        for number in union:
            groups[number] = union
    assert labels.tolist() == [min(group) for group in groups]


def test_nothing_has_no_copies():
    assert find_duplicates(sign([])).shape == (0,)
    assert find_duplicates(sign(["one"])).tolist() == [0]


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ConfigError, match=r"threshold=.* must be above 0 and at most 1"):
        find_duplicates(sign(["a"]), threshold)


def test_an_ngram_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="ngram=0 must be at least 1"):
        sign(["a"], ngram=0)
