"""The vocabulary as we read it is the one that SentencePiece tells; a model that we write is one that it loads."""

import pytest
import sentencepiece

from data.model_proto import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Piece,
    byte_model,
    read_model_type,
    read_pieces,
    write_pieces,
)
from data.tokenizer import END_OF_TEXT, train
from tests.data.texts import TEXTS


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char"])
def test_pieces_scores_and_kinds_are_those_of_the_library(tokenizer_config, model_type):
    changes = {"special_tokens": ("[MASK]",), "user_symbols": ("->",), "vocab_size": 330}
    model = train(TEXTS, tokenizer_config(model_type=model_type, **changes)).model
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = read_pieces(model)
    assert read_model_type(model) == model_type and len(pieces) == processor.vocab_size()
    for token, piece in enumerate(pieces):
        assert (piece.name, piece.score) == (processor.id_to_piece(token), processor.get_score(token))
        assert (piece.kind == BYTE) == processor.is_byte(token) and (piece.kind == UNKNOWN) == processor.is_unknown(
            token
        )
        assert (piece.kind == CONTROL) == processor.is_control(token)
    assert {piece.name for piece in pieces if piece.kind == USER_DEFINED} == {"\n", "->", "[MASK]"}


def test_what_is_written_is_read_back():
    pieces = [Piece("\u2581长" * 100, NORMAL, -1.5), Piece("<0x00>", BYTE), Piece("[MASK]", USER_DEFINED)]
    assert read_pieces(write_pieces(pieces)) == pieces


def test_the_model_of_bytes_is_one_that_the_library_loads():
    processor = sentencepiece.SentencePieceProcessor(model_proto=byte_model(END_OF_TEXT))
    assert processor.vocab_size() == 258 and processor.encode("é \n") == [2 + 0xC3, 2 + 0xA9, 2 + 32, 2 + 10]
    ids = (processor.unk_id(), processor.eos_id(), processor.bos_id(), processor.pad_id())
    assert ids == (0, 1, -1, -1) and processor.id_to_piece(1) == END_OF_TEXT
