"""A new run's token embedding from a file of word vectors: where it starts, however it is divided, and what is refused."""

import jax
import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.piece_vectors import piece_vectors
from data.word_vectors import WordVectors, write_word_vectors

LETTERS = tuple("abcdeghiklnorst")


@pytest.fixture
def file(tmp_path):
    """Vectors for letters, which are the pieces of the small run."""
    vectors = np.random.default_rng(0).normal(0, 3, (len(LETTERS), 16)).astype(np.float32)
    write_word_vectors(tmp_path / "letters.txt", WordVectors(LETTERS, vectors))
    return tmp_path / "letters.txt"


def embedding(trainer):
    return trainer.init().params["token_embedding"]["embedding"]


def test_a_new_run_starts_from_them_however_it_is_divided(make_trainer, file, said):
    trainer = make_trainer(training__word_vectors=file)
    start = np.asarray(embedding(trainer))
    tokenizer = trainer.corpus.tokenizer
    entries = [(letter, np.full(16, place, np.float32)) for place, letter in enumerate(LETTERS)]
    places = piece_vectors(entries, tokenizer, tokenizer.vocab_size, 0)
    lines = dict(line.split(" ", 1) for line in file.read_text().splitlines()[1:])
    scale = None
    for token in range(tokenizer.vocab_size):
        letter = tokenizer.decode([token])
        if letter in lines:
            given = np.array(lines[letter].split(" "), np.float32)
            scale = scale or start[token, 0] / given[0]
            np.testing.assert_allclose(start[token], given * scale, rtol=1e-5)
    assert start.std() == pytest.approx(0.02, rel=1e-3)  # model.initializer_std
    assert f"word vectors: {places}" in said.lines

    divided = make_trainer("divided", training__word_vectors=file, mesh__fsdp=2, mesh__tensor=2)
    table = embedding(divided)
    assert len({str(shard.index) for shard in table.addressable_shards}) == 4
    assert table.sharding == divided.abstract.params["token_embedding"]["embedding"].sharding
    np.testing.assert_array_equal(np.asarray(table), start)


def test_all_else_is_as_without_them(make_trainer, file):
    with_them, without = make_trainer(training__word_vectors=file).init(), make_trainer("other").init()
    for state in (with_them, without):
        del state.params["token_embedding"]
    jax.tree.map(np.testing.assert_array_equal, with_them.params, without.params)
    np.testing.assert_array_equal(with_them.key, without.key)


def test_the_file_is_not_read_when_the_run_is_resumed(make_trainer, file):
    make_trainer(training__word_vectors=file).train()
    file.unlink()
    trainer = make_trainer(training__word_vectors=file)
    assert trainer.token_embedding is None and trainer.train() == 0
    with pytest.raises(UserError, match=r"cannot read .*letters\.txt"):
        make_trainer("new", training__word_vectors=file)


def test_another_width_is_refused_with_what_to_set(make_trainer, file):
    message = r"training\.word_vectors='.*' has vectors of width 16, .*=32; set --config\.model\.embed_dim=16"
    with pytest.raises(ConfigError, match=message):
        make_trainer(training__word_vectors=file, model__embed_dim=32)


def test_weights_that_are_given_are_not_begun_anew(make_trainer, file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data.json").write_text('{"converted_from": "elsewhere"}')
    with pytest.raises(ConfigError, match="is for a network that begins anew"):
        make_trainer(training__word_vectors=file)
