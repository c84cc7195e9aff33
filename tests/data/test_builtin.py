from collections import Counter

import pytest

from common.errors import ConfigError
from data.builtin import BUILTIN, attribution, read_builtin_labels, read_builtin_pairs
from data.sources import read_documents


def documents(source: str):
    return list(read_documents([source]))


def test_hsk_gives_each_pair_in_both_directions():
    pairs = documents("builtin:hsk")
    assert len(pairs) > 5000
    assert pairs[0].text.startswith("zh: ") and "\nen: " in pairs[0].text
    forward = Counter((*pair.text.removeprefix("zh: ").split("\nen: "), pair.key) for pair in pairs[::2])
    backward = Counter((*reversed(pair.text.removeprefix("en: ").split("\nzh: ")), pair.key) for pair in pairs[1::2])
    assert forward == backward
    assert all(chinese == key for chinese, _, key in forward)


def test_hsk_gives_each_language_alone_with_one_label_for_a_sentence_and_its_translation():
    of = {language: list(read_builtin_labels(f"builtin:hsk/{language}", "topic")) for language in ("zh", "en")}
    assert len(of["zh"]) > len(of["en"]) > 4000  # not all have been translated
    assert {(document.key, label) for document, label in of["en"]} <= {(each.key, label) for each, label in of["zh"]}
    assert [document for document, _ in of["en"]] == documents("builtin:hsk/en")
    pairs = {(chinese, pair["target"]) for chinese, pair in read_builtin_pairs("builtin:hsk/zh-en")}
    assert {(document.key, document.text) for document, _ in of["en"]} == pairs


def test_chat_gives_each_dialogue_once_keyed_by_its_first_turn():
    dialogues = documents("builtin:chat")
    assert len(dialogues) > 1000
    assert len({dialogue.text for dialogue in dialogues}) == len(dialogues)
    assert all(dialogue.key == dialogue.text.split("\n")[0] != "" for dialogue in dialogues)
    assert max(Counter(dialogue.key for dialogue in dialogues).values()) > 1


def test_chat_has_one_other_language_at_a_time():
    spanish = documents("builtin:chat/spanish")
    assert {document.source for document in spanish} == {"builtin:chat/spanish"}
    assert any("¿" in document.text for document in spanish)
    both = {document.text for language in ("english", "chinese") for document in documents(f"builtin:chat/{language}")}
    assert both == {document.text for document in documents("builtin:chat")}


@pytest.mark.parametrize("source", [*BUILTIN, "builtin:chat/spanish"])
def test_built_in_text_is_clean(source):
    for document in documents(source):
        assert document.text == document.text.strip() != ""
        assert "\r" not in document.text
        assert document.text.encode().decode() == document.text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("builtin:hks", "data='builtin:hks' is not known (did you mean 'builtin:hsk'?); choose from: builtin:chat,"),
        ("builtin:", "data='builtin:' is not known"),
        (
            "builtin:chat/spnish",
            "'builtin:chat/spnish' is not known (did you mean 'builtin:chat/spanish'?); choose from:",
        ),
        ("builtin:hsk/", "data='builtin:hsk/' names no part; leave out the / at its end"),
        ("builtin:chat/", "data='builtin:chat/' names no part; leave out the / at its end"),
        (
            "builtin:hsk/one",
            "(did you mean 'builtin:hsk/en'?); choose from: builtin:hsk, builtin:hsk/en, builtin:hsk/zh",
        ),
    ],
)
def test_an_unknown_name_lists_the_choices_and_the_nearest(source, message):
    with pytest.raises(ConfigError) as caught:
        documents(source)
    assert message in str(caught.value)


def test_built_in_text_names_its_makers_and_license():
    assert "CC BY-SA 4.0" in attribution("builtin:hsk")
    assert "BSD" in attribution("builtin:chat") and attribution("builtin:chat") == attribution("builtin:chat/spanish")
    assert attribution("corpus/hsk.txt") == "the user's own text"
