"""Scripts that are written without spaces between words."""

# First and last code points of the letters and marks of a script (Unicode's Blocks.txt and Scripts.txt).
SCRIPTS = {
    "han": (
        (0x2E80, 0x2FD5),
        (0x3005, 0x3007),
        (0x3021, 0x3029),
        (0x3038, 0x303B),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x323AF),
    ),
    "kana": ((0x3041, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "thai": ((0x0E01, 0x0E3A), (0x0E40, 0x0E4E)),
    "lao": ((0x0E81, 0x0ECF), (0x0EDC, 0x0EDF)),
    "myanmar": ((0x1000, 0x103F), (0x1050, 0x109D)),
    "khmer": ((0x1780, 0x17D3), (0x17D7, 0x17DD)),
}


def _characters(*scripts: str) -> str:
    """The letters and marks of scripts, for a class of a regular expression."""
    return "".join(f"{chr(first)}-{chr(last)}" for script in scripts for first, last in SCRIPTS[script])


HAN = _characters("han")
UNSPACED = _characters(*SCRIPTS)
