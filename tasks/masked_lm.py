"""Masked language modelling (BERT): some tokens are hidden, and the network says what they were."""

import numpy as np

from common.errors import require
from data.batches import PackedRows, PrepareRow, Row
from data.scripts import LETTER, character_classes
from data.tokenizer import SPACES, Tokenizer
from tasks.cross_entropy import token_loss
from tasks.task import CorruptionConfig, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """Masks anew at every step (dynamic masking, Liu et al. 2019, arXiv:1907.11692).

    Raises:
        ConfigError: the tokenizer has no mask.
    """
    require(
        tokenizer.mask is not None,
        "task='masked_lm' needs a mask in the vocabulary; set --config.tokenizer.special_tokens=[MASK]",
    )
    continues = continues_word(tokenizer) if config.whole_words else None
    text_tokens = np.flatnonzero(tokenizer.is_text)

    def mask_row(row: Row, generator: np.random.Generator) -> Row:
        tokens = row["inputs"]
        maskable = (row["segment_ids"] > 0) & tokenizer.is_text[tokens]
        chosen = choose(tokens, row["segment_ids"], maskable, config.rate, continues, generator)
        inputs = hide(tokens, chosen, tokenizer.mask, text_tokens, generator)
        return row | {"inputs": inputs, "targets": tokens, "weights": chosen.astype(np.float32)}

    return mask_row


def choose(
    tokens: np.ndarray,
    segments: np.ndarray,
    maskable: np.ndarray,
    rate: float,
    continues: tuple[np.ndarray, np.ndarray] | None,
    generator: np.random.Generator,
) -> np.ndarray:
    """Which tokens are to be predicted, bool [T]: `rate` of those that are `maskable`, and one at least.

    Whole words where `continues` is given (see `continues_word`): then a word that would exceed the number is passed over.
    """
    starts_word = np.ones(len(tokens), bool)
    if continues is not None:
        ends_in_letter, begins_in_letter = continues
        same_text = (segments[1:] == segments[:-1]) & maskable[1:] & maskable[:-1]
        starts_word[1:] = ~(ends_in_letter[tokens[:-1]] & begins_in_letter[tokens[1:]] & same_text)
    word = np.cumsum(starts_word)
    words, sizes = np.unique(word[maskable], return_counts=True)
    wanted = max(1, round(rate * int(maskable.sum())))
    chosen_words, count = [], 0
    for index in generator.permutation(len(words)):
        if count + sizes[index] <= wanted or not chosen_words:
            chosen_words.append(words[index])
            count += sizes[index]
        if count >= wanted:
            break
    return maskable & np.isin(word, chosen_words)


def hide(
    tokens: np.ndarray, chosen: np.ndarray, mask: int, text_tokens: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """BERT's rule (Devlin et al. 2018, arXiv:1810.04805, section 3.1) for each chosen token: the mask in 80 % of the cases, a
    random token in 10 %, itself in 10 %. int32 [T]."""
    draw = generator.random(len(tokens))
    random_tokens = generator.choice(text_tokens, len(tokens))
    inputs = np.where(chosen & (draw < 0.8), mask, tokens)
    return np.where(chosen & (draw >= 0.8) & (draw < 0.9), random_tokens, inputs).astype(np.int32)


def continues_word(tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Whether a word may go on after each piece, and whether each piece may go on with one: bool [V] each.

    Letters go on with letters, where no space is between, and the bytes of a character with each other. A character of a
    script without spaces, such as Chinese, is a word; the characters of one piece are hidden together anyway.
    """
    pieces = [tokenizer.piece(token) for token in range(tokenizer.vocab_size)]
    ends = np.array([_is_byte(piece) or _is_letter(piece[-1:]) for piece in pieces])
    begins = np.array([_is_later_byte(piece) or _is_letter(piece.removeprefix("##")[:1]) for piece in pieces])
    return ends, begins & ~np.array([piece.startswith(SPACES) for piece in pieces])


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


def _is_later_byte(piece: str) -> bool:
    """Of the bytes of a UTF-8 character, any but the first."""
    return _is_byte(piece) and 0x80 <= int(piece[3:5], 16) < 0xC0


def _is_letter(character: str) -> bool:
    """Of a script that writes words with spaces between them."""
    return bool((character_classes(character) == LETTER).any())


MASKED_LM = Task(("encoder",), prepare, token_loss)
