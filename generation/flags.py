"""The flags of `sample.py`: what it is asked to do, and the options of generation."""

import argparse
from collections.abc import Iterable, Sequence

from common.command import Parser
from common.errors import ConfigError, nearest, require
from generation.options import OPTIONS, Given, Option, configure, defaults, integer, show_value, text
from generation.uses import NAMES, check_name

BATCH_SIZE = 8  # of a file's prompts
INPUTS = (
    Option("ckpt", text, "DIR", "a run's folder, whose newest step is taken, or one step of its checkpoints/"),
    Option("prompt", text, "TEXT", "text to continue, to label or to answer, as the run has learned", many=True),
    Option(
        "prompts_file", text, "FILE", "prompts, one a line; of .jsonl, .csv and .parquet the field `prompt` of each row"
    ),
    Option("batch_size", integer, "N", f"prompts of the file that are read together (default: {BATCH_SIZE})"),
    Option("task", text, "NAME", f"only make sure that the run has learned this: {', '.join(NAMES)}"),
    Option("draft", text, "DIR", "a smaller model that guesses ahead, for speed; the texts stay the model's"),
    Option(
        "context",
        text,
        "TEXT|FILE",
        "where answers stand, for a run that has learned question_answering",
    ),
    Option("score", text, "TEXT", "write nothing: tell how likely this text is after the prompt", many=True),
    Option("perplexity", text, "FILE", "write nothing: tell how well the model predicts this text, however long"),
    Option("system", text, "TEXT", "what stands before all turns of a dialogue, and is not forgotten"),
    Option("stride", integer, "N", "tokens from one --perplexity window to the next (default: half the context)"),
)
# Flag -> the others that mean something beside it. Without one of these all do.
ALONE = {
    "perplexity": ("ckpt", "task", "json", "stride"),
    "score": ("ckpt", "task", "json", "prompt", "system"),
    "context": ("ckpt", "task", "json", "prompt", "prompts_file", "batch_size"),
}
# Flag -> the one that it needs.
NEEDS = {
    "stride": "perplexity",
    "batch_size": "prompts_file",
    "draft_tokens": "draft",
    "length_penalty": "beam",
    "early_stopping": "beam",
}


def add_options(parser: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    """A flag for each option; those that are given become attributes of what is parsed."""
    for option in options:
        parser.add_argument(
            f"--{option.name}",
            type=option.parse,
            metavar=option.metavar,
            help=option.help + ("; may be given many times" if option.many else ""),
            default=argparse.SUPPRESS,
            action="append" if option.many else "store",
            **({"nargs": "?", "const": True} if option.metavar.startswith("on|") else {}),
        )


class Help(argparse.RawDescriptionHelpFormatter):
    """Tells the default of each option."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = show_value(defaults()[action.dest]) if action.dest in OPTIONS else ""
        return f"{action.help} (default: {default})" if default else action.help


def parse(arguments: Sequence[str], description: str) -> tuple[argparse.Namespace, Given]:
    """The flags (None where not given), and those of them that are options of generation and were given.

    Raises:
        ConfigError: a flag is not known, has a wrong value, or means nothing beside the others.
    """
    usage = "sample.py --ckpt DIR [--prompt TEXT]... [--SETTING VALUE]..."
    parser = Parser(prog="sample.py", usage=usage, description=description, formatter_class=Help)
    add_options(parser, INPUTS)
    parser.add_argument(
        "--chat",
        action="store_true",
        help="the same as --task chat: a conversation; from a pipe, each line is a turn, whatever it begins with",
        default=argparse.SUPPRESS,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a completion, for programs")
    add_options(parser.add_argument_group("how text is written"), OPTIONS.values())
    flags, rest = parser.parse_known_args(arguments)
    there = vars(flags)
    if rest:
        names = [f"--{option}" for option in ("json", "chat", *(each.name for each in INPUTS), *OPTIONS)]
        meant = nearest(rest[0], names) if rest[0].startswith("-") else f" (did you mean --prompt {rest[0]!r}?)"
        raise ConfigError(f"unknown argument {rest[0]!r}{meant}; --help lists the flags")
    require("ckpt" in there, "--ckpt is missing: a run's folder, such as runs/base")
    require("prompt" not in there or "prompts_file" not in there, "give --prompt or --prompts_file, not both")
    require(there.get("batch_size", 1) >= 1, f"batch_size={there.get('batch_size')} must be at least 1")
    for name, allowed in ALONE.items():
        for other in there if name in there else ():
            known = other in (name, *allowed) or there[other] is False
            require(known, f"--{other} means nothing with --{name}, which writes no text; give one of them")
    if there.pop("chat", False):
        require(there.setdefault("task", "chat") == "chat", f"--chat is --task chat, and not --task {there['task']}")
    if "task" in there:
        check_name(there["task"])
    for name, needed in NEEDS.items():
        require(name not in there or needed in there, f"--{name} means nothing without --{needed}")
    given = {name: value for name, value in there.items() if name in OPTIONS}
    configure(given)  # what is wrong with them is told before anything is loaded
    return argparse.Namespace(**dict.fromkeys(option.name for option in INPUTS) | there), given
