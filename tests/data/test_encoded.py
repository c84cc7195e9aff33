"""How many bytes each document has, where it is known and where it is read back from the tokens."""

import dataclasses

from data.encoded import decoded_sizes, encode_texts
from data.mapped import join
from data.tokenizer import train
from tests.data.texts import TEXTS


def test_sizes_are_bytes_of_each_document(tokenizer_config):
    tokenizer = train(TEXTS * 10, tokenizer_config(vocab_size=320))
    text = encode_texts(TEXTS, tokenizer)
    expected = [len(each.encode()) for each in TEXTS]
    assert text.sizes.tolist() == expected and text.num_bytes == sum(expected)
    assert join([text, text]).sizes is None, "those of the first text alone would be wrong"

    unknown = dataclasses.replace(text, sizes=None)
    assert decoded_sizes(unknown, tokenizer).tolist() == expected
    assert decoded_sizes(text, None) is text.sizes
    lost = dataclasses.replace(unknown, num_bytes=text.num_bytes + 1)
    assert decoded_sizes(lost, tokenizer) is None, "what was decoded is not the text"
