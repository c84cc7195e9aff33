"""What a SentencePiece model holds that the library neither tells nor sets: the kinds of its pieces, and a model of bytes.

A model is a message in protocol buffers; numbers of fields and kinds are those of sentencepiece_model.proto. (The library
brings a module for them, but it only loads where protobuf is as new as the one that it was made with.)
"""

import dataclasses
import struct
from collections.abc import Iterable, Iterator

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # kinds of pieces
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
MINUS_ONE = (1 << 64) - 1  # an id that is none


@dataclasses.dataclass(frozen=True)
class Piece:
    """An entry of a vocabulary; the score is a log-probability (unigram), or the negative rank of a merge (BPE)."""

    name: str
    kind: int
    score: float = 0.0


def write_pieces(pieces: Iterable[Piece]) -> bytes:
    """A model of these pieces alone: written after another model, it puts them at the top of it.

    (In protocol buffers the concatenation of two messages is their union; SentencePiece itself would put them at the bottom.)
    """
    return b"".join(
        _field(1, _field(1, piece.name.encode()) + _field(2, piece.score) + _field(3, piece.kind)) for piece in pieces
    )


def byte_model(end_of_text: str) -> bytes:
    """A model whose pieces are the 256 bytes, behind one for what is unknown, which never is, and `end_of_text`."""
    pieces = [Piece("<unk>", UNKNOWN), Piece(end_of_text, CONTROL)]
    pieces += [Piece(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    training = {3: 4, 35: 1, 40: 0, 41: MINUS_ONE, 42: 1, 43: MINUS_ONE, 47: end_of_text.encode()}
    # model_type=char, byte_fallback; the ids of unk, bos, eos and pad; eos_piece
    normalizing = {1: b"identity", 3: 0, 4: 0, 5: 0}  # no dummy prefix; spaces are neither removed nor escaped
    parts = [b"".join(_field(*each) for each in fields.items()) for fields in (training, normalizing)]
    return write_pieces(pieces) + _field(2, parts[0]) + _field(3, parts[1])


def read_pieces(model: bytes) -> list[Piece]:
    """The vocabulary of a model, in the order of its ids."""
    entries = (dict(_read(content)) for number, content in _read(model) if number == 1)
    return [
        Piece(entry[1].decode(), entry.get(3, NORMAL), struct.unpack("<f", entry.get(2, bytes(4)))[0])
        for entry in entries
    ]


def read_model_type(model: bytes) -> str:
    """unigram, bpe, word or char."""
    training = (field for number, content in _read(model) if number == 2 for field in _read(content))
    return MODEL_TYPES[dict(training).get(3, 1)]


def read_begins(encoded: bytes) -> tuple[list[int], list[int]]:
    """Of a text that SentencePiece gives as a message (SentencePieceText): the ids, and the byte that each begins at."""
    entries = [dict(_read(content)) for number, content in _read(encoded) if number == 2]
    return [entry[2] for entry in entries], [entry.get(4, 0) for entry in entries]


def _field(number: int, value: bytes | float | int) -> bytes:
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the eighth set."""
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])


def _read(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Numbers and values of a message's fields: whole numbers as such, all else as it is written."""
    at = 0

    def varint() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
        else:
            size = {1: 8, 5: 4}.get(wire) or varint()
            at += size
            yield number, message[at - size : at]
