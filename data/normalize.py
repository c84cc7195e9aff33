"""Cleaning steps that change how a text is written, and drop none."""

import functools
import html
import re
import unicodedata

from common.packages import import_package
from data.values import Function, Make, option, without_value


def repair(value: str) -> Function:
    """What was decoded with the wrong table ("schÃ¶n"), and ligatures (ftfy; Speer 2019).

    Quotes, full-width characters and entities stay as they are; other steps see to them.
    """
    without_value(str)(value)
    ftfy = import_package("ftfy", "data.clean=unicode")
    config = ftfy.TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_character_width=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )
    return lambda text: ftfy.fix_text(text, config)


def unicode_form(form: str) -> Make:
    """The maker of a step that brings a text into a normalisation form, "NFC" or "NFKC"."""
    return without_value(functools.partial(unicodedata.normalize, form))


# Joiners mean something after letters of Arabic, Indic, Myanmar and Khmer scripts, and between emoji.
JOINED = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
CONTROL = re.compile(
    "[\0-\b\x0e-\x1f\x7f-\x84\x86-\x9f\xad"  # control; soft hyphen
    "\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero width, bidirectional marks, byte order mark
    "\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"  # no characters; annotations; tags
    f"|(?<![{JOINED}])[\u200c\u200d]"
)
LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")


def remove_control(text: str) -> str:
    """No control, zero-width and bidirectional characters; every line ends in "\\n". Tabs stay."""
    while (cleaned := CONTROL.sub("", LINE_ENDS.sub("\n", text))) != text:  # joiners may come to stand together
        text = cleaned
    return text


def collapse_whitespace(text: str) -> str:
    """Single spaces, none at the ends of lines; one empty line at most between two others."""
    text = re.sub(r"[^\S\n]+", " ", LINE_ENDS.sub("\n", text))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" ?\n ?", "\n", text)).strip()


FOLDED = {
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width ASCII
    "\u3000": " ",
    **dict(zip("。｡、､“”„‘’‚「」『』｢｣《》〈〉【】〖〗〔〕", '..,,"""\'\'\'""""""<><>[][][]', strict=True)),
    "…": "...",
    "—": "-",
    "–": "-",
}


class _Unpunctuated(dict):
    """A table for `str.translate` without punctuation, filled as it is asked."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code)).startswith("P") else code
        return self[code]


PUNCTUATION = {"fold": str.maketrans(FOLDED), "remove": _Unpunctuated()}


def punctuation(value: str) -> Function:
    """`fold` to ASCII, full-width letters and digits too, or `remove`."""
    table = option(PUNCTUATION, value)
    return lambda text: text.translate(table)


CHINESE = {"simplified": "t2s", "traditional": "s2t"}


def chinese(value: str) -> Function:
    """Word by word where the dictionary has the word (OpenCC), so that 头发 is 頭髮 and 发展 is 發展."""
    conversion = option(CHINESE, value)
    return import_package("opencc", "data.clean=chinese").OpenCC(conversion).convert


# Elements that show no text of the page's, those that begin a line of their own, and others by which HTML is known.
UNSEEN_NAMES = "button head iframe math noscript object script select style svg template textarea"
BLOCK_NAMES = (
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr li main menu nav ol p pre section summary table tbody tfoot thead tr ul"
)
INLINE_NAMES = (
    "a abbr b big cite code del em font html i img input ins kbd label link mark meta q s samp small span strike strong "
    "sub sup td th title tt u var"
)
UNSEEN, BLOCKS = frozenset(UNSEEN_NAMES.split()), frozenset(BLOCK_NAMES.split())
NAMES = "|".join(f"{UNSEEN_NAMES} {BLOCK_NAMES} {INLINE_NAMES}".split())
TAG = re.compile(rf"<(?:!doctype|!--|/?(?:{NAMES})(?:\s[^<>]*)?/?>)", re.IGNORECASE)
# White space of <pre>, set aside while the rest is collapsed; control characters that no page shows stand for it.
PROTECTED = str.maketrans(" \t\n", "\x1c\x1d\x1e")
RESTORED = str.maketrans("\x1c\x1d\x1e", " \t\n")
UNPROTECTED = str.maketrans("", "", "\x1c\x1d\x1e")
ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]*);", re.IGNORECASE)


def html_to_text(value: str) -> Function:
    """What a browser would show of a page, a block a line, cells between tabs (selectolax).

    All that is shown stays, menus too: `repeated_lines` and `terminal_lines` are for those. A text without a tag of HTML
    keeps its lines and only has its entities decoded.
    """
    without_value(str)(value)
    parser = import_package("selectolax.lexbor", "data.clean=html").LexborHTMLParser

    def convert(text: str) -> str:
        if not TAG.search(text):
            return html.unescape(text) if ENTITY.search(text) else text
        body = parser(text).body
        return _visible(body) if body is not None else ""

    return convert


def _visible(body) -> str:
    """The text below a node, walked with a stack: pages may be nested deeper than Python recurses."""
    pieces, stack = [], [(body, False)]
    while stack:
        node, verbatim = stack.pop()
        if isinstance(node, str):
            pieces.append(node)
        elif node.tag == "-text":
            content = (node.text_content or "").translate(UNPROTECTED)
            pieces.append(content.translate(PROTECTED) if verbatim else re.sub(r"[ \t\n\r\f]+", " ", content))
        elif node.tag not in UNSEEN:
            before = "\n" if node.tag in BLOCKS else ""
            after = "\t" if node.tag in ("td", "th") else before
            stack.append((after, verbatim))
            verbatim |= node.tag == "pre"
            stack.extend((child, verbatim) for child in reversed(list(node.iter(include_text=True))))
            stack.append((before, verbatim))
    text = re.sub(r" ?([\n\t]) ?", r"\1", "".join(pieces))
    return re.sub(r"\t*\n[\n\t]*", "\n", text).strip(" \t\n").translate(RESTORED)
