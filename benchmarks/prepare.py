"""Time and memory of prepare.py on a corpus of any size, made of random sentences in two languages.

    python -m benchmarks.prepare [--megabytes 100] [--flag=--config.data.dedup=near ...]

A tenth of the documents are copies of others, and a tenth near copies.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data.builtin import read_builtin

ROOT = Path(__file__).parent.parent
SENTENCES = 16  # in a document, on average


def write_corpus(path: Path, size: int) -> int:
    """Writes some `size` bytes of JSONL with a fixed seed; gives the number of documents."""
    draw = random.Random(0)
    pairs = [document.text.split("\n") for document in read_builtin("builtin:hsk")][::2]
    languages = [[pair[side].partition(": ")[2] for pair in pairs] for side in (0, 1)]
    written, count, kept = 0, 0, []
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            kind = draw.random()
            if kind < 0.2 and kept:
                text = draw.choice(kept) + ("" if kind < 0.1 else " Once more.")
            else:
                words = draw.choice(languages)
                text = "\n".join(draw.choices(words, k=draw.randint(1, 2 * SENTENCES)))
                kept = [*kept[-999:], text]
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            written, count = written + len(text.encode()), count + 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--flag", action="append", default=[], help="given to prepare.py; may be given many times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "corpus.jsonl")
        documents = write_corpus(source, options.megabytes * 10**6)
        print(f"{documents:,} documents, {source.stat().st_size / 1e6:,.0f} MB in a file")
        command = [sys.executable, str(ROOT / "prepare.py"), "--config", str(ROOT / "configs" / "base.py")]
        command += ["--out", str(Path(folder, "tokens")), f"--config.data.train={source}", *options.flag]
        began = time.perf_counter()
        subprocess.run(command, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        seconds = used.ru_utime + used.ru_stime
        print(f"{time.perf_counter() - began:.0f} s, {seconds:.0f} s of CPU, {peak / 1e6:,.0f} MB at most")


if __name__ == "__main__":
    main()
