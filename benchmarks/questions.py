"""Questions made by rule, in Chinese and English, whose answers stand in a text; and what a plain baseline makes of them.

    python -m benchmarks.questions --out questions.jsonl
    python -m benchmarks.questions --baseline runs/question_answering/evaluation/predictions.jsonl --data questions.jsonl

A text is some sentences of builtin:hsk in one language; a question is one of them with a time, a person or a number replaced by
when, who or how many, which is how Chinese asks and how English asks back. Some are put to a text without their sentence, and
have no answer. They are as plain as the rules: they show that a recipe works, and nothing of how people ask.

The baseline knows the texts and not the answers: of the sentence that shares most pairs of characters with the question, what
differs from it.
"""

import argparse
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.command import Parser, run_command
from common.files import write_whole
from data.builtin import read_builtin
from metrics import answer_scores

SENTENCES = 4  # of a text
UNANSWERED = 0.15  # share of the questions
ENDS = "。.！!？?"  # of a sentence
# By language, what is asked for: a pattern whose one group is the answer, and the words that take its place.
RULES = {
    "zh": (
        ("(今天|明天|昨天|现在|晚上|早上|上午|下午|周末|去年|今年|明年)", "什么时候"),
        ("(妈妈|爸爸|老师|医生|经理|哥哥|姐姐|弟弟|妹妹|他们|她们|他|她)", "谁"),
        ("([一两二三四五六七八九十百千]+)(?=[个本只张条件次天年块位家种岁点斤辆杯])", "多少"),
    ),
    "en": (
        (r"\b(today|tomorrow|yesterday|now|tonight|every day|this year|last year|next week|last week)\b", "when"),
        (r"\b(my mother|my father|my mom|my dad|the teacher|my friend|the doctor|the manager|he|she)\b", "who"),
        (r"\b(one|two|three|four|five|six|seven|eight|nine|ten|many|several)\b", "how many"),
    ),
}


def ask(sentence: str, language: str) -> Iterator[tuple[str, str, int]]:
    """The questions of a sentence: its words with those that ask, the answer, and where in the sentence that stands."""
    for pattern, words in RULES[language]:
        found = list(re.finditer(pattern, sentence, re.IGNORECASE))
        if len(found) == 1:
            begin, end = found[0].span(1)
            question = sentence[:begin] + words + sentence[end:]
            yield question.rstrip(ENDS) + ("？" if language == "zh" else "?"), found[0][1], begin


def make(seed: int) -> Iterator[dict]:
    """The rows of both languages, from the sentences of `builtin:hsk` in an order drawn."""
    draw = random.Random(seed)
    pairs = [dict(line.split(": ", 1) for line in each.text.split("\n")) for each in read_builtin("builtin:hsk")][::2]
    for language, space in (("zh", ""), ("en", " ")):
        sentences = list(dict.fromkeys(pair[language] for pair in pairs))
        draw.shuffle(sentences)
        for start in range(0, len(sentences) - 2 * SENTENCES, SENTENCES):
            here, next_ones = sentences[start : start + SENTENCES], sentences[start + SENTENCES : start + 2 * SENTENCES]
            for place, sentence in enumerate(here):
                for question, answer, begin in ask(sentence, language):
                    answers = {"text": [answer], "answer_start": [len(space.join([*here[:place], ""])) + begin]}
                    text = here
                    if draw.random() < UNANSWERED:
                        text, answers = next_ones, {"text": [], "answer_start": []}
                    yield {"context": space.join(text), "question": question, "answers": answers}


def guess(question: str, context: str) -> str:
    """The baseline's answer."""
    sentences = re.findall(r"[^。！？.!?]+[。！？.!?]*", context)

    def pairs(text: str) -> set[str]:
        return {text[at : at + 2] for at in range(len(text) - 1)}

    best = max(sentences, key=lambda sentence: len(pairs(sentence) & pairs(question)))
    best, question = best.strip().rstrip(ENDS), question.rstrip(ENDS)
    before, after = shared(best, question), shared(best[::-1], question[::-1])
    return best[before : len(best) - after].strip()


def shared(one: str, other: str) -> int:
    """How many characters two texts begin with that are the same."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def main() -> int:
    parser = Parser(
        prog="benchmarks.questions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the questions go, as JSONL")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the order of the sentences")
    parser.add_argument(
        "--baseline", metavar="FILE", type=Path, help="predictions.jsonl, whose questions it answers too"
    )
    parser.add_argument("--data", metavar="FILE", type=Path, help="the questions that --out has written")
    flags = parser.parse_args(sys.argv[1:])
    if flags.out is not None:
        rows = list(make(flags.seed))
        write_whole(flags.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(
            f"{flags.out}: {len(rows):,} questions, {sum(not row['answers']['text'] for row in rows):,} without an answer"
        )
    if flags.baseline is not None:
        texts = {}
        for row in map(json.loads, flags.data.read_text(encoding="utf-8").splitlines()):
            texts[row["question"], tuple(row["answers"]["text"])] = row["context"]
        asked = [json.loads(line) for line in flags.baseline.read_text(encoding="utf-8").splitlines()]
        scores = []
        for each in asked:
            answer = guess(each["question"], texts[each["question"], tuple(each["answers"])])
            scores.append([*answer_scores(answer, each["answers"]).values()])
        print("baseline: exact_match {:.3f}, f1 {:.3f}".format(*np.mean(scores, axis=0)))
    return 0


if __name__ == "__main__":
    run_command(main)
