"""Speed of each cleaning step on one core, what of a page comes through `html`, and what `language` keeps.

    pip install trafilatura      # only for the comparison; not among our requirements
    python -m benchmarks.cleaning [--no-trafilatura]

Texts are made of sentences of builtin:hsk, half of them Chinese; pages have such paragraphs between a menu and a footer.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence

from data.builtin import read_builtin
from data.cleaning import STEPS, make_step

LANGUAGES = ("english", "chinese", "traditionalchinese", "french", "italian", "spanish", "german", "japanese", "korean")
MENU = "".join(f'<li><a href="/{number}">Menu {number}</a></li>' for number in range(20))
PAGE = """<!doctype html><html><head><title>A title</title><style>p {{ color: red }}</style>
<script>var a = "<p>no</p>"; function f() {{ return 1 }}</script></head>
<body><nav><ul>{menu}</ul></nav><!-- no --><main><h1>A heading</h1>{paragraphs}
<table><tr><td>cell one</td><td>cell two</td></tr></table></main><footer>All rights reserved</footer>
<script>track()</script></body></html>"""


def make_paragraphs(count: int) -> list[list[str]]:
    """Texts of 1 to 15 paragraphs of 8 sentences, every other one Chinese."""
    pick = random.Random(0)
    pairs = [document.text.removeprefix("zh: ").split("\nen: ") for document in read_builtin("builtin:hsk")][::2]
    texts = []
    for number in range(count):
        side, space = number % 2, " " * (number % 2)
        texts.append([space.join(pair[side] for pair in pick.sample(pairs, 8)) for _ in range(pick.randint(1, 15))])
    return texts


def make_page(paragraphs: Sequence[str]) -> str:
    marked = "\n".join(f'<p class="x">{text} <b>bold</b> &amp; <a href="/u">a link</a></p>' for text in paragraphs)
    return PAGE.format(menu=MENU, paragraphs=marked)


def run(function: Callable, texts: Sequence[str]) -> tuple[list[str], float]:
    """What the function gives, and megabytes in UTF-8 a second of CPU; the first text is not counted."""
    function(texts[0])
    start = time.process_time()
    results = [function(text) or "" for text in texts]
    return results, sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)


def print_pages(name: str, function: Callable, texts: list[list[str]]) -> None:
    results, speed = run(function, [make_page(paragraphs) for paragraphs in texts])
    kept = sum(text in result for result, paragraphs in zip(results, texts, strict=True) for text in paragraphs)

    def share(what: str) -> str:
        return f"{100 * sum(what in result for result in results) / len(results):.0f} %"

    print(
        f"| {name} | {speed:.1f} MB/s | {100 * kept / sum(map(len, texts)):.1f} % | {share('cell two')} | {share('Menu 3')} "
        f"| {share('track()')} | {(function('<p>只有一句话。</p>') or '')!r} |"
    )


def print_languages() -> None:
    """The share of dialogues in each language that `language=zh+en` keeps."""
    keep = make_step("language=zh+en")
    shares = []
    for name in LANGUAGES:
        texts = [document.text for document in read_builtin(f"builtin:chat/{name}")]
        shares.append(f"{name} {100 * sum(keep(text) is not None for text in texts) / len(texts):.1f} %")
    print(f"\nkept by language=zh+en: {', '.join(shares)}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.cleaning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-trafilatura", action="store_true", help="ours alone")
    flags = parser.parse_args()
    texts = make_paragraphs(200)
    print(
        "| pages | speed | paragraphs kept | cells | menus | scripts | of a short fragment |\n|---|---|---|---|---|---|---|"
    )
    print_pages("`html` (selectolax)", make_step("html"), texts)
    if not flags.no_trafilatura:
        import trafilatura

        print_pages("trafilatura", trafilatura.extract, texts)
    print("\n| step | MB/s |\n|---|---|")
    for name in STEPS:
        _, speed = run(make_step(name), [" \n".join(paragraphs) for paragraphs in texts])
        print(f"| `{name}` | {speed:.1f} |")
    print_languages()
    return 0


if __name__ == "__main__":
    sys.exit(main())
