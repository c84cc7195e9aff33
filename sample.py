"""Continues prompts with a trained model, fills what they leave open, finds an answer, or tells how likely a text is.

    python sample.py --ckpt runs/base --prompt "今天" --prompt "My friend" [--temperature 0 ...]
    python sample.py --ckpt runs/base --prompts_file prompts.txt --json > completions.jsonl
    python sample.py --ckpt runs/bert_tiny --prompt "en: I am [MASK] student."
    python sample.py --ckpt runs/t5_tiny --prompt "en: I <extra_id_0> student."
    python sample.py --ckpt runs/translation --prompt "你好。" --temperature 0
    python sample.py --ckpt runs/base --prompt "zh: 你" --score 好 --score 们
    python sample.py --ckpt runs/base --perplexity text.txt
    python sample.py --ckpt runs/chat --chat [--system "You are kind."]
    python sample.py --ckpt runs/question_answering --prompt "Who built it?" --context text.txt

Without prompts it reads them from standard input, one a line; on a terminal it asks, and /help lists what can be changed.
"""

import itertools
import sys
from pathlib import Path

from common.command import run_command
from common.errors import UserError, require
from data.lines import read_utf8
from generation.flags import BATCH_SIZE, parse
from generation.prompts import Prompt, read_prompts_file, read_stream
from generation.reports import print_answer, print_perplexity, print_score, tell


def main() -> int:
    flags, given = parse(sys.argv[1:], __doc__)
    require_streams(flags)
    prompts = None
    if flags.prompts_file is not None:
        prompts = read_prompts_file(Path(flags.prompts_file))
    elif flags.prompt is not None:
        prompts = [Prompt(prompt, f"--prompt {prompt[:20]!r}") for prompt in flags.prompt]
    if flags.perplexity is not None:
        require(not flags.perplexity.endswith(".jsonl"), "--perplexity reads plain text, and a .jsonl file is none")
        measured = read_utf8(flags.perplexity)
        require(bool(measured.strip()), f"--perplexity {flags.perplexity} holds no text")

    # Imported here, so that a wrong flag is answered at once.
    from generation.answers import Answers
    from generation.chat import Conversation
    from generation.questions import answer_questions
    from generation.scoring import score_continuations, score_text
    from generation.session import Session
    from generation.speculative import Draft
    from model.parameters import split_layers
    from training.run_folder import RunFolder
    from training.trained_model import load_model, read_chat_template

    template = read_chat_template(flags.ckpt) if flags.chat else None
    model = load_model(flags.ckpt, say=tell)
    network = split_layers(model.params), model.config, model.tokenizer
    if flags.perplexity is not None:
        print_perplexity(flags.perplexity, score_text(*network, measured, stride=flags.stride), flags.json)
        return 0
    if flags.context is not None:
        run = RunFolder.find(flags.ckpt)[0].config(model.tokenizer)
        require(
            run.task == "question_answering", f"--context: {flags.ckpt} has learned {run.task}, not question_answering"
        )
        context = read_utf8(flags.context) if is_file(flags.context) else flags.context
        windows = run.data.sequence_length, run.data.window_stride
        for answer in answer_questions(*network, flags.prompt, context, *windows):
            print_answer(answer, flags.json)
        return 0
    if flags.score is not None:
        before, after = zip(*itertools.product([*map(model.ask, flags.prompt or [""])], flags.score), strict=True)
        for score in score_continuations(*network, before, after):
            print_score(score, model.tokenizer, flags.json)
        return 0
    draft = None
    if flags.draft is not None:
        smaller = load_model(flags.draft, say=tell)
        one, other = (list(map(each.piece, range(each.vocab_size))) for each in (smaller.tokenizer, model.tokenizer))
        require(one == other, f"--draft {flags.draft} has another tokenizer; a draft is trained with that of the model")
        draft = Draft(split_layers(smaller.params), smaller.config)
    answers = Answers(*network, draft, flags.json, model.ask)
    answers.check(given)
    if template is not None:
        conversation = Conversation(answers, template, model.tokenizer, flags.system)
        if sys.stdin.isatty():
            Session(given, conversation.check, conversation.say_in_session, conversation.forget).run()
        else:
            conversation.say_all(read_stream(sys.stdin), given)
    elif prompts is None and sys.stdin.isatty():
        Session(given, answers.check, answers.answer_in_session).run()
    elif prompts is None:
        answers.answer_all(([prompt] for prompt in read_stream(sys.stdin)), given)
    else:
        size = (flags.batch_size or BATCH_SIZE) if flags.prompts_file else 1
        answers.check_prompts(prompts, given)
        answers.answer_all((prompts[start : start + size] for start in range(0, len(prompts), size)), given)
    return 0


def is_file(text: str) -> bool:
    """Whether a text is the name of a file; one that is too long to be a name is none."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def require_streams(flags) -> None:
    """Raises UserError where a stream that is needed is closed; makes output UTF-8."""
    reads = flags.prompt is None and flags.prompts_file is None and flags.perplexity is None and flags.score is None
    for name in ("stdout", *(["stdin"] if reads else [])):
        if getattr(sys, name) is None:
            raise UserError(f"{name} is closed; " + ("give --prompt" if name == "stdin" else "send it somewhere"))
    sys.stdout.reconfigure(encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
