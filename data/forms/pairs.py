"""A source and its target: what a sequence-to-sequence model reads, and what it is to write (a translation, a summary)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.errors import UserError
from data.builtin import read_builtin_pairs
from data.config import SOURCE, DataConfig
from data.document import Document
from data.forms.form import Example, Form, Pieces, filled
from data.tokenizer import Tokenizer


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    return {name: filled(values, name, data) for name in ("source", "target")}


def text(values: Mapping[str, Any]) -> str:
    """Both sides, so that a tokenizer that is trained on it knows both."""
    return f"{values['source']}\n{values['target']}"


def put_into_prompt(source: str, data: DataConfig) -> str:
    """What the network reads of a source: `data.prompt`, with the source where that has {source}."""
    return data.prompt.replace(SOURCE, source)


def fit_prompts(
    sources: Sequence[str], rooms: Sequence[int], tokenizer: Tokenizer, data: DataConfig
) -> tuple[list[str], list[list[int]], list[bool]]:
    """The prompts of sources, of which each is cut from its end until its prompt has no more tokens than its `room`.

    Returns:
        the prompts as text and as tokens, and which of them were cut.

    Raises:
        UserError: the words of `data.prompt` alone are longer than a room.
    """
    prompts = [put_into_prompt(source, data) for source in sources]
    tokens = tokenizer.encode_all(prompts)
    cut = [len(each) > room for each, room in zip(tokens, rooms, strict=True)]
    long = [index for index, is_cut in enumerate(cut) if is_cut]
    kept = dict(zip(long, tokenizer.encode_all([sources[index] for index in long]), strict=True))
    while long:
        for index in long:
            left = len(kept[index]) - (len(tokens[index]) - rooms[index])
            if not kept[index]:
                raise UserError(f"data.prompt={data.prompt!r} leaves no room for a source in {rooms[index]} tokens")
            kept[index] = kept[index][: max(left, 0)]
            prompts[index] = put_into_prompt(tokenizer.decode(kept[index]).rstrip("\ufffd"), data)
        for index, each in zip(long, tokenizer.encode_all([prompts[index] for index in long]), strict=True):
            tokens[index] = each
        long = [index for index in long if len(tokens[index]) > rooms[index]]
    return prompts, tokens, cut


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """The prompt, then the target, tokenized apart, as they are when the model is used; marks are 1 on what it is to write.

    That is the target and the end of text. Where both are too long for a row, the source is cut, and a target only if it is
    too long by itself, the words of the prompt beside it.

    Raises:
        UserError: the words of `data.prompt` fill a row.
    """
    words = len(tokenizer.encode(put_into_prompt("", data)))
    most = data.sequence_length - 1 - words  # the end of text beside
    if most < 1:
        raise UserError(f"data.prompt takes {words} of data.sequence_length={data.sequence_length} tokens; raise that")
    written = tokenizer.encode_all([example.values["target"] for example in examples])
    targets = [tokens[:most] for tokens in written]
    rooms = [data.sequence_length - 1 - len(target) for target in targets]
    _, prompts, cut = fit_prompts([example.values["source"] for example in examples], rooms, tokenizer, data)
    marks = [[0] * len(prompt) + [1] * (len(target) + 1) for prompt, target in zip(prompts, targets, strict=True)]
    shortened = sum(one or len(tokens) > most for one, tokens in zip(cut, written, strict=True))
    rows = [[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)]
    return Pieces(rows, marks=marks, cut=shortened)


def builtin(source: str, data: DataConfig) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    for key, values in read_builtin_pairs(source):
        yield Document(text(values), source, key), values


PAIRS = Form(
    ("source", "target"),
    check,
    text,
    encode,
    builtin=builtin,
    key=lambda values: values["source"],
)
