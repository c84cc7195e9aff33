"""The corpora that come with pip packages: real text, no download at run time.

`builtin:hsk`   graded modern Chinese sentences with English translations (package hsk-sentences-audio; CC BY-SA 4.0);
                `builtin:hsk/zh` or `builtin:hsk/en` for one language alone, with the labels topic, hsk_level and sentence_type;
                `builtin:hsk/zh-en` and `builtin:hsk/en-zh` for pairs, a sentence and its translation
`builtin:chat`  short dialogues in English and Chinese (package chatterbot-corpus; BSD 3-Clause);
                `builtin:chat/LANGUAGE` for one of its other languages
"""

import importlib.resources
import json
from collections.abc import Iterator
from typing import Any

import yaml

from common.errors import UserError, check_choice, choose, require
from data.document import Document

ATTRIBUTION = {
    "builtin:hsk": "HSK graded sentences with English translations, from the Python package hsk-sentences-audio "
    "(https://github.com/no7z/hsk-sentences-audio), data under CC BY-SA 4.0",
    "builtin:chat": "ChatterBot language training corpus by Gunther Cox and contributors, from the Python package "
    "chatterbot-corpus (https://github.com/gunthercox/chatterbot-corpus), BSD 3-Clause license",
}


def _package(name: str):
    try:
        return importlib.resources.files(name) / "data"
    except ModuleNotFoundError as error:
        raise UserError(f"package {name!r} is missing; install it with: pip install -r requirements.txt") from error


def _hsk(part: str) -> Iterator[Document]:
    """Both directions of a pair are one document each; the Chinese sentence decides the split for both."""
    require(part not in HSK_PAIRS, f"builtin:hsk/{part} holds pairs, for the task seq2seq; give builtin:hsk")
    if part:
        known = ("builtin:hsk", *(f"builtin:hsk/{language}" for language in HSK_LANGUAGES))
        check_choice(known, f"builtin:hsk/{part}", "data")
        yield from (document for document, _ in _hsk_of(part))
        return
    for chinese, english in _translated():
        yield Document(f"zh: {chinese}\nen: {english}", "builtin:hsk", key=chinese)
        yield Document(f"en: {english}\nzh: {chinese}", "builtin:hsk", key=chinese)


def _translated() -> Iterator[tuple[str, str]]:
    """The Chinese sentences that have an English translation, each with it."""
    for english, sentence in _hsk_of("en"):
        yield sentence["zh"], english.text


HSK_LANGUAGES = ("zh", "en")
HSK_LABELS = ("topic", "hsk_level", "sentence_type")
HSK_PAIRS = {"zh-en": ("source", "target"), "en-zh": ("target", "source")}  # what the Chinese is, and what the English


def _sentences() -> list[dict[str, Any]]:
    """All that is known of each sentence, "zh" and "en" among it."""
    sentences = json.loads((_package("hsk_sentences_audio") / "sentences.json").read_text(encoding="utf-8"))
    return [each | {"zh": each["chinese"].strip(), "en": each["translation"]["en"].strip()} for each in sentences]


def _hsk_of(language: str) -> Iterator[tuple[Document, dict[str, Any]]]:
    """The documents of `builtin:hsk/LANGUAGE`, each with all that is known of its sentence.

    The Chinese sentence decides the split of its translation too.
    """
    for sentence in _sentences():
        if sentence[language] != "placeholder":  # not translated yet
            yield Document(sentence[language], f"builtin:hsk/{language}", key=sentence["zh"]), sentence


def read_builtin_labels(source: str, field: str) -> Iterator[tuple[Document, str]]:
    """The documents of `builtin:hsk/zh` or `builtin:hsk/en`, each with its label.

    Raises:
        ConfigError: the source, or the field, has no labels; the message says which do.
    """
    language = source.removeprefix("builtin:hsk/")
    require(language in HSK_LANGUAGES, f"{source} has no labels; builtin:hsk/zh and builtin:hsk/en have them")
    check_choice(HSK_LABELS, field, "data.label_field")
    for document, sentence in _hsk_of(language):
        yield document, str(sentence[field])


def read_builtin_pairs(source: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The pairs of `builtin:hsk/zh-en` or `builtin:hsk/en-zh`, each behind its Chinese sentence, which decides the split.

    Raises:
        ConfigError: the source has no pairs; the message lists those that do.
    """
    sides = choose({f"builtin:hsk/{part}": sides for part, sides in HSK_PAIRS.items()}, source, "data of pairs")
    for sentences in _translated():
        yield sentences[0], dict(zip(sides, sentences, strict=True))


def _dialogues(language: str) -> Iterator[tuple[Document, list[str]]]:
    """A dialogue is a document, a turn a line, and these turns; the first one decides the split.

    The package repeats many dialogues word for word (one of them 114 times); each is given once.
    """
    root = _package("chatterbot_corpus")
    languages = {f"builtin:chat/{folder.name}": folder for folder in root.iterdir() if folder.is_dir()}
    source = f"builtin:chat/{language}" if language else "builtin:chat"
    seen = set()
    for name in [language] if language else ["english", "chinese"]:
        folder = choose(languages, f"builtin:chat/{name}", "data")
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".yml"):
                content = yaml.load(file.read_text(encoding="utf-8"), Loader=YAML_LOADER)
                for dialogue in content["conversations"]:
                    turns = [str(turn).strip() for turn in dialogue if turn is not None]
                    turns = [turn for turn in turns if turn]
                    text = "\n".join(turns)
                    if text and text not in seen:
                        seen.add(text)
                        yield Document(text, source, key=text.partition("\n")[0]), turns


def _chat(language: str) -> Iterator[Document]:
    return (document for document, _ in _dialogues(language))


def read_builtin_dialogues(source: str) -> Iterator[tuple[Document, list[str]]]:
    """The documents of `builtin:chat` or of one of its languages, each with its turns.

    Raises:
        ConfigError: the source has no dialogues, or there is no such language.
    """
    corpus, _, language = source.partition("/")
    require(corpus == "builtin:chat", f"{source} has no dialogues; builtin:chat has them")
    yield from _dialogues(language)


# The C parser where PyYAML was built with it: five times as fast.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

BUILTIN = {"builtin:hsk": _hsk, "builtin:chat": _chat}


def read_builtin(source: str) -> Iterator[Document]:
    """The documents of `builtin:NAME` or `builtin:NAME/PART`.

    Raises:
        ConfigError: no such corpus; the message lists them.
    """
    require(not source.endswith("/"), f"data={source!r} names no part; leave out the / at its end")
    corpus, _, part = source.partition("/")
    return choose(BUILTIN, corpus, "data")(part)


def attribution(source: str) -> str:
    """Who made a source and under what license, as far as we know it."""
    if source.startswith("hf:"):
        return "a data set in Hugging Face's form; its card names its makers and its license"
    return ATTRIBUTION.get(source.partition("/")[0], "the user's own text")
