"""Drawn pieces (data.subword_sampling): how fast, how many tokens; and whether SentencePiece's own are the same for one seed.

python -m benchmarks.subwords
"""

import subprocess
import sys
import time

import sentencepiece

from data.builtin import read_builtin
from data.subword_sampling import SubwordSampling, sample_all
from data.tokenizer import Tokenizer, TokenizerConfig, train

ALPHAS = {"bpe": (0.1, 0.3), "unigram": (0.1, 0.3, 1.0)}
PROGRAM = """
import sys, sentencepiece
processor = sentencepiece.SentencePieceProcessor(model_proto=sys.stdin.buffer.read())
sentencepiece.set_random_generator_seed(1)
texts = ["The teacher and the students are going to the park.\\n我们学生都去公园。"]
print(processor.encode(texts, enable_sampling=True, alpha=0.1, nbest_size=-1, num_threads=1))
"""


def theirs_by_process(tokenizer: Tokenizer, processes: int = 4) -> int:
    """How many different results so many processes have with one seed."""
    command = [sys.executable, "-c", PROGRAM]
    done = [subprocess.run(command, input=tokenizer.model, capture_output=True, check=True) for _ in range(processes)]
    return len({each.stdout for each in done})


def main() -> int:
    texts = [document.text for document in read_builtin("builtin:hsk")]
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts):,} documents, {size:,} bytes; sentencepiece {sentencepiece.__version__}")
    for kind, alphas in ALPHAS.items():
        tokenizer = train(texts, TokenizerConfig(2048, kind, 0.998, True, True))
        encoded = tokenizer.encode_all(texts)
        plain = sum(map(len, encoded))
        print(
            f"{kind}: one seed in 4 processes gives {theirs_by_process(tokenizer)} results of SentencePiece's sampler"
        )
        for alpha in alphas:
            began = time.process_time()
            drawn = sum(map(len, sample_all(texts, encoded, tokenizer, SubwordSampling(alpha, 1, 0))))
            rate = size / (time.process_time() - began) / 1e6
            print(f"{kind}, alpha {alpha}: {drawn / plain:.2f} times the tokens, {rate:.2f} MB/s of CPU time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
