"""A tokenizer as `transformers` loads it: the published files as they came, or our SentencePiece model as tokenizer.json."""

import json

import tokenizers
from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, decoders, models, normalizers, processors

from data.hf_tokenizer import HfTokenizer
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

    The one difference: U+2581 in a text, which SentencePiece takes for a space, is read as a space.
    """
    processor = SentencePieceProcessor(model_proto=model)
    count = processor.vocab_size()
    pieces = [processor.id_to_piece(token) for token in range(count)]
    scores = [processor.get_score(token) for token in range(count)]
    is_plain = [
        not (processor.is_control(token) or processor.is_unknown(token) or processor.is_byte(token))
        for token in range(count)
    ]
    has_bytes = any(processor.is_byte(token) for token in range(count))
    unknown = processor.unk_id()
    # Of a unigram model the scores are log-probabilities; of the others they only say which pair is joined first.
    by_rank = sorted((token for token in range(count) if is_plain[token]), key=lambda token: -scores[token])
    if _is_unigram(scores):
        network = models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown, byte_fallback=has_bytes)
    else:
        ids = {piece: token for token, piece in enumerate(pieces)}
        merges = [
            (piece[:at], piece[at:])
            for piece in (pieces[token] for token in by_rank)
            for at in range(1, len(piece))
            if piece[:at] in ids and piece[at:] in ids
        ]
        network = models.BPE(
            ids, merges, unk_token=pieces[unknown], byte_fallback=has_bytes, fuse_unk=True, ignore_merges=False
        )
    tokenizer = tokenizers.Tokenizer(network)
    tokenizer.normalizer = normalizers.Replace(" ", SPACE_MARK)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = [
        piece
        for token, piece in enumerate(pieces)
        if processor.is_control(token) or token == unknown or SPECIAL.fullmatch(piece)
    ]
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False) for piece in specials])
    end = (END_OF_TEXT, processor.piece_to_id(END_OF_TEXT))
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=[end])
    return tokenizer.to_str().encode()


def _is_unigram(scores: list[float]) -> bool:
    """SentencePiece gives the pieces of a BPE the scores 0, -1, -2 …, and those of a unigram log-probabilities."""
    return any(score != round(score) for score in scores)


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
