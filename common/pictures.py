"""Pictures with the user's names in them, Chinese ones too."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.files import write_whole

CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS"),
    "Noto Sans CJK JP",
)


def chinese_fonts() -> list[str]:
    """Those that are installed, the best first."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in CHINESE_FONTS if name in installed]


@contextlib.contextmanager
def picture(path: Path, size: tuple[float, float], dpi: int) -> Iterator[Any]:
    """Axes to draw on, of so many inches; at the end they are written to `path` as a PNG.

    Names are shown as they are: in Chinese where a font is installed, and `$` begins no formula. Characters that no font has
    are boxes, without a warning.

    Raises:
        OSError: `path` cannot be written.
    """
    import matplotlib  # half a second to import
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        matplotlib.rcParams.update({"font.family": ["sans-serif", *chinese_fonts()], "text.parse_math": False})
        figure, content = Figure(figsize=size, layout="constrained"), io.BytesIO()
        yield figure.add_subplot()
        figure.savefig(content, format="png", dpi=dpi)
        write_whole(path, content.getvalue())
