"""The SentencePiece tokenizer: trained on the run's own text, lossless, and kept in the run's folder."""

import dataclasses
import io
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sentencepiece as spm

from common.errors import ConfigError, UserError, check_choice, require
from data.document import check_characters
from data.model_proto import USER_DEFINED, Piece, byte_model, read_begins, write_pieces

MODEL_TYPES = ("bpe", "unigram", "char", "byte")
END_OF_TEXT = "<|endoftext|>"
SPACE_MARK = "\u2581"  # how SentencePiece writes a space; in a text it would come back as one
SPACES = (SPACE_MARK, "\u0120")  # what a piece behind a space begins with: SentencePiece's mark, that of byte-level BPE
SPACE_MARKS = re.compile(f"({SPACE_MARK})")
UNKNOWN_MARK = "\u2585"  # how it marks what is unknown while it trains; it leaves out lines that have it
SPECIAL = re.compile(r"\[[A-Z]+\]|<\|?[a-z_]+\d*\|?>")  # [MASK], <extra_id_0>, <|user|>
MASKS = ("[MASK]", "<mask>")
LINE_LENGTH = 1 << 16  # longer lines are cut, for training the tokenizer only


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """How the tokenizer is trained; `configs/base.py` says what each field means."""

    vocab_size: int
    model_type: str
    character_coverage: float
    byte_fallback: bool
    split_digits: bool
    special_tokens: tuple[str, ...] = ()
    user_symbols: tuple[str, ...] = ()
    space_pieces: bool = False
    sample_bytes: int | None = None

    def __post_init__(self):
        for token in self.special_tokens:
            require(
                SPECIAL.fullmatch(token) is not None,
                f"special_tokens: {token!r} must look like '[MASK]', '<extra_id_0>' or '<|user|>'",
            )
        for symbol in self.user_symbols:
            require(
                SPECIAL.fullmatch(symbol) is None, f"user_symbols: {symbol!r} looks special; put it in special_tokens"
            )
            require(
                symbol.isprintable() and bool(symbol) and not {" ", SPACE_MARK, UNKNOWN_MARK} & {*symbol},
                f"user_symbols: {symbol!r} must be printable characters without spaces, such as '->'",
            )
        for name in ("special_tokens", "user_symbols"):
            given = getattr(self, name)
            require(len(set(given)) == len(given), f"{name}: each must be there only once")
        check_choice(MODEL_TYPES, self.model_type, "model_type")
        require(self.vocab_size >= 3, f"vocab_size={self.vocab_size} must be at least 3")
        require(
            0.98 <= self.character_coverage <= 1, f"character_coverage={self.character_coverage} must be in [0.98, 1]"
        )
        require(
            self.sample_bytes is None or self.sample_bytes >= 1,
            f"sample_bytes={self.sample_bytes} must be at least 1, or None",
        )
        if self.model_type == "byte":
            require(self.byte_fallback, "model_type='byte' has nothing but bytes; set byte_fallback=True")
            require(not self.user_symbols, "user_symbols: model_type='byte' has no pieces but bytes; leave them out")
        if self.byte_fallback:
            least = (257 if self.model_type == "byte" else 259) + len(self.special_tokens) + len(self.user_symbols)
            require(
                self.vocab_size > least,
                f"vocab_size={self.vocab_size} must be above {least} with byte_fallback, which takes 256 pieces for bytes",
            )


