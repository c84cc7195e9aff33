"""Time and memory of prepare.py on a corpus of any size, made of random sentences in two languages.

    python -m benchmarks.prepare [--megabytes 100] [--flag=--config.data.dedup=near ...] [--parts]

A tenth of the documents are copies of others, and a tenth near copies. With --parts the same work is done once more by the
bare functions, one after the other on texts in memory, and each is timed.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from data.builtin import read_builtin
from data.cleaning import Cleaner
from data.dedup import find_duplicates, sign
from data.encoded import document_sizes, encode_texts
from data.groups import in_groups
from data.sample import TOKENIZER_BYTES, sample_counts
from data.shards import ShardWriter
from data.sources import read_documents
from data.tokenizer import train
from data.tokenizer_files import read_tokenizer
from data.tokens import BATCH_BYTES
from training.config import build_config
from training.settings import load_settings

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


def time_parts(source: Path, out: Path, clean: tuple[str, ...]) -> None:
    """CPU seconds of each function that the work consists of, for the texts of `source`; `out` is what was prepared."""
    began = time.process_time()

    def lap(what: str) -> None:
        nonlocal began
        print(f"{what:<12} {time.process_time() - began:7.1f} s of CPU")
        began = time.process_time()

    documents = list(read_documents([str(source)]))
    lap("read")
    documents = list(Cleaner(clean).clean(documents))
    lap("clean")
    texts = [document.text for document in documents]
    signatures = sign(texts)
    lap("sign")
    kept = np.unique(find_duplicates(signatures))
    lap("copies")
    texts = [texts[number] for number in kept]
    sample = texts[: sample_counts([document_sizes(texts)], TOKENIZER_BYTES)[0]]
    began = time.process_time()
    train(sample, build_config(load_settings(str(ROOT / "configs" / "base.py"), [])).tokenizer)
    lap("train")
    tokenizer = read_tokenizer(out)
    with closing(ShardWriter(out.parent, "parts", np.dtype(np.uint16), tokenizer.end_of_text)) as writer:
        for batch in in_groups(texts, len, BATCH_BYTES):
            encoded = encode_texts(batch, tokenizer)
            writer.add(encoded.tokens[1:], encoded.lengths)
    lap("tokenize")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--flag", action="append", default=[], help="given to prepare.py; may be given many times")
    parser.add_argument("--parts", action="store_true", help="time the bare functions too")
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
        print(f"{time.perf_counter() - began:.0f} s, {seconds:.0f} s of CPU, {peak / 1e6:,.0f} MB at most in a process")
        if options.parts:
            steps = [flag.partition("data.clean=")[2] for flag in options.flag if "data.clean=" in flag]
            time_parts(source, Path(folder, "tokens"), tuple(",".join(steps).split(",")) if steps else ())


if __name__ == "__main__":
    main()
