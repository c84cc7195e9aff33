"""Pictures with the user's names in them, Chinese ones too."""

import contextlib
import warnings
from collections.abc import Iterator

CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS"),
    "Noto Sans CJK JP",
)


def chinese_fonts() -> list[str]:
    """Those that are installed, the best first."""
    from matplotlib.font_manager import fontManager  # half a second to import

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in CHINESE_FONTS if name in installed]


@contextlib.contextmanager
def literal_names() -> Iterator[None]:
    """What is built and saved within shows names as they are: in Chinese where a font is installed, and `$` begins no formula.

    Characters that no font has are boxes, without a warning.
    """
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        matplotlib.rcParams.update({"font.family": ["sans-serif", *chinese_fonts()], "text.parse_math": False})
        yield
