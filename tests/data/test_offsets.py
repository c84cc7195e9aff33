"""Where each token begins in a text: places that decoding bears out, and hand-worked cases of what tokenizers change."""

import io
import json

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings

from common.errors import UserError
from data.hf_tokenizer import HfTokenizer, from_word_pieces
from data.tokenizer import Tokenizer
from tests.data.test_tokenizer import ANY_TEXT, HARD_TEXT


@given(ANY_TEXT | HARD_TEXT)
@example("a ☃\n 天\u2581\u2581 b")
@settings(max_examples=200, deadline=None)
def test_what_stands_before_a_token_is_what_those_before_it_decode_to(tokenizer, text):
    tokens, starts = tokenizer.encode_with_offsets(text)
    assert tokens == tokenizer.encode(text) and len(starts) == len(tokens)
    assert (np.diff(starts, prepend=0) >= 0).all()
    for place in np.flatnonzero(np.diff(starts, prepend=-1)):
        assert tokenizer.decode(tokens[:place]) == text[: starts[place]]
    with pytest.raises(UserError, match="half a character"):
        tokenizer.encode_with_offsets("ab\ud800")


def test_where_sentencepiece_normalises_it_is_a_place_in_the_text_as_given():
    model = io.BytesIO()
    lines = ["fine waffles and 2 cats, a hat 天气"] * 9
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="char", vocab_size=60, hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc", minloglevel=2,
    )  # fmt: skip
    tokenizer = Tokenizer(model.getvalue(), sentinels=2)
    tokens, starts = tokenizer.encode_with_offsets("wa\ufb04es  ２<extra_id_1>天")  # one character that is ffl
    pieces = [tokenizer.piece(token) for token in tokens]
    assert pieces == ["▁", "w", "a", "f", "f", "l", "e", "s", "▁", "2", "<extra_id_1>", "▁", "天"]
    assert starts[:3] == [0, 0, 1] and set(starts[3:6]) == {2} and starts[6:] == [3, 4, 5, 7, 8, 20, 20]


def test_word_pieces_keep_their_places_whatever_case_accents_and_spaces_were():
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "##s", "天", "好", ","]
    tokenizer = HfTokenizer({"tokenizer.json": from_word_pieces("\n".join(names).encode(), {})})
    tokens, starts = tokenizer.encode_with_offsets(" CAFÉS,  天好 \u2603")
    assert [tokenizer.piece(token) for token in tokens] == ["cafe", "##s", ",", "天", "好", "[UNK]"]
    assert tokens == tokenizer.encode(" CAFÉS,  天好 \u2603") and starts == [1, 5, 6, 9, 10, 12]
    assert tokenizer.encode_with_offsets("") == ([], [])
    assert tokenizer.separator == (names.index("[SEP]"),)
    bare = json.loads(tokenizer.files["tokenizer.json"]) | {"post_processor": None}
    files = {"tokenizer.json": json.dumps(bare).encode()}
    assert HfTokenizer(files).separator == (), "nothing stands between, and a new line has no piece here"


def test_ours_puts_a_new_line_between_two_texts(tokenizer):
    assert tokenizer.decode(tokenizer.separator) == "\n"
