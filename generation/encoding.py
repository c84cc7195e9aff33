"""From prompts in text to the token ids that a network is given."""

import re
from collections.abc import Sequence

from common.errors import require
from data.tokenizer import Tokenizer
from generation.prompts import EncodedPrompt, TooLong
from model import TransformerConfig

SPACE_BEFORE_HOLE = re.compile(r" (?=\[MASK\]|<mask>|<extra_id_\d+>)")


def encode_prompts(
    prompts: Sequence[str | EncodedPrompt], config: TransformerConfig, tokenizer: Tokenizer, slide: bool = False
) -> tuple[list[list[int]], list[list[int]] | None]:
    """Token ids with which each text begins, and those that an encoder reads first (None where there is none).

    The tokenizer knows what stands before and after a text, and prompts that are tokens are taken as they are; what an
    encoder-decoder reads ends with end-of-text. Where a decoder may `slide`, prompts may be longer than its context. A space
    before a mask or a sentinel is part of what it hides, as it was in training: a piece holds the space before it.

    Raises:
        TooLong: a prompt leaves no room in the context.
        ConfigError: it has no mask where a network can only fill masks; the network writes no text.
    """
    require(config.head != "classes", "this model gives labels, and writes no text")
    require(
        config.head != "none",
        "this model has no head: it gives vectors, not text; configs/finetune/ has what gives it one",
    )
    fills = config.network != "decoder"
    texts = [
        tokenizer.encode(SPACE_BEFORE_HOLE.sub("", prompt) if fills else prompt)
        if isinstance(prompt, str)
        else prompt.tokens
        for prompt in prompts
    ]
    suffix = tokenizer.suffix if config.network == "encoder" else ()
    rows = [
        ([*tokenizer.prefix, *text, *suffix] or [tokenizer.end_of_text]) if isinstance(prompt, str) else text
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    around = 1 if config.network == "encoder-decoder" else len(tokenizer.prefix) + len(suffix)
    longest, most = max(map(len, texts), default=0), config.max_length - around
    if longest > most and not (slide and config.network == "decoder"):
        remedy = "shorten it, or give --slide" if config.network == "decoder" else "shorten it"
        number = [*map(len, texts)].index(longest)
        raise TooLong(f"a prompt of {longest} tokens is too long: this model reads {most}; {remedy}", number)
    if config.network == "encoder-decoder":
        return [[tokenizer.decoder_start] for _ in texts], [[*text, tokenizer.end_of_text] for text in texts]
    if config.network == "encoder":
        mask = "[MASK]" if tokenizer.mask is None else tokenizer.piece(tokenizer.mask)
        require(
            all(tokenizer.mask in text for text in texts),
            f"this model fills in what is masked: the prompt must hold {mask}",
        )
    return rows, None
