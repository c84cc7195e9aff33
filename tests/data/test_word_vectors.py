"""Word vectors in files, with gensim as the oracle in both directions."""

import gzip
import random
import re

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.errors import UserError
from data.word_vectors import WordVectors, read_word_vectors, stream_word_vectors, write_word_vectors

WORDS = ("the", "狐狸", "naïve", "don't", "12", "公园", "fox")


@pytest.fixture
def vectors() -> WordVectors:
    numbers = np.random.default_rng(0).normal(0, 0.3, (len(WORDS), 24)).astype(np.float32)
    return WordVectors(WORDS, numbers)


@pytest.fixture
def keyed(vectors) -> KeyedVectors:
    """The same, in gensim."""
    keyed = KeyedVectors(24)
    keyed.add_vectors(list(vectors.words), vectors.vectors)
    return keyed


def agree(ours: WordVectors, keyed: KeyedVectors) -> None:
    assert ours.words == tuple(keyed.index_to_key)
    assert ours.vectors.dtype == np.float32
    np.testing.assert_array_equal(ours.vectors, keyed.vectors)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_what_gensim_writes_is_read(tmp_path, keyed, binary, ending):
    path = tmp_path / f"vectors{ending}"
    keyed.save_word2vec_format(str(path), binary=binary)
    agree(read_word_vectors(path), keyed)


def test_glove_files_have_no_header(tmp_path, keyed):
    path = tmp_path / "glove.txt"
    keyed.save_word2vec_format(str(path), binary=False, write_header=False)
    agree(read_word_vectors(path), keyed)
    agree(read_word_vectors(path), KeyedVectors.load_word2vec_format(str(path), no_header=True))


def test_gensim_reads_what_is_written(tmp_path, vectors):
    path = tmp_path / "vectors.txt"
    write_word_vectors(path, vectors)
    agree(vectors, KeyedVectors.load_word2vec_format(str(path)))


def test_the_original_tool_ends_each_binary_vector_with_a_line_end(tmp_path, vectors):
    path = tmp_path / "vectors.bin"
    entries = (
        word.encode() + b" " + vector.tobytes() + b"\n" for word, vector in zip(WORDS, vectors.vectors, strict=True)
    )
    path.write_bytes(f"{len(WORDS)} 24\n".encode() + b"".join(entries))
    read = read_word_vectors(path)
    assert read.words == WORDS and (read.vectors == vectors.vectors).all()


@given(arrays.arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
@settings(max_examples=100, deadline=None)
def test_written_and_read_again_every_number_is_the_same(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    write_word_vectors(path, WordVectors(("a", "b", "c"), numbers))
    np.testing.assert_array_equal(read_word_vectors(path).vectors, numbers)


def test_words_with_spaces_are_read_from_the_right(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2 3\n. . . 4 5 6\n")  # as GloVe's largest file has them
    assert read_word_vectors(path).words == ("the", ". . .")


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path, keyed):
    """Windows' editors put one there."""
    for header in (True, False):
        keyed.save_word2vec_format(str(path := tmp_path / "vectors.txt"), binary=False, write_header=header)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        agree(read_word_vectors(path), keyed)


def test_of_a_word_that_is_there_twice_the_first_counts(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("a 1 2\nb 3 4\na 5 6\n")
    read = read_word_vectors(path)
    assert read.words == ("a", "b") and read.vectors.tolist() == [[1, 2], [3, 4]]


def test_entries_come_as_they_are_read(tmp_path):
    """So a file may be larger than memory: what comes first is there before an error further on."""
    path = tmp_path / "glove.txt"
    path.write_text("a 1 2\nb x 4\n")
    entries = stream_word_vectors(path)
    word, vector = next(entries)
    assert word == "a" and vector.tolist() == [1, 2]
    with pytest.raises(UserError):
        next(entries)


BINARY = b"3 4\n" + b"".join(word + b" " + np.full(4, 0.3, np.float32).tobytes() for word in (b"a", b"b", b"c"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3: 2 numbers after the word, not 3"),
        (b"a 1 2 3\nb 1 2 x\n", "line 2: a number is expected, not 'x'"),
        (b"a 1 2 3\nb 1 2 3 4\n\nc 1 2\n", "line 4: 2 numbers after the word, not 3"),
        (b"a 1 2 3\nb 1 nan 3\n", "line 2: a number is not finite"),
        (b"a 1 2 3\n\xc4\xe3 1 2 3\n", "line 2: not UTF-8 \\(byte 0xc4\\)"),
        (b"3 2\na 1 2\nb 1 2\n", "has 2 word vectors, not the 3 there should be; is it cut off\\?"),
        (b"1 2\na 1 2\nb 1 2\n", "line 3: more than the 1 words that line 1 tells of"),
        (b"no vectors here\n", "line 1: a number is expected, not 'vectors'"),
        (b"alone\n", "line 1: 0 numbers after the word, not any"),
        (b"0 0\n", "line 1: 0 words of 0 numbers; a file of vectors has some of each"),
        (b"2 0\na\nb\n", "line 1: 2 words of 0 numbers"),
        (b"", "has 0 word vectors, not the one there should be"),
        (BINARY[:-3], "word 3 of 3: the file ends here; it is cut off"),
        (BINARY + b"d", "goes on after the 3 words that its first line tells of"),
        (BINARY.replace(b"b ", b"\xc4 "), "word 2 of 3: not UTF-8 \\(byte 0xc4\\)"),
        (BINARY[:-1] + b"\xff", "word 3 of 3: a number is not finite"),
    ],
)
def test_what_is_damaged_is_said_with_its_place(tmp_path, content, message):
    if content.endswith(b"\xff"):
        content = content[:-4] + np.array([np.inf], np.float32).tobytes()
    path = tmp_path / "vectors.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(path)) + ",? " + message):
        read_word_vectors(path)


def test_files_that_cannot_be_read_or_written(tmp_path, vectors):
    with pytest.raises(UserError, match=r"cannot read .*none\.txt: No such file"):
        read_word_vectors(tmp_path / "none.txt")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a 1 2\n" * 1000)[:-20])
    with pytest.raises(UserError, match=r"cannot read .*cut\.gz: Compressed file ended"):
        read_word_vectors(tmp_path / "cut.gz")
    packed = bytearray(gzip.compress(random.Random(0).randbytes(1000)))
    packed[11:15] = b"\xff" * 4
    (tmp_path / "damaged.gz").write_bytes(packed)
    with pytest.raises(UserError, match=r"cannot read .*damaged\.gz: Error -3 while decompressing data"):
        read_word_vectors(tmp_path / "damaged.gz")
    with pytest.raises(UserError, match="'a b' cannot be written"):
        write_word_vectors(tmp_path / "spaces.txt", WordVectors(("a b",), np.ones((1, 2), np.float32)))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_word_vectors(tmp_path / "file" / "vectors.txt", vectors)


def test_nearest_words_are_gensims(vectors, keyed):
    for word in WORDS:
        ours, theirs = vectors.nearest(word, 4), keyed.most_similar(word, topn=4)
        assert [other for other, _ in ours] == [other for other, _ in theirs]
        assert [cosine for _, cosine in ours] == pytest.approx([cosine for _, cosine in theirs], abs=1e-5)
    assert len(vectors.nearest("fox", 100)) == len(WORDS) - 1
    with pytest.raises(UserError, match=r"no vector for 'foxx' \(did you mean 'fox'\?\)"):
        vectors.nearest("foxx")
