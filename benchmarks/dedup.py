"""How many planted copies are found, how fast, and in how much memory; and the same of datasketch where it is installed.

    pip install datasketch       # only for the comparison; not among our requirements
    python -m benchmarks.dedup [--texts 300] [--documents 2000000] [--no-datasketch]

English texts are docstrings of Python's standard library, Chinese ones are made of sentences of builtin:hsk; no two of
them have a Jaccard similarity above 0.3. A copy has some of its words, or characters, deleted, replaced or put in.
"""

import argparse
import ast
import functools
import itertools
import random
import resource
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.builtin import read_builtin
from data.dedup import NGRAM, NUM_HASHES, Signatures, find_duplicates, normalise, sign
from data.scripts import words

EDITS = (0.0, 0.01, 0.05, 0.1, 0.2)
THRESHOLDS = (0.8, 0.5)


def english_texts() -> list[str]:
    """Docstrings of 60 words or more, in the order of their files."""
    texts = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(file.read_text(encoding="utf-8", errors="replace"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                texts.append(ast.get_docstring(node) or "")
    return [text for text in texts if len(text.split()) >= 60]


def chinese_texts() -> list[str]:
    """Of 10 to 40 sentences, drawn with a fixed seed."""
    pick = random.Random(0)
    sentences = [document.key for document in read_builtin("builtin:hsk")][::2]
    pick.shuffle(sentences)
    texts, at = [], 0
    while at < len(sentences) - 40:
        length = pick.randint(10, 40)
        texts.append("".join(sentences[at : at + length]))
        at += length
    return texts


def shingles(text: str, n: int = NGRAM) -> frozenset[tuple[str, ...]]:
    """N-grams as Python's tuples: the reference for similarity, without hashes."""
    units = list(words(normalise(text)))
    return frozenset(tuple(units[at : at + n]) for at in range(max(len(units) - n + 1, 1)))


def jaccard(a: frozenset, b: frozenset) -> float:
    return len(a & b) / len(a | b)


def unrelated(texts: Sequence[str], count: int) -> list[str]:
    """The first texts of which none is similar to one before."""
    chosen: dict[str, frozenset] = {}
    for text in texts:
        grams = shingles(text)
        if len(chosen) < count and all(jaccard(grams, other) < 0.3 for other in chosen.values()):
            chosen[text] = grams
    return list(chosen)


def edited(text: str, share: float, pick: random.Random, others: Sequence[str]) -> str:
    """The text with a share of its units deleted, replaced or followed by one of `others`; without edits, its case and
    white space changed."""
    if share == 0:
        return f"  {text.upper()}\n"
    units = list(words(text))
    for at in pick.sample(range(len(units)), max(1, round(share * len(units)))):
        other = pick.choice(others)
        units[at] = pick.choice(["", other, f"{units[at]} {other}"])
    return " ".join(units)


def ours(texts: list[str], threshold: float, ngram: int = NGRAM) -> np.ndarray:
    return find_duplicates(sign(texts, ngram), threshold)


class Datasketch:
    """MinHashLSH over the same n-grams, each candidate verified; `signed` keeps what was hashed before."""

    def __init__(self):
        self.signed = {}

    def __call__(self, texts: list[str], threshold: float) -> np.ndarray:
        from datasketch import MinHashLSH

        index = MinHashLSH(threshold=threshold, num_perm=NUM_HASHES)
        copies = np.arange(len(texts))
        for number, text in enumerate(texts):
            if text not in self.signed:
                self.signed[text] = self.sign(text)
            near = [key for key in index.query(self.signed[text]) if self.near(text, texts[key], threshold)]
            copies[number] = min((copies[key] for key in near), default=number)
            index.insert(number, self.signed[text])
        return copies

    def near(self, a: str, b: str, threshold: float) -> bool:
        return self.signed[a].jaccard(self.signed[b]) >= threshold

    @staticmethod
    def sign(text: str):
        from datasketch import MinHash

        minhash = MinHash(num_perm=NUM_HASHES)
        minhash.update_batch([" ".join(gram).encode() for gram in shingles(text)])
        return minhash


def found(find: Callable, originals: list[str], copies: list[str], threshold: float) -> tuple[float, int]:
    """The share of copies found, and how many documents were taken for a copy of one that they have nothing to do with."""
    stands = find(originals + copies, threshold)
    recall = np.mean(stands[: len(originals)] == stands[len(originals) :])
    wrong = stands % len(originals) != np.tile(np.arange(len(originals)), 2)
    return float(recall), int(wrong.sum())


def print_recall(name: str, originals: list[str], finders: dict[str, Callable]) -> None:
    pick = random.Random(1)
    others = [unit for text in originals for unit in words(text)]
    size = np.median([len(list(words(text))) for text in originals])
    print(f"\n{name}: {len(originals)} texts, {size:.0f} words or characters (median)")
    print(f"| edited | Jaccard | {' | '.join(f'{finder}, {t}' for finder in finders for t in THRESHOLDS)} | wrong |")
    print(f"|---|---|{'---|' * len(finders) * len(THRESHOLDS)}---|")
    for share in EDITS:
        copies = [edited(text, share, pick, others) for text in originals]
        similar = np.mean([jaccard(shingles(a), shingles(b)) for a, b in zip(originals, copies, strict=True)])
        results = [found(find, originals, copies, t) for find in finders.values() for t in THRESHOLDS]
        recalls = " | ".join(f"{100 * recall:.1f} %" for recall, _ in results)
        print(f"| {100 * share:.0f} % | {similar:.2f} | {recalls} | {', '.join(str(wrong) for _, wrong in results)} |")


def print_precision(name: str, texts: list[str]) -> None:
    """Pairs of texts as they are, by brute force and by ours."""
    texts = list({normalise(text): text for text in texts}.values())
    grams = [shingles(text) for text in texts]
    true = {(a, b): jaccard(grams[a], grams[b]) for a, b in itertools.combinations(range(len(texts)), 2)}
    for threshold in THRESHOLDS:
        stands = ours(texts, threshold)
        together = [pair for pair in true if stands[pair[0]] == stands[pair[1]]]
        similar = [pair for pair in true if true[pair] >= threshold]
        both = set(together) & set(similar)
        lowest = min((true[pair] for pair in together), default=1)
        print(
            f"{name}: {len(texts)} texts as they are, {len(similar)} pairs with a Jaccard similarity of {threshold} or more, "
            f"of which {len(both)} found, and {len(together) - len(both)} others (the lowest has {lowest:.2f})"
        )


def print_speed(name: str, texts: list[str], with_datasketch: bool) -> None:
    def megabytes_per_second(function: Callable, texts: list[str]) -> float:
        start = time.process_time()
        function(texts)
        return sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)

    sign(texts[:10])  # tables are made once
    speeds = [f"{name}: {max(megabytes_per_second(sign, texts * 5) for _ in range(3)):.1f} MB/s"]
    if with_datasketch:
        speed = megabytes_per_second(lambda texts: [Datasketch.sign(text) for text in texts], texts)
        speeds.append(f"datasketch {speed:.2f} MB/s")
    print(", ".join(speeds))


def print_size(documents: int) -> None:
    """Random signatures, a tenth of them near copies (a twentieth of their hashes changed) of others."""
    generator = np.random.default_rng(0)
    minhash = generator.integers(0, 256, (documents, NUM_HASHES), np.uint8)
    tenth = documents // 10
    minhash[:tenth] = minhash[tenth : 2 * tenth]
    for column in range(0, NUM_HASHES, 20):
        minhash[:tenth, column] += 1
    content = generator.integers(0, 1 << 63, (documents, 2), np.uint64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    kept = len(np.unique(find_duplicates(Signatures(content, content[:, 0].copy(), minhash))))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"find_duplicates of {documents:,} documents: {seconds:.1f} s of CPU, {documents - kept:,} dropped of {tenth:,} "
        f"copies; at most {peak / 1024:.0f} MiB, of which {before / 1024:.0f} before"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.dedup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=300, metavar="N", help="of each language (default: 300)")
    parser.add_argument(
        "--documents", type=int, default=2_000_000, metavar="N", help="for the memory (default: 2000000)"
    )
    parser.add_argument("--no-datasketch", action="store_true", help="ours alone")
    flags = parser.parse_args()
    languages = {"English": english_texts(), "Chinese": chinese_texts()}
    print_size(flags.documents)
    for name, texts in languages.items():
        print_speed(name, texts, not flags.no_datasketch)
    print_precision("docstrings", languages["English"])
    print_precision("Chinese dialogues", [document.text for document in read_builtin("builtin:chat/chinese")])
    for name, texts in languages.items():
        finders = {"ours": ours, "ours with 3-grams": functools.partial(ours, ngram=3)}
        if not flags.no_datasketch:
            finders["datasketch"] = Datasketch()
        print_recall(name, unrelated(texts, flags.texts), finders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
