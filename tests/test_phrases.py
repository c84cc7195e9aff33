"""The phrases that benchmarks/phrases.py takes from a dictionary."""

from benchmarks.phrases import phrases


def test_phrases_in_the_characters_and_words_of_the_sentences(monkeypatch):
    entries = [
        {"simplified": "学校", "definitions": ["(old) CL:所[suo3]", "school (a place)", "campus"]},
        {"simplified": "学", "definitions": ["to study"]},  # a character alone
        {"simplified": "学龘", "definitions": ["to study"]},  # not a character of theirs
        {"simplified": "老师", "definitions": ["pedagogue"]},  # not a word of theirs
    ]
    monkeypatch.setattr("benchmarks.phrases.dictionary", lambda: entries)
    assert [row["text"] for row in phrases()] == ["zh: 学校\nen: school", "en: school\nzh: 学校"]
