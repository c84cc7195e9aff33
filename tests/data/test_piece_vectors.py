"""An embedding table from word vectors, worked out by hand for a small tokenizer."""

import numpy as np
import pytest

from common.errors import UserError
from data.piece_vectors import piece_vectors


def entries(**vectors):
    return [(word, np.array(vector, np.float32)) for word, vector in vectors.items()]


def token_of(tokenizer, piece: str) -> int:
    return [tokenizer.piece(token) for token in range(tokenizer.vocab_size)].index(piece)


def test_words_parts_and_the_rest(tokenizer):
    """`the` and `The` are pieces; `thez` and `foxz` are no words of the tokenizer's, and share the piece `z`."""
    z, plain, spaced = (token_of(tokenizer, piece) for piece in ("z", "the", "▁the"))
    given = entries(the=[1, 2], thez=[3, -5], foxz=[5, 1], 天气=[7, 7])
    made = piece_vectors(given, tokenizer, tokenizer.vocab_size + 3, seed=0)
    assert made.table.shape == (tokenizer.vocab_size + 3, 2) and made.table.dtype == np.float32
    assert made.table[plain].tolist() == made.table[spaced].tolist() == [1, 2]  # not the mean with `thez`
    assert z in tokenizer.encode("thez") and z in tokenizer.encode("foxz")
    assert made.table[z].tolist() == [4, -2]
    count = {}
    for word, vector in given:
        for token in {*tokenizer.encode(word), *tokenizer.encode(f" {word}")}:
            count.setdefault(token, []).append(vector)
    words = {token for token in count if tokenizer.decode([token]).strip().lower() in dict(given)}
    for token in count.keys() - words:
        np.testing.assert_allclose(made.table[token], np.mean(count[token], axis=0), rtol=1e-6)
    assert made.parts == len(count.keys() - words)
    assert str(made).startswith(
        f"{made.words} of {tokenizer.vocab_size} pieces are words with a vector, {made.parts} parts"
    )


def test_the_word_in_lower_case_serves_until_there_is_the_one_in_its_own(tokenizer):
    (capital,) = (token for token in range(tokenizer.vocab_size) if tokenizer.piece(token) == "The")
    assert piece_vectors(entries(the=[1, 2], fox=[0, 1]), tokenizer, tokenizer.vocab_size, 0).table[
        capital
    ].tolist() == [1, 2]
    for given in (entries(the=[1, 2], The=[8, 9]), entries(The=[8, 9], the=[1, 2])):
        assert piece_vectors(given, tokenizer, tokenizer.vocab_size, 0).table[capital].tolist() == [8, 9]


def test_what_no_word_has_is_random_with_the_same_variance(tokenizer):
    vectors = np.random.default_rng(1).normal(0, 0.7, (2, 500)).astype(np.float32)
    made = piece_vectors([("the", vectors[0]), ("fox", vectors[1])], tokenizer, tokenizer.vocab_size, seed=0)
    random = made.table[tokenizer.end_of_text], made.table[token_of(tokenizer, "<0x00>")]
    for row in random:
        assert row.std() == pytest.approx(vectors.std(), rel=0.15) and abs(row.mean()) < 0.1
    assert not np.allclose(*random)
    assert made.words + made.parts < made.pieces
    again = piece_vectors([("the", vectors[0]), ("fox", vectors[1])], tokenizer, tokenizer.vocab_size, seed=0)
    assert (again.table == made.table).all()


def test_many_words_are_taken_in_batches(tokenizer, monkeypatch):
    given = entries(**{f"{letter}{other}": [ord(letter), ord(other)] for letter in "abcdef" for other in "ghijk"})
    whole = piece_vectors(given, tokenizer, tokenizer.vocab_size, 0).table
    monkeypatch.setattr("data.piece_vectors.BATCH", 7)
    np.testing.assert_allclose(piece_vectors(iter(given), tokenizer, tokenizer.vocab_size, 0).table, whole, rtol=1e-6)


def test_vectors_of_another_language_are_refused():
    class Digits:
        vocab_size = 10
        is_text = np.ones(10, bool)

        def encode_all(self, texts):
            return [[] for _ in texts]

        def decode(self, tokens):
            return str(tokens[0])

    with pytest.raises(UserError, match="none of the words that have a vector is in the tokenizer's vocabulary"):
        piece_vectors(entries(fox=[1, 2]), Digits(), 10, 0)
    with pytest.raises(UserError, match="none of the words"):
        piece_vectors([], Digits(), 10, 0)
