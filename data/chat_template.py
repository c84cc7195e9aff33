"""How a dialogue is written for a network: the text about each message, and what the network has to write itself."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import NamedTuple

from common.errors import require
from data.tokenizer import Tokenizer

ROLES = ("system", "user", "assistant")
DEFAULT_TEMPLATE = ("{system}\n", "User:\n{user}\n", "Assistant:\n{assistant}")


class Message(NamedTuple):
    """What one side said; `role` is one of ROLES."""

    role: str
    content: str


class Turn(NamedTuple):
    """A message as tokens: those that are given, and those that the network learns to write, up to the end of its turn."""

    role: str
    given: list[int]
    learned: list[int]

    @property
    def size(self) -> int:
        return len(self.given) + len(self.learned)


@dataclasses.dataclass(frozen=True)
class ChatTemplate:
    """The text before and after each role's content.

    An answer ends with what stands behind `{assistant}`; where nothing stands there it ends with the end of text, within a
    dialogue too. So an answer may have any number of lines, and no tokenizer needs a token of its own for the end of a turn.
    """

    before: dict[str, str]
    after: dict[str, str]

    @classmethod
    def parse(cls, lines: Sequence[str]) -> "ChatTemplate":
        """The template of `data.chat_template`: one text for each role, with the role in braces where its content stands.

        Raises:
            ConfigError: they are not that.
        """
        before, after = {}, {}
        example = ", ".join(map(repr, DEFAULT_TEMPLATE))
        for role, line in itertools.zip_longest(ROLES, lines, fillvalue=""):
            require(
                role != "" and line.count(f"{{{role}}}") == 1,
                f"chat_template={tuple(lines)!r} must be three texts that hold {{system}}, {{user}} and {{assistant}} once, "
                f"in this order, such as ({example})",
            )
            before[role], _, after[role] = line.partition(f"{{{role}}}")
        return cls(before, after)

    @property
    def opening(self) -> str:
        """What stands before an answer, which generation follows."""
        return self.before["assistant"]

    @property
    def ending(self) -> str:
        """What ends an answer; "": the end of text."""
        return self.after["assistant"]

    def render(self, messages: Sequence[Message]) -> str:
        """A dialogue as one text, for people; a new line for the end of text behind an answer."""
        after = self.after | {"assistant": self.ending or "\n"}
        return "".join(f"{self.before[role]}{content}{after[role]}" for role, content in messages)

    def as_jinja(self, end_of_text: str) -> str:
        """The same as a chat template of `transformers`, of which an answer that is learned is marked as a generation.

        Args:
            end_of_text: the token that stands before every text, and ends answers where nothing else does.
        """
        before, after = ({role: _quoted(text) for role, text in side.items()} for side in (self.before, self.after))
        end = _quoted(end_of_text)
        answers = f"message.content + {after['assistant'] if self.ending else end}"
        given = "".join(
            f"{{%- elif message.role == '{role}' %}}{{{{ {before[role]} + message.content + {after[role]} }}}}"
            for role in ROLES
            if role != "assistant"
        )
        opening = f"{{{{ {before['assistant']} }}}}"
        return (
            f"{{{{ {end} }}}}{{%- for message in messages %}}{{%- if message.role == 'assistant' %}}{opening}"
            f"{{%- generation %}}{{{{ {answers} }}}}{{%- endgeneration %}}{given}{{%- endif %}}{{%- endfor %}}"
            f"{{%- if add_generation_prompt %}}{opening}{{%- endif %}}"
        )

    def encode(self, dialogues: Sequence[Sequence[Message]], tokenizer: Tokenizer) -> list[list[Turn]]:
        """Dialogues as tokens.

        Each message is tokenized by itself, and an answer apart from what stands before it: so what generation builds of the
        same messages, and of the opening of an answer, are the very tokens that training has seen.
        """
        ends = [] if self.ending else [tokenizer.end_of_text]
        texts = []
        for role, content in itertools.chain.from_iterable(dialogues):
            whole = f"{content}{self.after[role]}"
            texts += [self.opening, whole] if role == "assistant" else [self.before[role] + whole, ""]
        encoded = iter(tokenizer.encode_all(texts))
        return [
            [Turn(role, next(encoded), next(encoded) + (ends if role == "assistant" else [])) for role, _ in messages]
            for messages in dialogues
        ]


def keep_newest(turns: Sequence[Turn], room: int) -> list[Turn]:
    """The newest turns that fit into `room` tokens, from a user's on; the last user's, and what follows it, in any case.

    The system's, at the beginning, stay.
    """
    system = list(itertools.takewhile(lambda turn: turn.role == "system", turns))
    others = list(turns[len(system) :])
    for first in [0, *(place for place, turn in enumerate(others) if place and turn.role == "user")]:
        kept = [*system, *others[first:]]
        if sum(turn.size for turn in kept) <= room:
            break
    return kept


def tokens_and_marks(turns: Sequence[Turn]) -> tuple[list[int], list[int]]:
    """All tokens of a dialogue, and of each whether it is learned, 1 or 0."""
    tokens, marks = [], []
    for turn in turns:
        tokens += [*turn.given, *turn.learned]
        marks += [0] * len(turn.given) + [1] * len(turn.learned)
    return tokens, marks


def _quoted(text: str) -> str:
    """As Jinja reads it; it takes no pair of surrogates for one character."""
    return json.dumps(text, ensure_ascii=False)
