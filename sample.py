"""Continues prompts with a trained model, fills what they leave open, or tells how likely a text is.

    python sample.py --ckpt runs/base --prompt "今天" --prompt "My friend" [--temperature 0 ...]
    python sample.py --ckpt runs/base --prompts_file prompts.txt --json > completions.jsonl
    python sample.py --ckpt runs/bert_tiny --prompt "en: I am [MASK] student."
    python sample.py --ckpt runs/t5_tiny --prompt "en: I <extra_id_0> student."
    python sample.py --ckpt runs/base --prompt "zh: 你" --score 好 --score 们
    python sample.py --ckpt runs/base --perplexity text.txt

Without prompts it reads them from standard input, one a line; on a terminal it asks, and /help lists what can be changed.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from common.command import run_command
from common.errors import ConfigError, UserError, nearest, require
from data.lines import read_utf8
from data.readers import read_jsonl
from generation.options import OPTIONS, Given, Help, Option, add_options, configure, text, whole
from generation.reports import print_perplexity, print_score, tell

BATCH_SIZE = 8  # of a file's prompts
INPUTS = (
    Option("ckpt", text, "DIR", "a run's folder, its checkpoints/, or one step of them"),
    Option("prompt", text, "TEXT", "text to continue", many=True),
    Option("prompts_file", text, "FILE", "prompts, one a line; of .jsonl the field `prompt` of each line"),
    Option("batch_size", whole, "N", f"prompts of the file that are continued together (default: {BATCH_SIZE})"),
    Option("draft", text, "DIR", "a smaller model that guesses ahead, for speed; the texts stay the model's"),
    Option("score", text, "TEXT", "write nothing: tell how likely this text is after the prompt", many=True),
    Option("perplexity", text, "FILE", "write nothing: tell how well the model predicts this text, however long"),
    Option("stride", whole, "N", "tokens from one --perplexity window to the next (default: half the context)"),
)


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(message)


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Given]:
    """The flags, and those of them that are options of generation and were given."""
    usage = "sample.py --ckpt DIR [--prompt TEXT]... [--SETTING VALUE]..."
    parser = Parser(prog="sample.py", usage=usage, description=__doc__, formatter_class=Help, allow_abbrev=False)
    add_options(parser, INPUTS)
    parser.add_argument("--json", action="store_true", help="one JSON object a completion, for programs")
    add_options(parser.add_argument_group("how text is written"), OPTIONS.values())
    parser.set_defaults(**dict.fromkeys((option.name for option in INPUTS), None) | {"batch_size": BATCH_SIZE})
    flags, rest = parser.parse_known_args(arguments)
    if rest:
        names = [f"--{name}" for name in (*vars(flags), *OPTIONS)]
        meant = nearest(rest[0], names) if rest[0].startswith("-") else f" (did you mean --prompt {rest[0]!r}?)"
        raise ConfigError(f"unknown argument {rest[0]!r}{meant}; --help lists the flags")
    require(flags.ckpt is not None, "--ckpt is missing: a run's folder, such as runs/base")
    require(flags.prompt is None or flags.prompts_file is None, "give --prompt or --prompts_file, not both")
    require(flags.batch_size >= 1, f"batch_size={flags.batch_size} must be at least 1")
    return flags, {name: value for name, value in vars(flags).items() if name in OPTIONS}


def main() -> int:
    flags, given = parse(sys.argv[1:])
    prompts = flags.prompt if flags.prompts_file is None else read_prompts(Path(flags.prompts_file))
    measured = None if flags.perplexity is None else read_utf8(Path(flags.perplexity))

    # Imported here, so that a wrong flag is answered at once.
    from generation.answers import Answers
    from generation.scoring import score_continuations, score_text
    from generation.session import Session
    from generation.speculative import Draft
    from model.parameters import split_layers
    from training.trained_model import load_model

    configure(given)
    model = load_model(flags.ckpt, say=tell)
    network = split_layers(model.params), model.config, model.tokenizer
    sys.stdout.reconfigure(encoding="utf-8")
    if measured is not None:
        print_perplexity(flags.perplexity, score_text(*network, measured, stride=flags.stride), flags.json)
        return 0
    if flags.score:
        before, after = zip(*itertools.product(prompts or [""], flags.score), strict=True)
        for score in score_continuations(*network, before, after):
            print_score(score, model.tokenizer, flags.json)
        return 0
    draft = None
    if flags.draft is not None:
        smaller = load_model(flags.draft, say=tell)
        same = smaller.tokenizer.files == model.tokenizer.files
        require(same, f"--draft {flags.draft} has another tokenizer; a draft is trained with that of the model")
        draft = Draft(split_layers(smaller.params), smaller.config)
    answers = Answers(*network, draft, flags.json)
    answers.check(given)
    if prompts is None and sys.stdin.isatty():
        Session(given, answers.check, answers.answer_in_session).run()
    elif prompts is None:
        answers.answer_all(([prompt] for prompt in read_lines()), given)
    else:
        size = flags.batch_size if flags.prompts_file else 1
        answers.check_prompts(prompts, given)
        answers.answer_all((prompts[start : start + size] for start in range(0, len(prompts), size)), given)
    return 0


def read_prompts(path: Path) -> list[str]:
    lines = read_jsonl(path, "prompt") if path.suffix == ".jsonl" else read_utf8(path).split("\n")
    prompts = [line for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"{path} holds no prompt")
    return prompts


def read_lines() -> Iterator[str]:
    """The lines of standard input that are not empty, each as soon as it is there."""
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    prompt = Option("a prompt", text, "TEXT", "")
    for line in sys.stdin:
        if line.strip():
            yield prompt.parse(line.rstrip("\r\n"))


if __name__ == "__main__":
    run_command(main)
