"""Words, each with its label: the names in a text, as B-TYPE, I-TYPE and O (Ramshaw and Marcus 1995, arXiv:cmp-lg/9505040)."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import UserError
from data.config import DataConfig
from data.document import check_characters
from data.forms.form import Example, Form, Pieces
from data.forms.words import cut_words, encode_parts, first_of_word, join_words
from data.readers import kind_of
from data.tokenizer import Tokenizer

OUTSIDE = "O"
IGNORED = -1


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """Two lists of one length: words, and a label for each."""
    words, tags = (_strings(values[name], getattr(data, f"{name}_field")) for name in ("tokens", "tags"))
    if len(words) != len(tags):
        raise UserError(
            f'"{data.tokens_field}" has {len(words)} words and "{data.tags_field}" {len(tags)} labels; give each word one'
        )
    for number, word in enumerate(words, 1):
        if not word.strip():
            raise UserError(f'"{data.tokens_field}": word {number} is empty; leave it out, with its label')
        check_characters(word)
    before = OUTSIDE
    for number, tag in enumerate(tags, 1):
        prefix, _, kind = tag.partition("-")
        if tag != OUTSIDE and (prefix not in ("B", "I") or not kind):
            raise UserError(f'"{data.tags_field}": label {number}, {tag!r}, is none of O, B-TYPE and I-TYPE')
        if prefix == "I" and before not in (f"B-{kind}", f"I-{kind}"):
            raise UserError(
                f'"{data.tags_field}": label {number}, {tag}, follows {before}; a name begins with B-{kind}'
            )
        before = tag
    return {"tokens": words, "tags": tags}


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Tokens, and at the first of each word (more than a space) the number of its class; IGNORED at all others."""
    numbers = {name: number for number, name in enumerate(classes)}
    texts = encode_parts([join_words(example.values["tokens"]) for example in examples], tokenizer)
    most, suffix = data.sequence_length - 1 - len(tokenizer.suffix), tokenizer.suffix
    tokens, marks, cut = [], [], 0
    for example, parts in zip(examples, texts, strict=True):
        pieces, labels = [], []
        for part, tag in zip(parts, example.values["tags"], strict=True):
            of_part = [IGNORED] * len(part)
            of_part[first_of_word(part, tokenizer)] = numbers[tag]
            pieces += part
            labels += of_part
        cut += len(pieces) > most
        tokens.append([*pieces[:most], *suffix])
        marks.append([*labels[:most], *[IGNORED] * (len(suffix) + 1)])
    return Pieces(tokens, marks=marks, cut=cut)


def unlabelled(text: str, classes: Sequence[str]) -> Mapping[str, Any]:
    """The words of a text, see `cut_words`."""
    words = cut_words(text)
    return {"tokens": words, "tags": [classes[0]] * len(words)}


def _strings(value: Any, column: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        if isinstance(value, list | tuple):
            kind = kind_of(next(each for each in value if not isinstance(each, str)))
            raise UserError(f'"{column}" has {kind} in it; write words, and the names of labels, such as B-PER')
        raise UserError(f'"{column}" is {kind_of(value)}, not a list of strings; JSONL, Parquet and hf: have them')
    if not value:
        raise UserError(f'"{column}" is empty; give each row its words')
    return list(value)


TAGS = Form(
    ("tokens", "tags"),
    check,
    lambda values: "".join(join_words(values["tokens"])),
    encode,
    classes=lambda values: values["tags"],
    order=lambda tag: (tag != OUTSIDE, tag),
    unlabelled=unlabelled,
)
