"""Drawn pieces: the same text, the distributions of SentencePiece's own sampler and of the definition, the same for a seed."""

import io
import itertools
import math
import random
import subprocess
import sys
from collections import Counter

import pytest
import sentencepiece as spm
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data.encoded import encode_texts
from data.hf_tokenizer import HfTokenizer
from data.model_proto import NORMAL, read_pieces
from data.subword_sampling import SubwordSampling, bpe, make_draw, sample_all, unigram
from data.tokenizer import Tokenizer, TokenizerConfig, train
from data.tokenizer_files import read_tokenizer
from tests.conftest import ROOT
from tests.data.test_round_trip import ANY_TEXT
from tests.data.texts import TEXTS

DRAWS = 4000


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    text = [*TEXTS, "there they then their other mother brother another the that this those " * 3]
    sizes = {"bpe": 380, "unigram": 335}
    return {
        kind: train(text, TokenizerConfig(size, kind, 0.98, True, True, ("[MASK]",), ("don't",)))
        for kind, size in sizes.items()
    }


def distance(one: Counter, other: Counter) -> float:
    """Total variation, of counts of the same number of draws."""
    return sum(abs(one[key] - other[key]) for key in one | other) / 2 / one.total()


@pytest.mark.parametrize(("kind", "alpha"), [("bpe", 0.1), ("bpe", 0.6), ("unigram", 0.1), ("unigram", 0.6)])
@pytest.mark.parametrize("text", ["the other fox", "brother,\n a mother", "天气很好 in 1984"])
def test_the_draws_are_distributed_as_those_of_sentencepiece(tokenizers, kind, alpha, text):
    tokenizer = tokenizers[kind]
    draw, plain, generator = make_draw(tokenizer, alpha), tokenizer.encode(text), random.Random(0)
    ours = Counter(tuple(draw(plain, generator)) for _ in range(DRAWS))
    theirs, more = (
        Counter(
            tuple(tokenizer._processor.encode(text, enable_sampling=True, alpha=alpha, nbest_size=-1))
            for _ in range(DRAWS)
        )
        for _ in range(2)
    )
    # Two samples of one distribution differ by chance: about as much as two of theirs.
    assert distance(ours, theirs) < 1.3 * distance(theirs, more) + 0.06


def test_unigram_draws_have_the_probabilities_of_the_definition():
    scores = {"a": -1.0, "b": -1.5, "c": -2.0, "ab": -1.7, "bc": -3.0, "abc": -2.5}
    cuts = [("a", "b", "c"), ("ab", "c"), ("a", "bc"), ("abc",)]
    for alpha in (0.2, 1.0):
        weights = [math.exp(alpha * sum(map(scores.__getitem__, cut))) for cut in cuts]
        cut, generator = unigram(scores, alpha), random.Random(0)
        drawn = Counter(tuple(cut("abc", generator)) for _ in range(20_000))
        for each, weight in zip(cuts, weights, strict=True):
            assert drawn[each] / 20_000 == pytest.approx(weight / sum(weights), abs=0.012)


def test_bpe_draws_leave_out_each_merge_in_its_share():
    scores = {"a": -9.0, "b": -9.0, "c": -9.0, "ab": 0.0, "bc": -1.0, "abc": -2.0}
    cut, generator = bpe(scores, 0.25), random.Random(0)
    drawn = Counter(tuple(cut("abc", generator)) for _ in range(20_000))
    kept, left_out = 0.75, 0.25
    expected = {
        ("abc",): kept * kept + left_out * kept * kept,  # by ab, or where that is left out, by bc
        ("ab", "c"): kept * left_out,
        ("a", "bc"): left_out * kept * left_out,
        ("a", "b", "c"): left_out * left_out,
    }
    for each, share in expected.items():
        assert drawn[each] / 20_000 == pytest.approx(share, abs=0.012)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(text=ANY_TEXT | st.sampled_from(TEXTS), seed=st.integers(0, 2**32 - 1), alpha=st.floats(0.01, 1))
@settings(max_examples=150, deadline=None)
def test_the_text_stays_the_same(tokenizers, kind, text, seed, alpha):
    tokenizer = tokenizers[kind]
    tokens = make_draw(tokenizer, alpha)(tokenizer.encode(text), random.Random(seed))
    assert tokenizer.decode(tokens) == text
    assert tokenizer.unknown not in tokens and tokenizer.end_of_text not in tokens


def test_without_dropout_a_bpe_is_as_it_is_and_with_all_of_it_characters(tokenizers):
    tokenizer = tokenizers["bpe"]
    kinds = [piece.kind for piece in read_pieces(tokenizer.model)]
    for text in TEXTS:
        plain = tokenizer.encode(text)
        assert make_draw(tokenizer, 0.0)(plain, random.Random(0)) == plain
        drawn = make_draw(tokenizer, 1.0)(plain, random.Random(0))
        assert all(len(tokenizer.piece(token)) == 1 for token in drawn if kinds[token] == NORMAL)


def test_a_sharp_unigram_is_as_it_is(tokenizers):
    for word in ("the", " other", "fox", "天气"):
        plain = tokenizers["unigram"].encode(word)
        assert make_draw(tokenizers["unigram"], 40.0)(plain, random.Random(0)) == plain


