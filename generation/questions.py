"""What an encoder that has learned question_answering takes for the answer to a question, in a text of any length."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from common.errors import require
from data.encoded import join_pieces
from data.forms.answers import Window, choose_answer, cut_windows
from data.tokenizer import Tokenizer
from generation.labels import predict_texts
from generation.readings import Reading
from metrics import best_spans
from model import TransformerConfig
from model.parameters import Params


@dataclasses.dataclass(frozen=True)
class Answer:
    """What stands in the text for an answer; "": there is none. `probability`: of that, in its window."""

    question: str
    text: str
    probability: float


class Finder:
    """Finds answers in a text; a `Reader` of questions."""

    does = "finds answers in a text"

    def __init__(
        self,
        params: Params,
        config: TransformerConfig,
        tokenizer: Tokenizer,
        context: str,
        sequence_length: int | None = None,
        stride: int | None = None,
    ):
        """
        Args:
            sequence_length: tokens of a window; None: the model's most.
            stride: tokens from one window to the next; None: half of one.

        Raises:
            ConfigError: the text is empty; the model has not learned to answer so.
        """
        is_fit = config.network == "encoder" and config.head == "classes" and config.num_classes == 2
        require(is_fit, "this model does not answer questions; --context is for what has learned question_answering")
        require(bool(context.strip()), "--context holds no text; give one, or a file with one")
        self._network, self._context = (params, config, tokenizer), context
        self._windows = sequence_length or config.max_length, stride

    def prepare(self, question: str) -> tuple[tuple[str, list[Window]], str]:
        """The question with the windows of the text that it is asked in; and whether it is cut.

        Raises:
            ConfigError: it is empty.
            UserError: a window has no room for the text.
        """
        require(bool(question.strip()), "the question is empty; ask something")
        values = {"context": self._context, "question": question, "answers": []}
        windows, is_cut = cut_windows(values, self._network[2], *self._windows)
        return (question, windows), f"cut to half of data.sequence_length={self._windows[0]}" if is_cut else ""

    def answer(self, prepared: Sequence[tuple[str, Sequence[Window]]]) -> list[Answer]:
        """The likeliest span of the text for each question, over all of its windows.

        Raises:
            UserError: the model gives NaN or infinity.
        """
        answers = []
        for question, windows in prepared:
            tokens, marks = zip(*((window.tokens, window.marks) for window in windows), strict=True)
            text = join_pieces(tokens, np.zeros(len(tokens), np.int64), self._network[2], marks=marks)
            found = predict_texts(*self._network, "question_answering", text)
            names = ("start", "end", "first", "context")
            spans = best_spans(*(np.concatenate([window[name] for window in found]) for name in names))
            answers.append(Answer(question, *choose_answer(self._context, windows, *spans)))
        return answers

    def read(self, prepared: Sequence[tuple[str, Sequence[Window]]]) -> list[Reading]:
        """`answer`, to be told."""
        return [
            Reading(dataclasses.asdict(answer), f"{answer.text or '(no answer)'}    {answer.probability:.0%}")
            for answer in self.answer(prepared)
        ]