class Tokenizer:
    """Text to token ids and back: `decode(encode(text)) == text` for all Unicode text wherever `byte_fallback` is on.

    Attributes:
        end_of_text: separates documents and starts a generation.
        ends: the ids at which a text ends: `end_of_text` first, then what else generation_config.json names.
        unknown: stands for what has no piece (with byte fallback: never).
        mask: what stands in for a hidden token, `[MASK]`; None where the vocabulary has none.
        sentinels: `<extra_id_0>`, `<extra_id_1>` …, which stand in for hidden spans.
        is_text: bool [V], the pieces that stand for text; the others are special.
        prefix, suffix: what stands before and after a text that is read alone.
        separator: what stands between two texts that are read together: in ours, a new line.
        decoder_start: what the decoder of an encoder-decoder begins with.
        files: all that is kept of it in a run's folder, by name.
    """

    def __init__(self, model: bytes, files: Mapping[str, bytes] | None = None, sentinels: int = 0):
        """`model` is a serialized SentencePiece model, `files` what is kept of it, if that is more than the model itself.

        `sentinels`: how many `<extra_id_0>` … stand above the model's own pieces, the first at the top, as T5 has them.

        Raises:
            UserError: it is none, or one of the files is damaged.
        """
        added = [f"<extra_id_{number}>" for number in range(sentinels)]
        self._apart = re.compile(f"({'|'.join(added)})") if added else None  # what splits a text in two
        self.model = model + _special_pieces(reversed(added))
        self.files = dict(files or {"tokenizer.model": model})
        self._processor = spm.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(self.model)
        except RuntimeError as error:
            raise UserError(
                f"the tokenizer is not a SentencePiece model ({error}); bring back a copy, or fetch it again"
            ) from error
        self.vocab_size: int = self._processor.vocab_size()
        self.end_of_text: int = self._processor.eos_id()
        self.unknown: int = self._processor.unk_id()
        self.ends = find_ends(self.end_of_text, self.files, self.vocab_size)
        bos, pad = self._processor.bos_id(), self._processor.pad_id()
        self.decoder_start: int = self.end_of_text if pad < 0 else pad
        has_bos = bos >= 0 and read_companion(self.files, "tokenizer_config.json").get("add_bos_token") is not False
        self.prefix: tuple[int, ...] = (bos,) if has_bos else ()
        self.suffix: tuple[int, ...] = ()
        if bos < 0 and self.piece(self.end_of_text) == END_OF_TEXT:  # ours
            self.prefix = (self.end_of_text,)
        elif bos < 0:  # T5's
            self.suffix = (self.end_of_text,)
        pieces = [self.piece(token).removeprefix(SPACE_MARK) for token in range(self.vocab_size)]
        pieces = [piece if SPECIAL.fullmatch(piece) else self.piece(token) for token, piece in enumerate(pieces)]
        ids = {piece: token for token, piece in enumerate(pieces)}
        self.mask: int | None = next((ids[mask] for mask in MASKS if mask in ids), None)
        self.sentinels = find_sentinels(ids)
        self.is_text = np.array(
            [
                not (self._processor.is_control(token) or token == self.unknown or SPECIAL.fullmatch(piece))
                for token, piece in enumerate(pieces)
            ]
        )
        mark = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE_MARK.encode()]
        self._space_mark = mark if self.unknown not in mark else None
        self.separator: tuple[int, ...] = tuple(self.encode("\n"))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without any special token.

        Raises:
            UserError: it holds a lone surrogate, which is half a character.
        """
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, on all cores."""
        for text in texts:
            check_characters(text)
        if self._apart is not None:
            return self._encode_apart(texts)
        encoded = self._processor.encode(list(texts), num_threads=-1 if len(texts) > 1 else 1)
        if self._space_mark:
            for index, text in enumerate(texts):
                if SPACE_MARK in text:
                    first, *others = self._processor.encode(text.split(SPACE_MARK))
                    encoded[index] = first + [token for other in others for token in (*self._space_mark, *other)]
        return encoded

    def _encode_apart(self, texts: Sequence[str]) -> list[list[int]]:
        """Each sentinel by itself, and what is between two of them as a text of its own."""
        parts = [self._apart.split(text) for text in texts]  # texts and sentinels in turn
        encoded = iter(self._processor.encode([part for row in parts for part in row[::2]], num_threads=-1))
        return [
            [
                token
                for index, part in enumerate(row)
                for token in ([self._processor.piece_to_id(part)] if index % 2 else next(encoded))
            ]
            for row in parts
        ]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[int]]:
        """`encode`, and the character of `text` at which each token begins; these never fall.

        A token goes on to where a later one begins. The bytes of a character all begin at it, and so does what
        SentencePiece adds that the text has not; where it normalises, these are places in the text as it was given.
        """
        check_characters(text)
        between = self._apart or (SPACE_MARKS if self._space_mark else None)
        tokens, starts, at = [], [], 0
        for number, part in enumerate([text] if between is None else between.split(text)):
            if number % 2:
                found = self._space_mark if self._apart is None else [self._processor.piece_to_id(part)]
                starts += [at] * len(found)
            else:
                found, begins = read_begins(self._processor.encode(part, out_type="serialized_proto"))
                leads = (np.frombuffer(part.encode(), np.uint8) & 0xC0) != 0x80  # the first bytes of characters
                starts += (at + np.append(0, np.cumsum(leads))[begins]).tolist()
            tokens += found
            at += len(part)
        return tokens, starts

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids; special tokens have none, bytes that are no UTF-8 show as U+FFFD."""
        return self._processor.decode([int(token) for token in tokens])

    def piece(self, token: int) -> str:
        """The vocabulary's entry for a token id."""
        return self._processor.id_to_piece(int(token))


