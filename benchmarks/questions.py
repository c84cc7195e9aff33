"""Questions made by rule, in Chinese and English, whose answers stand in a text, as JSONL.

python -m benchmarks.questions [questions.jsonl]

A text is some sentences of builtin:hsk in one language; a question is one of them with a time, a person or a number replaced by
when, who or how many, which is how Chinese asks and how English asks back. Some are put to a text without their sentence, and
have no answer. They are as plain as the rules: they show that a recipe works, and nothing of how people ask.
"""

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from common.files import write_rows
from data.builtin import read_builtin

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


def make(seed: int = 0) -> Iterator[dict]:
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


def main() -> int:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "questions.jsonl")
    rows = list(make())
    write_rows(path, rows)
    without = sum(not row["answers"]["text"] for row in rows)
    print(f"{path}: {len(rows):,} questions, {without:,} without an answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
