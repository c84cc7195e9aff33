"""A tokenizer as `transformers` loads it: the published files as they came, or our SentencePiece model as tokenizer.json."""

import json

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, processors

from data.hf_tokenizer import HfTokenizer
from data.model_proto import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, read_model_type, read_pieces
from data.tokenizer import END_OF_TEXT, SPACE_MARK, SPECIAL, Tokenizer
from model import TransformerConfig


def export_tokenizer(tokenizer: Tokenizer | HfTokenizer, config: TransformerConfig) -> dict[str, bytes]:
    """The files, by name. A tokenizer that was trained here is given as both tokenizer.json and tokenizer.model."""
    files = dict(tokenizer.files)
    if isinstance(tokenizer, Tokenizer) and tokenizer.piece(tokenizer.end_of_text) == END_OF_TEXT:
        frame = ["$A", END_OF_TEXT] if config.network == "encoder-decoder" else [END_OF_TEXT, "$A"]
        files["tokenizer.json"] = as_tokenizer_json(tokenizer.model, frame)
        special = {"eos_token": END_OF_TEXT, "bos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
        special["unk_token"] = tokenizer.piece(tokenizer.unknown)
        if tokenizer.mask is not None:
            special["mask_token"] = tokenizer.piece(tokenizer.mask)
        files["tokenizer_config.json"] = _json(
            special
            | {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": config.max_length,
                "clean_up_tokenization_spaces": False,
            }
        )
    elif "tokenizer_config.json" not in files and isinstance(tokenizer, HfTokenizer):
        end = tokenizer.piece(tokenizer.end_of_text)
        files["tokenizer_config.json"] = _json({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end})
    return files


def as_tokenizer_json(model: bytes, frame: list[str]) -> bytes:
    """A SentencePiece model of ours, which leaves text as it is, as tokenizer.json; `frame`: what stands about a text, `$A`.

    What differs: U+2581 in a text, SentencePiece's space, is read as a space, and by a unigram model <0x41> as that byte.
    """
    pieces = read_pieces(model)
    names = [piece.name for piece in pieces]
    kinds = [piece.kind for piece in pieces]
    has_bytes, unknown = BYTE in kinds, kinds.index(UNKNOWN)
    if read_model_type(model) == "unigram":
        scores = [piece.score for piece in pieces]
        network = models.Unigram(list(zip(names, scores, strict=True)), unk_id=unknown, byte_fallback=has_bytes)
    else:  # the scores of the others only say which pair is joined first
        ids = {name: token for token, name in enumerate(names)}
        plain = [piece for piece in pieces if piece.kind == NORMAL]
        merges = [
            (name[:at], name[at:])
            for name in (piece.name for piece in sorted(plain, key=lambda piece: -piece.score))
            for at in range(1, len(name))
            if name[:at] in ids and name[at:] in ids
        ]
        network = models.BPE(
            ids, merges, unk_token=names[unknown], byte_fallback=has_bytes, fuse_unk=True, ignore_merges=False
        )
    tokenizer = tokenizers.Tokenizer(network)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    if any(SPACE_MARK in piece.name for piece in pieces):  # bytes have a space of their own
        tokenizer.normalizer = normalizers.Replace(" ", SPACE_MARK)
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    special = {piece.name for piece in pieces if piece.kind in (CONTROL, UNKNOWN) or SPECIAL.fullmatch(piece.name)}
    whole = [piece.name for piece in pieces if piece.kind == USER_DEFINED and len(piece.name) > 1]  # user_symbols
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in whole if name not in special])
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in names if name in special])
    end = (END_OF_TEXT, names.index(END_OF_TEXT))
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=[end])
    return tokenizer.to_str().encode()


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
