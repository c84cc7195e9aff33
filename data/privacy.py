"""Cleaning steps that find what belongs to a person: masked, removed, or a reason to drop the document.

Patterns, with a checksum where there is one, find what is written in the usual way. They do not find all: no names, no
postal addresses, no numbers in words.
"""

import datetime
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from data.values import Function, Make, option


class Kind(NamedTuple):
    """What to look for.

    Attributes:
        mask: what takes its place.
        pattern: ASCII only, so that Chinese characters end a match.
        valid: whether what `pattern` found is one.
    """

    mask: str
    pattern: re.Pattern
    valid: Callable[[str], bool] = bool


def is_resident_id(text: str) -> bool:
    """A Chinese resident identity number: a date of birth and a check character (GB 11643-1999, ISO 7064 MOD 11-2)."""
    try:
        datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    values = [10 if character in "Xx" else int(character) for character in text]
    return sum(value * pow(2, 17 - place, 11) for place, value in enumerate(values)) % 11 == 1


def is_card(text: str) -> bool:
    """The check digit of Luhn (ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_ipv6(text: str) -> bool:
    """An address that has a digit, which `std::deque` and the like do not."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(character.isdigit() for character in text)


def _pattern(
    *alternatives: str, first: str = r"\d", before: str = r"(?<!\d)(?<!\d\.)", after: str = r"(?!\.?\d)"
) -> re.Pattern:
    """Any of the alternatives, all of which begin with a character of `first`: the search is fast as it looks there first."""
    return re.compile(f"(?=[{first}]){before}(?:{'|'.join(alternatives)}){after}", re.ASCII | re.IGNORECASE)


URL = Kind(
    "<url>",
    # Brackets belong to it in pairs; it does not end in a mark of punctuation.
    _pattern(
        r"(?:(?:https?|ftp)://|www\.(?=[a-z\d]))(?:[\w\-.~:/?#@!$&'*+,;=%]|\([\w\-.~:/?#@!$&'*+,;=%]*\))*"
        r"(?:[\w/#=&~%+$@*\-]|\([\w\-.~:/?#@!$&'*+,;=%]*\))",
        first="hfw",
        before=r"(?<![a-z\d])",
        after="",
    ),
)
EMAIL = Kind(
    "<email>",
    _pattern(
        r"[\w.%+\-]{1,64}@(?:[a-z\d\-]{1,63}\.){1,8}(?:[a-z]{2,63}|xn--[a-z\d\-]+)",
        first=r"\w.%+\-",
        before=r"(?<![\w.%+\-])",
        after="",
    ),
)
PHONE = Kind(
    "<phone>",
    _pattern(
        r"(?:(?:\+|00)?86[ \-]?)?1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}",  # Chinese mobile
        r"(?:(?:\+|00)86[ \-]?)?\(?0\d{2,3}\)?[ \-]\d{7,8}",  # Chinese landline, with its area
        r"\+\d(?:[ .\-]?\(?\d\)?){7,14}",  # international, 8 to 15 digits (E.164)
        r"(?:\(\d{3}\) ?|\d{3}[.\-])\d{3}[.\-]\d{4}",  # North American, written as one
        first=r"\d+(",
    ),
)
RESIDENT_ID = Kind("<id>", _pattern(r"[1-8]\d{5}(?:18|19|20)\d{9}[\dX]", after=r"(?![\dX])"), is_resident_id)
CARD = Kind(
    "<card>",
    _pattern(r"[2-68]\d{12,18}", r"[2-68]\d{3}([ \-])\d{4}\1\d{4}\1\d{1,7}", r"3\d{3}([ \-])\d{6}\2\d{5}"),
    is_card,
)
SSN = Kind(
    "<ssn>", _pattern(r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}", before=r"(?<![\w\-])", after=r"(?![\w\-])")
)
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IPV4 = Kind("<ip>", _pattern(rf"(?:{OCTET}\.){{3}}{OCTET}", before=r"(?<![\w.])"))
IPV6 = Kind(
    "<ip>",
    _pattern(r"[\da-f:]{2,39}", first=r"\da-f:", before=r"(?=[\da-f]{0,4}:)(?<![\w:.])", after=r"(?![\w:])"),
    is_ipv6,
)
IDS = (RESIDENT_ID, CARD, SSN, IPV4, IPV6)


# By a step's value: what takes the place of what was found; None: nothing does, the document is dropped.
ACTIONS: dict[str, Callable[[Kind], str] | None] = {
    "mask": lambda kind: kind.mask,
    "remove": lambda kind: "",
    "drop": None,
}


def private(*kinds: Kind) -> Make:
    """The maker of a step whose value says what becomes of what it finds: `mask`, `remove` or `drop`."""

    def make(value: str) -> Function:
        action = option(ACTIONS, value)
        return (lambda text: None if _holds(kinds, text) else text) if action is None else _replacer(kinds, action)

    return make


def _holds(kinds: Sequence[Kind], text: str) -> bool:
    return any(kind.valid(match[0]) for kind in kinds for match in kind.pattern.finditer(text))


def _replacer(kinds: Sequence[Kind], action: Callable[[Kind], str]) -> Function:
    def replace(text: str) -> str:
        while True:  # what stood beside a match may be one itself once that is gone
            before = text
            for kind in kinds:
                text = kind.pattern.sub(
                    lambda match, kind=kind: action(kind) if kind.valid(match[0]) else match[0], text
                )
            if text == before:
                return text

    return replace
