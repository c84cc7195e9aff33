"""Texts that a trained model is measured on, which no run need have seen."""

import os
from collections.abc import Sequence
from pathlib import Path

from common.command import Say
from common.errors import UserError
from data.cleaning import Cleaner
from data.config import DataConfig
from data.document import by_source
from data.encoded import EncodedText, encode_texts
from data.examples import encode_sources, read_examples, with_known_classes
from data.forms import Example, Form
from data.prepared import is_prepared, read_prepared, refuse_other_tokenizer
from data.skipped import Skipped
from data.sources import read_documents
from data.tokenizer import Tokenizer


def load_texts(data: DataConfig, tokenizer: Tokenizer) -> tuple[dict[str, EncodedText], Skipped]:
    """What `data.valid` names, by source: cleaned as `data.clean` says, with all copies; of a prepared folder, what validates.

    Returns:
        the texts, and what was left out as broken, as a corpus has it.

    Raises:
        ConfigError, UserError: as `load_corpus`; no text is left.
    """
    if len(data.valid) == 1 and is_prepared(data.valid[0]):
        folder = Path(os.path.expanduser(data.valid[0]))
        prepared = read_prepared(folder)
        refuse_other_tokenizer(folder, prepared.tokenizer, tokenizer)
        return dict(prepared.valid), Skipped()
    skipped = Skipped(allowed=data.skip_bad)
    found = by_source(Cleaner(data.clean).clean(read_documents(data.valid, data.text_field, skipped)))
    if not found:
        raise UserError(f"data.clean leaves nothing of {', '.join(data.valid)}; give more text, or other steps")
    texts = {source: encode_texts([each.text for each in documents], tokenizer) for source, documents in found.items()}
    return texts, skipped


def load_held_out(
    data: DataConfig, form: Form, tokenizer: Tokenizer, classes: Sequence[str], say: Say
) -> tuple[dict[str, EncodedText], dict[str, list[Example]], Skipped]:
    """What `data.valid` names, by source: as tokens with labels, and the examples themselves; and what was left out.

    Raises:
        ConfigError, UserError: as `load_examples`.
    """
    skipped = Skipped(allowed=data.skip_bad)
    found = Cleaner(data.clean).clean(read_examples(data.valid, form, data, skipped))
    if form.classes is not None:
        found = with_known_classes(found, form, classes, skipped)
    examples = by_source(found)
    if not examples:
        raise UserError(f"data.clean leaves nothing of {', '.join(data.valid)}; give more text, or other steps")
    return encode_sources(examples, form, tokenizer, classes, data, say), examples, skipped
