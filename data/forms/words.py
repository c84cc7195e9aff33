"""Words as one text, and the pieces of each of them."""

import itertools
import re
from collections.abc import Iterable, Sequence

from common.errors import UserError
from common.scripts import HAN
from data.tokenizer import SPACE_MARK, SPACES, Tokenizer

# Ideographs, kana, and the punctuation and full-width forms that are written with them.
TOGETHER = f"{HAN}\u3000-\u30ff\u31f0-\u31ff\uff00-\uffef"
UNSPACED = re.compile(f"[{TOGETHER}]")
MARKS = r"!-/:-@\[-`{-~¡-¿×÷‐-⁞"  # punctuation and signs
LETTERS = rf"[^\s{MARKS}{TOGETHER}]+"
WORD = re.compile(rf"{LETTERS}(?:[{MARKS}]{LETTERS})*|\S")  # with a mark that joins letters, as in don't and 3.5
LINE_END = "\n"


def cut_words(text: str) -> list[str]:
    """The words of a text that nobody has cut: each ideograph or kana is one, and each mark that stands between words.

    That is how corpora of names have them, in Chinese as in English.
    """
    return WORD.findall(text)


def join_words(words: Sequence[str]) -> list[str]:
    """The parts of the text that these words make, one of each word: with a space before it, or without.

    There is a space between two words unless both the last character of the one and the first of the other are of a script
    without spaces: ideographs, kana, and their punctuation.
    """
    parts = list(words[:1])
    for before, word in itertools.pairwise(words):
        together = UNSPACED.match(before[-1]) and UNSPACED.match(word[0])
        parts.append(word if together else f" {word}")
    return parts


def encode_parts(texts: Iterable[Sequence[str]], tokenizer: Tokenizer) -> list[list[list[int]]]:
    """The pieces of each part of each text, at least one: no piece reaches into the next part.

    A part is cut as it stands behind a line's end, since at the beginning of a text some tokenizers put a space. So the pieces
    of words with spaces between them are those of the whole text, and words without have pieces of their own.

    Raises:
        UserError: the tokenizer has nothing for a word, not even a piece for what is unknown.
    """
    texts = [list(parts) for parts in texts]
    first = {parts[0] for parts in texts}
    later = {part for parts in texts for part in parts[1:]}
    pieces = dict(zip(first, tokenizer.encode_all(list(first)), strict=True))
    inside = _inside(list(later), tokenizer)
    return [
        [_own(pieces[part] if not at else inside[part], part, tokenizer) for at, part in enumerate(p)] for p in texts
    ]


def first_of_word(pieces: Sequence[int], tokenizer: Tokenizer) -> int:
    """The place of the first of a part's pieces that is more than a space; 0 where none is."""
    return next((at for at, token in enumerate(pieces) if tokenizer.piece(token) not in SPACES), 0)


def _inside(parts: Sequence[str], tokenizer: Tokenizer) -> dict[str, list[int]]:
    """The pieces of parts that do not begin a text."""
    line_end, *behind = tokenizer.encode_all([LINE_END, *(LINE_END + part for part in parts)])
    alone, found = tokenizer.encode_all(parts), {}
    for part, with_end, without in zip(parts, behind, alone, strict=True):
        fits = with_end[: len(line_end)] == line_end and with_end != without  # else it is no piece, or one with a space
        pieces = with_end[len(line_end) :] if fits else without
        if len(pieces) > 1 and not part.startswith((" ", SPACE_MARK)) and tokenizer.piece(pieces[0]) == SPACE_MARK:
            pieces = pieces[1:]
        found[part] = pieces
    return found


def _own(pieces: list[int], part: str, tokenizer: Tokenizer) -> list[int]:
    if not pieces and tokenizer.unknown is None:
        raise UserError(f"the tokenizer has no piece for the word {part.strip()!r}; leave it out")
    return pieces or [tokenizer.unknown]
