"""Continues prompts with a trained model, or fills what they leave open.

    python sample.py --ckpt runs/base --prompt "今天" --prompt "My friend" [--temperature 0 ...]
    python sample.py --ckpt runs/bert_tiny --prompt "en: I am [MASK] student."
    python sample.py --ckpt runs/t5_tiny --prompt "en: I <extra_id_0> student."

Without --prompt it asks for prompts, one a line. --ckpt is a run's folder, its checkpoints, or one step of them.
"""

import argparse
import dataclasses
import functools
import json
import signal
import sys
from collections.abc import Iterator

from common.command import run_command
from common.errors import ConfigError, require


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sample.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--ckpt", required=True, metavar="DIR", help="a run's folder, its checkpoints/, or one step")
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="text to continue; may be given many times")
    parser.add_argument("--num_samples", type=int, default=1, metavar="N", help="completions a prompt (default: 1)")
    parser.add_argument("--max_new_tokens", type=int, default=64, metavar="N", help="tokens at most (default: 64)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="X", help="0: greedy (default: 0.8)")
    parser.add_argument("--top_k", type=int, default=0, metavar="K", help="draw from the K likeliest; 0: all (default)")
    parser.add_argument("--top_p", type=float, default=1.0, metavar="P", help="draw from the likeliest that sum to P")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same text (default: 0)"
    )
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before this text; many allowed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a completion, for programs")
    flags = parser.parse_args(arguments)
    for name in ("num_samples", "max_new_tokens"):
        require(getattr(flags, name) >= 1, f"--{name} {getattr(flags, name)} must be at least 1")
    require(0 <= flags.seed < 2**32, f"--seed {flags.seed} must be from 0 to {2**32 - 1}")
    require("" not in flags.stop, "--stop needs a text that is not empty")
    for name, texts in (("--prompt", flags.prompt or ()), ("--stop", flags.stop)):
        for text in texts:
            require_utf8(text, name)
    return flags


def require_utf8(text: str, name: str) -> None:
    """Raises ConfigError where `text` holds bytes that Python could not decode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is not valid UTF-8 (character {error.start + 1})") from error


def main() -> int:
    flags = parse(sys.argv[1:])

    # Imported here, so that a wrong flag is answered at once.
    from generation.completion import complete
    from generation.sampling import SamplingConfig
    from training.trained_model import load_model

    sampling = SamplingConfig(flags.temperature, flags.top_k, flags.top_p)
    model = load_model(flags.ckpt, say=tell)
    encode = model.tokenizer.encode
    tell_once = functools.cache(tell)
    joins_spaces = encode(" a") != encode(" ") + encode("a")

    def answer(prompt: str) -> None:
        """Prints the completions of one prompt: a single one as it is made, several one after the other."""
        require_utf8(prompt, "the prompt")
        if joins_spaces and prompt.endswith(" "):
            tell(
                "the prompt ends in a space; the model writes better without it, since a space is part of the next word"
            )
        live = flags.num_samples == 1 and not flags.json
        completions = complete(
            model.params,
            model.config,
            model.tokenizer,
            [prompt] * flags.num_samples,
            max_new_tokens=flags.max_new_tokens,
            sampling=sampling,
            seed=flags.seed,
            stop=flags.stop,
            on_text=lambda row, text: print(text, end="", flush=True) if live else None,
        )
        if flags.json:
            for completion in completions:
                fields = dataclasses.asdict(completion)
                if not completion.candidates:  # only masks have some
                    del fields["candidates"]
                print(json.dumps(fields, ensure_ascii=False), flush=True)
        elif live:
            print(flush=True)
        else:
            print("\n---\n".join(completion.text for completion in completions), flush=True)
        if not flags.json:
            for number, candidates in enumerate(completions[0].candidates, 1):
                print(f"    mask {number}: " + ", ".join(f"{piece!r} {chance:.0%}" for piece, chance in candidates))
        if any(each.finish_reason == "length" and len(each.tokens) < flags.max_new_tokens for each in completions):
            tell_once(
                f"--max_new_tokens {flags.max_new_tokens} is more than there is room for: "
                f"this model takes {model.config.max_length} tokens, the prompt's included"
            )

    interactive = flags.prompt is None and sys.stdin.isatty()
    for number, prompt in enumerate(read_prompts(interactive) if flags.prompt is None else flags.prompt):
        if number and not flags.json and not interactive:
            print("---")
        try:
            answer(prompt)
        except ConfigError as error:  # a prompt that is too long: on a terminal say so, and ask again
            if not interactive:
                raise
            tell(error)
    return 0


def read_prompts(interactive: bool) -> Iterator[str]:
    """The lines of standard input that are not empty; on a terminal with a question mark and history."""
    sys.stdin.reconfigure(errors="surrogateescape")
    question = ""
    if interactive:
        import readline  # noqa: F401 (gives input() its history and editing)

        signal.signal(signal.SIGINT, signal.default_int_handler)  # so that readline puts the terminal back
        tell("Type a prompt and press Enter; Ctrl-D ends.")
        question = "> " if sys.stdout.isatty() else ""
    while True:
        try:
            prompt = input(question)
        except EOFError:
            if question:
                print()
            return
        if prompt.strip():
            yield prompt


def tell(message: object) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
