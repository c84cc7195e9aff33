"""Word vectors: trained by skip-gram, written to a file that other programs read, and asked for the nearest words.

    python word_vectors.py train --config configs/word2vec.py [--workdir DIR] [--config.SECTION.KEY=VALUE ...]
    python word_vectors.py export DIR FILE
    python word_vectors.py nearest DIR WORD [WORD ...] [--count N]

`train` run again resumes. DIR is its folder, or a Word2Vec or GloVe file; FILE is in Word2Vec's text format.
"""

import argparse
import sys
from pathlib import Path

from common.command import Parser, read_overrides, run_command
from common.errors import require


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the overrides as "SECTION.KEY=VALUE"."""
    parser = Parser(prog="word_vectors.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="train | export | nearest")
    train = commands.add_parser("train", help="learn vectors from the text of a config")
    train.add_argument("--config", metavar="FILE", required=True, help="a config file, such as configs/word2vec.py")
    train.add_argument("--workdir", metavar="DIR", help="the run's folder (default: runs/NAME, as the config is named)")
    export = commands.add_parser("export", help="write them to a file")
    nearest = commands.add_parser("nearest", help="the words with the most similar vectors")
    for command in (export, nearest):
        command.add_argument("vectors", metavar="DIR", help="a run's folder, or a Word2Vec or GloVe file")
    export.add_argument("target", metavar="FILE", type=Path, help="the file to write")
    nearest.add_argument("words", metavar="WORD", nargs="+")
    nearest.add_argument("--count", type=int, default=10, metavar="N", help="how many (default: 10)")
    flags, rest = parser.parse_known_args(arguments)
    require(flags.command == "train" or not rest, f"unknown argument {rest[0]!r}" if rest else "")
    require(flags.command != "nearest" or flags.count >= 1, "--count must be at least 1")
    return flags, read_overrides(rest, flags.config, vars(flags)) if flags.command == "train" else []


def train(config_file: str, workdir: str | None, overrides: list[str]) -> int:
    from data.builtin import attribution
    from data.skipped import Skipped, tell_skipped
    from data.word_text import read_words, texts_for_words
    from training.config import build_config
    from training.display import Display
    from training.run_folder import RunFolder
    from training.settings import load_settings
    from training.word_trainer import WordTrainer

    settings = load_settings(config_file, overrides)
    config = build_config(settings)
    folder, display = RunFolder(workdir or Path("runs") / Path(config_file).stem), Display()
    with folder.lock():
        folder.refuse_changes(settings)
        display.say(f"{config_file} -> {folder.path}")
        skipped = Skipped(allowed=config.data.skip_bad)
        text = read_words(texts_for_words(config.data, skipped), config.words.min_count)
        tell_skipped(skipped, display.warn)
        trainer = WordTrainer(config, text, folder, display)
        sources = {source: attribution(source) for source in config.data.train}
        folder.begin(settings, text, {"sources": sources, "fingerprint": text.fingerprint})
        return trainer.train()


def main() -> int:
    flags, overrides = parse(sys.argv[1:])
    sys.stdout.reconfigure(encoding="utf-8")
    if flags.command == "train":
        return train(flags.config, flags.workdir, overrides)

    # Imported here, so that a wrong flag is answered at once.
    from data.word_vectors import write_word_vectors
    from training.word_trainer import describe_nearest, load_word_vectors

    vectors = load_word_vectors(flags.vectors, lambda message: print(message, file=sys.stderr))
    if flags.command == "export":
        write_word_vectors(flags.target, vectors)
        print(flags.target)
        return 0
    for word in flags.words:
        print(describe_nearest(vectors, word, flags.count))
    return 0


if __name__ == "__main__":
    run_command(main)
