"""Prints what each objective feeds the network, on one real document: the page docs/objectives.md.

python -m tasks.show > docs/objectives.md
"""

import numpy as np

from common.tables import markdown
from data.batches import PackedRows
from data.builtin import read_builtin
from data.encoded import encode_texts
from data.tokenizer import Tokenizer, TokenizerConfig, train
from tasks import TASKS, CorruptionConfig

SENTINELS = tuple(f"<extra_id_{number}>" for number in reversed(range(20)))
TOKENIZER = TokenizerConfig(2048, "bpe", 0.998, True, True, ("[MASK]", *SENTINELS))
CORRUPTION = CorruptionConfig()
TITLES = {
    "causal_lm": "Each token is predicted from those before it (GPT). `causal_lm` trains a decoder.",
    "prefix_lm": "The first part of the text is given, and its tokens see each other both ways (marked ↔); the rest is "
    "predicted. `prefix_lm` trains a decoder.",
    "masked_lm": "15 % of the tokens are to be predicted (BERT): of these, 80 % are hidden by `[MASK]`, 10 % replaced by "
    "another token, 10 % left. `masked_lm` trains an encoder. With `corruption.whole_words=True` the pieces of a word are "
    "chosen together. There is no next-sentence prediction: RoBERTa found that it does not help (Liu et al. 2019, "
    "arXiv:1907.11692).",
    "span_corruption": "15 % of the tokens, in spans of three on average, are cut out and a sentinel put in their place "
    "(T5); the decoder writes them. `span_corruption` trains an encoder-decoder. Each text ends with a span, as published; "
    "with `corruption.spans_anywhere=True` few do, which suits short texts whose gaps will be anywhere.",
}


def show(name: str, document: str, tokenizer: Tokenizer, seed: int = 0) -> str:
    """What the objective `name` makes of a document, as a Markdown table: a row an array, a column a place."""
    packed = PackedRows.pack([encode_texts([document], tokenizer)], 64)
    prepare = TASKS[name].prepare(packed, tokenizer, CORRUPTION, TASKS[name].networks[0])
    row = prepare(packed.row(0), np.random.default_rng(seed))

    def pieces(ids: str, segments: str) -> list[str]:
        shown = [tokenizer.piece(token).replace("\n", "↵").replace("|", "\\|") for token in row[ids]]
        return [f"`{piece}`" for piece, segment in zip(shown, row[segments], strict=True) if segment]

    def table(lines: dict[str, list[str]]) -> str:
        width = max(map(len, lines.values()))
        titles, *rows = ([title, *cells] + [""] * (width - len(cells)) for title, cells in lines.items())
        return markdown(titles, rows)

    inputs, targets = pieces("inputs", "segment_ids"), pieces("targets", "segment_ids")
    if "prefix" in row:
        inputs = [f"{piece} ↔" if seen else piece for piece, seen in zip(inputs, row["prefix"], strict=False)]
    targets = [target if weight else "" for target, weight in zip(targets, row["weights"], strict=False)]
    text = table({"inputs": inputs, "targets": targets})
    if "encoder_inputs" in row:
        text = table({"encoder inputs": pieces("encoder_inputs", "encoder_segment_ids")}) + "\n\n" + text
    return text


def page() -> str:
    """All objectives on the same document."""
    documents = [document.text for document in read_builtin("builtin:hsk")]
    tokenizer = train(documents, TOKENIZER)
    document = next(text for text in documents if 60 < len(text) < 70)
    parts = [
        "# Objectives",
        "What each of them feeds the network, on one document of the built-in corpus (printed by `python -m tasks.show`). "
        "`<|endoftext|>` begins and ends every text; a target that is empty is not counted. Which tokens are hidden is a "
        "function of the seed, the step and the row, so that every epoch hides others and a resumed run the same.",
        "```\n" + document + "\n```",
    ]
    for name, title in TITLES.items():
        parts += [f"## `{name}`", title, show(name, document, tokenizer)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(), end="")
