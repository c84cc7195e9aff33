"""Tokenizers as Hugging Face keeps them, `tokenizer.json`, with the interface of our own; older files are built into one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from common.errors import UserError
from data.document import check_characters
from data.tokenizer import MASKS, SPECIAL, find_ends, find_sentinels, read_companion

# Role -> the names that published tokenizers give it, where tokenizer_config.json does not say.
ROLES = {
    "bos": ("<|begin_of_text|>", "<s>"),
    "eos": ("<|endoftext|>", "<|end_of_text|>", "</s>", "[SEP]"),
    "pad": ("<pad>", "[PAD]"),
    "unk": ("<unk>", "[UNK]"),
    "mask": MASKS,
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
}


class HfTokenizer:
    """A `tokenizer.json` and the files beside it, with the interface of `data.tokenizer.Tokenizer`.

    It is not lossless where the published tokenizer is not: an uncased BERT's drops case, and its spaces are guesses.
    """

    def __init__(self, files: Mapping[str, bytes]):
        """`files`: by name; `tokenizer.json` must be there, `tokenizer_config.json` tells which special token is what.

        Raises:
            UserError: one of them is damaged.
        """
        self.files = dict(files)
        self.model = b"\0".join(self.files[name] for name in sorted(files))
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
        except Exception as error:  # the library raises bare Exceptions
            raise UserError(
                f"tokenizer.json is damaged ({str(error)[:200]}); bring back a copy, or fetch it again"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ids = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocab_size: int = max(ids.values()) + 1
        roles = self._roles(ids)
        end = next((roles[role] for role in ("eos", "sep", "bos", "pad") if roles[role] is not None), None)
        if end is None:
            raise UserError("tokenizer_config.json names no eos_token that is in the vocabulary; name one there")
        self.end_of_text: int = end
        self.ends = find_ends(end, self.files, self.vocab_size)
        self.unknown: int | None = None if roles["unk"] == end else roles["unk"]
        self.mask: int | None = roles["mask"]
        self.decoder_start: int = end if roles["pad"] is None else roles["pad"]
        self.sentinels = find_sentinels(ids)
        self.prefix, self.suffix = self._frame(roles["bos"])
        self.separator = self._between()
        self.is_text = np.ones(self.vocab_size, bool)
        for token, added in self._tokenizer.get_added_tokens_decoder().items():
            self.is_text[token] = not (added.special or SPECIAL.fullmatch(added.content))
        self.is_text[[token for token in roles.values() if token is not None]] = False

    def _roles(self, ids: Mapping[str, int]) -> dict[str, int | None]:
        """The id of each role's token, as tokenizer_config.json or special_tokens_map.json say, or by its usual name."""
        said = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the second counts
            said |= {key: (name, value) for key, value in read_companion(self.files, name).items()}

        def find(role: str) -> int | None:
            if f"{role}_token" in said:
                name, token = said[f"{role}_token"]
                content = token.get("content") if isinstance(token, dict) else token
                if not isinstance(content, str) and token is not None:
                    raise UserError(f"{name}: {role}_token={token!r} is no token; fetch it again")
                return ids.get(content)
            return next((ids[name] for name in ROLES[role] if name in ids), None)

        return {role: find(role) for role in ROLES}

    def _frame(self, bos: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the tokenizer's own template puts before and after a text."""
        bare, framed = (self._tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
        at = next((at for at in range(len(framed)) if framed[at : at + len(bare)] == bare), 0)
        prefix, suffix = tuple(framed[:at]), tuple(framed[at + len(bare) :])
        asked = read_companion(self.files, "tokenizer_config.json").get("add_bos_token")
        if asked is not None and bos is not None:
            prefix = (*((bos,) if asked else ()), *(token for token in prefix if token != bos))
        return prefix, suffix

    def _between(self) -> tuple[int, ...]:
        """What the tokenizer's own template puts between two texts; where that is nothing, a new line."""
        pair = self._tokenizer.encode("a", "a")
        first, second = (
            [at for at, sequence in enumerate(pair.sequence_ids) if sequence == number] for number in range(2)
        )
        between = pair.ids[first[-1] + 1 : second[0]] if first and second else []
        return tuple(between or self.encode("\n"))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; the names of special tokens in it are those tokens, and none is added.

        Raises:
            UserError: it holds a lone surrogate, which is half a character.
        """
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, on all cores."""
        for text in texts:
            check_characters(text)
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[int]]:
        """`encode`, and the character of `text` at which each token begins; these never fall.

        A token goes on to where a later one begins. The bytes of a character all begin at it; where the tokenizer normalises,
        these are places in the text as it was given.
        """
        check_characters(text)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        starts = np.maximum.accumulate([start for start, _ in encoding.offsets] or [0])
        return encoding.ids, starts[: len(encoding.ids)].tolist()

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids; special tokens have none."""
        return self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=True)

    def piece(self, token: int) -> str:
        """The vocabulary's entry for a token id; where an id is not in use, nothing."""
        return self._tokenizer.id_to_token(int(token)) or ""


def from_merges(vocab: bytes, merges: bytes, config: Mapping[str, Any]) -> bytes:
    """The tokenizer.json of GPT-2's `vocab.json` and `merges.txt`; with `<s>` and `</s>`, of RoBERTa's.

    Raises:
        UserError: they are damaged, or of a family whose rules for words are others.
    """
    if "Qwen" in str(config.get("tokenizer_class")):
        raise UserError("Qwen's vocab.json and merges.txt do not tell its rules for words; fetch its tokenizer.json")
    try:
        ids = json.loads(vocab)
        lines = [line for line in merges.decode().split("\n") if line and not line.startswith("#version")]
        pairs = [(left, right) for left, right in (line.split(" ") for line in lines)]
        tokenizer = tokenizers.Tokenizer(models.BPE(ids, pairs))
    except Exception as error:  # the library raises bare Exceptions
        raise UserError(f"vocab.json and merges.txt make no tokenizer ({error}); fetch them again") from error
    space = bool(config.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    if "<s>" in ids and "</s>" in ids:
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), add_prefix_space=space
        )
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return _with_specials(tokenizer, ids)


def from_word_pieces(vocab: bytes, config: Mapping[str, Any]) -> bytes:
    """The tokenizer.json of BERT's `vocab.txt`.

    Raises:
        UserError: it lacks one of BERT's special tokens, or is no text; a setting of `config` is of the wrong type.
    """

    def choice(name: str, default: bool | None) -> bool | None:
        value = config.get(name)
        if not isinstance(value, bool | None):
            raise UserError(f"tokenizer_config.json: {name}={value!r} must be true, false or null; fetch it again")
        return default if value is None else value

    try:
        lines = vocab.decode().rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"vocab.txt is not UTF-8 ({error}); fetch it again") from error
    ids = {piece.rstrip("\r"): token for token, piece in enumerate(lines)}
    if missing := [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in ids]:
        raise UserError(f"vocab.txt has no {missing[0]}; fetch it again")
    tokenizer = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=choice("tokenize_chinese_chars", True),
        strip_accents=choice("strip_accents", None),
        lowercase=choice("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    return _with_specials(tokenizer, ids)


def _with_specials(tokenizer: tokenizers.Tokenizer, ids: Mapping[str, int]) -> bytes:
    names = sorted({name for names in ROLES.values() for name in names if name in ids}, key=ids.__getitem__)
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(name, lstrip=name == "<mask>", normalized=False, special=True) for name in names]
    )
    return tokenizer.to_str().encode()
