"""Asks a trained model what it has learned: it continues prompts, fills what they leave open, translates, labels, answers.

    python sample.py --ckpt runs/base --prompt "今天" --prompt "My friend" [--temperature 0 ...]
    python sample.py --ckpt runs/base --prompts_file prompts.txt --json > completions.jsonl
    python sample.py --ckpt runs/bert_tiny --prompt "en: I am [MASK] student."
    python sample.py --ckpt runs/t5_tiny --prompt "en: I <extra_id_0> student."
    python sample.py --ckpt runs/translation --prompt "你好。" --temperature 0
    python sample.py --ckpt runs/classification --prompt "我们坐火车去北京。"
    python sample.py --ckpt runs/chat [--system "You are kind."]
    python sample.py --ckpt runs/question_answering --prompt "Who built it?" --context text.txt
    python sample.py --ckpt runs/base --prompt "zh: 你" --score 好 --score 们
    python sample.py --ckpt runs/base --perplexity text.txt

Without prompts it reads them from standard input, one a line; on a terminal it asks, and /help lists what can be changed.
"""

import itertools
import sys

from common.command import run_command
from common.errors import UserError, require
from generation.flags import BATCH_SIZE, parse
from generation.prompts import read_prompts, read_text
from generation.reports import print_perplexity, print_score, tell
from generation.uses import CONTINUE, check_use


def main() -> int:
    flags, given = parse(sys.argv[1:], __doc__)
    require_streams(flags)
    prompts = read_prompts(flags.prompt, flags.prompts_file)
    if flags.perplexity is not None:
        require(not flags.perplexity.endswith(".jsonl"), "--perplexity reads plain text, and a .jsonl file is none")
        measured = read_text("perplexity", flags.perplexity)

    # Imported here, so that a wrong flag is answered at once.
    from generation.answering import make_answering, make_conversation
    from generation.asking import make_asking
    from generation.scoring import score_continuations, score_text
    from generation.session import answer_input
    from generation.speculative import make_draft
    from model.parameters import split_layers
    from tasks import TASKS
    from training.run_folder import RunFolder
    from training.trained_model import load_model

    learned = RunFolder.find(flags.ckpt)[0].settings()["task"]
    check_use(flags.ckpt, learned, flags.task, [name for name, value in vars(flags).items() if value is not None])
    model = load_model(flags.ckpt, say=tell)
    network, run = (split_layers(model.params), model.run.model, model.tokenizer), model.run
    form = "" if flags.task == CONTINUE else TASKS[run.task].examples
    asking = make_asking(form, run.data, model.tokenizer, flags.system)
    if flags.perplexity is not None:
        print_perplexity(flags.perplexity, score_text(*network, measured, stride=flags.stride), flags.json)
        return 0
    if flags.score is not None:
        before, after = zip(*itertools.product(flags.prompt or [""], flags.score), strict=True)
        for score in score_continuations(*network, before, after, asking):
            print_score(score, model.tokenizer, flags.json)
        return 0
    draft = None
    if flags.draft is not None:
        smaller = load_model(flags.draft, say=tell)
        draft = make_draft(flags.draft, smaller.params, smaller.run.model, smaller.tokenizer, model.tokenizer)
    answering = make_answering(network, run.task, run.data, model.classes, flags.json, asking, draft, flags.context)
    if prompts is None:
        answering = make_conversation(answering, form, run.data, model.tokenizer, flags.system)
        answering.check(given)
        answer_input(answering, given)
        return 0
    size = (flags.batch_size or BATCH_SIZE) if flags.prompts_file else 1
    answering.check_prompts(prompts, given)
    answering.answer_all((prompts[start : start + size] for start in range(0, len(prompts), size)), given)
    return 0


def require_streams(flags) -> None:
    """Raises UserError where a stream that is needed is closed; makes output UTF-8."""
    reads = flags.prompt is None and flags.prompts_file is None and flags.perplexity is None and flags.score is None
    for name in ("stdout", *(["stdin"] if reads else [])):
        if getattr(sys, name) is None:
            raise UserError(f"{name} is closed; " + ("give --prompt" if name == "stdin" else "send it somewhere"))
    sys.stdout.reconfigure(encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