def find_sentinels(ids: Mapping[str, int]) -> tuple[int, ...]:
    """The ids of `<extra_id_0>`, `<extra_id_1>` … as far as a vocabulary has them."""
    names = map("<extra_id_{}>".format, itertools.count())
    return tuple(ids[name] for name in itertools.takewhile(ids.__contains__, names))


def find_ends(end_of_text: int, files: Mapping[str, bytes], vocab_size: int) -> tuple[int, ...]:
    """`end_of_text`, and the other ids at which a text ends, as generation_config.json says; those of no piece left out.

    Raises:
        UserError: generation_config.json is damaged.
    """
    said = read_companion(files, "generation_config.json").get("eos_token_id")
    ends = said if isinstance(said, list) else [] if said is None else [said]
    if not all(type(end) is int for end in ends):
        raise UserError(
            f"generation_config.json: eos_token_id={said!r} is neither an id nor a list of ids; fetch it again"
        )
    return tuple(dict.fromkeys([end_of_text, *(end for end in ends if 0 <= end < vocab_size)]))


def read_companion(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """The JSON object of one of a tokenizer's files, empty where it is not there.

    Raises:
        UserError: it is not a JSON object.
    """
    try:
        content = json.loads(files.get(name, b"{}"))
    except ValueError as error:
        raise UserError(f"{name} is damaged ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} is not a JSON object; fetch it again")
    return content


def train(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """Trains a tokenizer on `texts`; the same texts and config give the same tokenizer, on any number of cores.

    The settings that matter: no normalisation and no trimming of spaces, so that decoding gives back the text; newline
    is a piece of its own, since SentencePiece trains on lines; digits stand alone. Bytes need no training, nor `texts`.

    Raises:
        ConfigError: the vocabulary is larger than the text supports, or too small for its characters.
    """
    if config.model_type == "byte":
        return Tokenizer(byte_model(END_OF_TEXT) + _special_pieces(config.special_tokens))
    lines = (
        line[start : start + LINE_LENGTH]
        for text in texts
        for line in text.split("\n")
        for start in range(0, len(line), LINE_LENGTH)
    )
    model = io.BytesIO()
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type=config.model_type,
            vocab_size=config.vocab_size - len(config.special_tokens),
            # Asked for fewer characters than there are, a character vocabulary is simply all of them.
            hard_vocab_limit=config.model_type != "char",
            character_coverage=config.character_coverage,
            byte_fallback=config.byte_fallback,
            split_digits=config.split_digits,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            user_defined_symbols=["\n", *config.user_symbols],
            unk_id=0,
            bos_id=-1,
            pad_id=-1,
            eos_id=1,
            eos_piece=END_OF_TEXT,
            max_sentence_length=4 * LINE_LENGTH,  # in bytes
            minloglevel=2,
            **({"allow_whitespace_only_pieces": True} if config.space_pieces else {}),  # a model keeps what is given
        )
    except RuntimeError as error:
        raise ConfigError(_explain(str(error), config)) from error
    return Tokenizer(model.getvalue() + _special_pieces(config.special_tokens))


def _special_pieces(names: Iterable[str]) -> bytes:
    return write_pieces(Piece(name, USER_DEFINED) for name in names)


def _explain(message: str, config: TokenizerConfig) -> str:
    """What SentencePiece complains of, in the terms of the config: it does not know of the special tokens."""
    special = len(config.special_tokens)
    if most := re.search(r"too high .*<= (\d+)", message):
        return (
            f"tokenizer.vocab_size={config.vocab_size} is more than this text gives pieces for; "
            f"set --config.tokenizer.vocab_size={int(most[1]) + special} or less"
        )
    if least := re.search(r"required_chars.* vs (\d+)", message):
        return (
            f"tokenizer.vocab_size={config.vocab_size} is too small for this text's characters; "
            f"set --config.tokenizer.vocab_size={int(least[1]) + special} or more, or a lower tokenizer.character_coverage"
        )
    if "sentences_.empty()" in message:  # it leaves out lines with U+2585, its mark for what is unknown
        return "there is no line of text that a tokenizer can be trained on"
    return f"no tokenizer can be trained on this text: {message}"
