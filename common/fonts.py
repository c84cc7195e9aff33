"""Fonts for pictures with Chinese names in them."""

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
