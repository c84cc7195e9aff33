"""The cleaning step that keeps documents in some languages."""

from common.packages import import_package
from data.scripts import LETTER, character_classes
from data.values import Function, option

# Languages that are Chinese in writing, which short texts are easily taken for.
MEMBERS = {"zh": ("zh", "yue", "wuu")}
LOOKED_AT = 3000  # characters from the beginning, which are enough


def likeliest_language(text: str) -> str | None:
    """The code (ISO 639) of the likeliest language of a text (py3langid), zh for all of `MEMBERS`' zh; None: it has no letters.

    Raises:
        MissingPackage: py3langid is not installed.
    """
    if not (character_classes(text) >= LETTER).any():
        return None
    found = import_package("py3langid", "telling languages apart").classify(text[:LOOKED_AT])[0]
    return next((code for code, members in MEMBERS.items() if found in members), found)


def language(value: str) -> Function:
    """Keeps texts of which the likeliest language is one of `value`, codes of ISO 639 joined by + (py3langid).

    A text without letters is in no language, and stays. Codes are those of the package: zh, en, ja, de …
    """
    langid = import_package("py3langid", "data.clean=language")
    known = {code: MEMBERS.get(code, (code,)) for code, _ in sorted(langid.rank(""))}
    kept = {member for code in value.split("+") for member in option(known, code)}

    def keep(text: str) -> str | None:
        has_letters = (character_classes(text) >= LETTER).any()
        return text if not has_letters or langid.classify(text[:LOOKED_AT])[0] in kept else None

    return keep