@pytest.mark.parametrize(("kind", "alpha"), [("bpe", 0.5), ("unigram", 1.0), ("unigram", 0.01)])
def test_a_long_text_without_spaces_neither_overflows_nor_vanishes(tokenizers, kind, alpha):
    text = "theotherbrother天气" * 2000
    tokenizer = tokenizers[kind]
    assert tokenizer.decode(make_draw(tokenizer, alpha)(tokenizer.encode(text), random.Random(0))) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_special_tokens_and_user_symbols_are_not_cut(tokenizers, kind):
    tokenizer = tokenizers[kind]
    plain = tokenizer.encode("don't [MASK]\nthe")
    draw, generator = make_draw(tokenizer, 0.1 if kind == "unigram" else 0.9), random.Random(0)
    for _ in range(50):
        drawn = [tokenizer.piece(token) for token in draw(plain, generator)]
        assert drawn[0] == "don't" and "[MASK]" in drawn and "\n" in drawn


def test_a_draw_depends_on_its_text_number_and_seed_alone(tokenizers):
    tokenizer, sampling = tokenizers["bpe"], SubwordSampling(0.5, 3, 7)

    def drawn(texts, sampling=sampling):
        return list(sample_all(texts, tokenizer.encode_all(texts), tokenizer, sampling))

    several = drawn(TEXTS)
    assert drawn(TEXTS[1:2]) == several[3:6] and len(several) == 3 * len(TEXTS)
    assert len(set(map(tuple, several))) == len(several)  # each copy is another
    assert drawn(TEXTS, SubwordSampling(0.5, 2, 7)) == [each for at, each in enumerate(several) if at % 3 < 2]
    assert drawn(TEXTS[1:2], SubwordSampling(0.5, 3, 8)) != several[3:6]
    text = encode_texts(TEXTS, tokenizer, sampling)
    plain = encode_texts(TEXTS, tokenizer)
    assert len(text.starts) == 3 * len(plain.starts) and text.num_bytes == 3 * plain.num_bytes
    assert text.tokens[1 : text.starts[1]].tolist() == several[0]


PROGRAM = """
from data.subword_sampling import SubwordSampling, sample_all
from data.tokenizer import TokenizerConfig, train
from tests.data.texts import TEXTS
for kind in ("bpe", "unigram"):
    tokenizer = train(TEXTS, TokenizerConfig(330, kind, 0.98, True, True))
    print(list(sample_all(TEXTS, tokenizer.encode_all(TEXTS), tokenizer, SubwordSampling(0.3, 2, 0))))
"""


def test_every_process_draws_the_same():
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout != "" and runs[0].returncode == 0, runs[0].stderr


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_a_tokenizer_with_one_way_to_write_a_text_is_refused(kind):
    tokenizer = train(TEXTS, TokenizerConfig(400, kind, 0.98, True, True))
    with pytest.raises(ConfigError, match="this tokenizer knows only one; it takes"):
        encode_texts(TEXTS, tokenizer, SubwordSampling(0.1, 1, 0))


def test_published_tokenizers_of_hugging_face_are_refused():
    import tokenizers as library

    model = library.Tokenizer(library.models.BPE({"<s>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    with pytest.raises(ConfigError, match="or a published SentencePiece model"):
        make_draw(HfTokenizer({"tokenizer.json": model.to_str().encode()}), 0.1)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (
            "tokenizer.model",
            {"model_type": "bpe", "byte_fallback": True, "vocab_size": 380, "split_digits": True},
        ),  # Llama's
        (
            "spiece.model",
            {"model_type": "unigram", "vocab_size": 90, "eos_id": 1, "unk_id": 2, "pad_id": 0, "bos_id": -1},
        ),
    ],
)
def test_published_sentencepiece_models_are_drawn_from_as_they_normalize(tmp_path, name, how):
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 9), model_writer=model, minloglevel=2, hard_vocab_limit=False, **how
    )
    (tmp_path / name).write_bytes(model.getvalue())
    tokenizer = read_tokenizer(tmp_path)
    draw, generator = make_draw(tokenizer, 0.3), random.Random(0)
    for text in (*TEXTS, "The  ﬁrst <extra_id_0> 龘 fox<extra_id_1>", " the"):
        plain = tokenizer.encode(text)
        drawn = [draw(plain, generator) for _ in range(20)]
        assert {tokenizer.decode(tokens) for tokens in drawn} == {tokenizer.decode(plain)}
        assert len(text) < 20 or len(set(map(tuple, drawn))) > 1
        kept = (*tokenizer.sentinels, tokenizer.unknown)
        assert all(
            [each for each in tokens if each in kept] == [each for each in plain if each in kept] for tokens in drawn
        )


def test_every_way_to_cut_a_word_is_met(tokenizers):
    """All that there are, by brute force: of the pieces of a unigram model."""
    tokenizer = tokenizers["unigram"]
    names = {piece.name for piece in read_pieces(tokenizer.model) if piece.kind == NORMAL}
    word = "\u2581other"
    places = range(1, len(word))
    cuts = [
        [word[start:end] for start, end in itertools.pairwise([0, *inner, len(word)])]
        for count in range(len(word))
        for inner in itertools.combinations(places, count)
    ]
    possible = {tuple(cut) for cut in cuts if names.issuperset(cut)}
    draw, generator, plain = make_draw(tokenizer, 0.01), random.Random(0), tokenizer.encode(" other")
    met = {tuple(map(tokenizer.piece, draw(plain, generator))) for _ in range(100 * len(possible))}
    assert met == possible and len(possible) > 3
