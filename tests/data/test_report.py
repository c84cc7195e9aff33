"""The report for people: what stands in it is the text itself, whatever marks it has; pictures that can be read."""

import html
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from common.tables import plain
from data.report import draw_bars, draw_lengths, line, literal, split_table, write_report


def sample(before: str, after: str = "", dropped: bool = False) -> dict:
    return {"before": before, "after": after, "dropped": dropped}


def stage(name: str, *samples: dict) -> dict:
    counts = dict.fromkeys(("documents_in", "documents_out", "bytes_in", "bytes_out", "changed"), 3)
    return {"name": name, **counts, "samples": samples}


READ = (stage("read"),)


@pytest.fixture
def render(tmp_path):
    """Writes the report of a manifest that differs by `changes`, and gives what a reader of Markdown sees of it."""

    def render(stages=READ, skipped=None, **options) -> str:
        options = {"data.augment": [], "data.augment_copies": 1} | options
        part = {"documents": 9, "tokens": 30, "bytes": 90}
        content = {
            "sources": {"a.txt": {"documents": 3, "bytes": 90, "attribution": "the user's own text"}},
            "splits": {"train": {"a.txt": part}, "valid": {}},
            "stages": stages,
            "skipped": skipped,
            "options": options,
        }
        write_report(tmp_path, content, {"train": [np.array([10, 20, 30])]})
        return MarkdownIt().enable("table").render((tmp_path / "report.md").read_text(encoding="utf-8"))

    return render


def test_samples_stand_in_it_as_they_are(render):
    page = render(
        [
            stage("html", sample("<p>A &amp; *b* | `c`</p>", "A & *b* | `c`")),
            stage("urls", sample("at http://a.com", "at <url>")),
            stage("min_words", sample("<br>", dropped=True)),
            stage("dedup=near", sample("one", "two", dropped=True)),
        ],
        {"count": 1, "examples": ['a.jsonl, line 3: no "text" field, only <b>']},
        **{"data.text_field": "<text>"},
    )
    rows = [tuple(re.findall(r"<td>(.*?)</td>", row)) for row in re.findall("<tr>(.*?)</tr>", page, re.DOTALL)]
    cells = [tuple(html.unescape(re.sub("</?code>", "", cell)) for cell in row) for row in rows if len(row) == 4]
    assert cells == [
        ("html", "changed", "<p>A &amp; *b* | `c`</p>", "A & *b* | `c`"),
        ("urls", "changed", "at http://a.com", "at <url>"),
        ("min_words", "dropped", "<br>", ""),
        ("dedup=near", "copy", "one", "two"),
    ]
    assert "<code>a.jsonl, line 3: no &quot;text&quot; field, only &lt;b&gt;</code>" in page
    assert "<code>'&lt;text&gt;'</code>" in page


@given(st.text(st.sampled_from("ab `|\\*_<&\n"), min_size=1).filter(lambda text: not text.isspace()))
def test_any_text_is_literal_in_a_table(text):
    page = MarkdownIt().enable("table").render(f"| a | b |\n| --- | --- |\n| x | {literal(text)} |\n")
    (cell,) = re.findall(r"<td><code>(.*?)</code></td>", page)
    assert html.unescape(cell).strip() == line(text).replace("\\|", "|").strip()


def test_variants_are_told_from_the_documents_that_were_read(render):
    assert "variants" not in render()
    page = render(**{"data.augment": ["swap=0.1"], "data.augment_copies": 2})
    assert "6 of the documents to train on are variants (<code>data.augment</code>)." in page


def blue(picture) -> int:
    """How many pixels have the colour of the first bars, or of the first histogram."""
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    return int((np.abs(pixels - (31, 119, 180)).sum(-1) < 140).sum())


def test_a_single_document_can_be_seen_in_the_picture(tmp_path):
    """On a scale of factors that begins at 1, a bar of 1 would have no height."""
    draw_lengths(tmp_path / "all.png", {"train": [np.array([5, 50, 50, 50, 50])]})
    draw_lengths(tmp_path / "most.png", {"train": [np.array([50, 50, 50, 50])]})
    assert blue(tmp_path / "all.png") - blue(tmp_path / "most.png") > 500


def test_names_of_sources_may_be_chinese_or_have_dollars(tmp_path):
    """Where no font has a character there is a box, and no warning; what stands between dollars is no formula."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_bars(tmp_path / "bars.png", {"语料 (train)": 0.3, "data/$1_$x.txt (valid)": 0.2}, "tokens a byte")
        draw_lengths(tmp_path / "lengths.png", {"$1_$": [np.array([5, 50])]})
    assert blue(tmp_path / "bars.png") > 1000


def test_several_sources_have_a_row_of_all():
    parts = {"a.txt": {"documents": 1, "tokens": 10, "bytes": 40}, "b.txt": {"documents": 2, "tokens": 20, "bytes": 20}}
    titles, rows = split_table({"train": parts, "valid": {"a.txt": parts["a.txt"]}})
    assert dict(zip(titles, rows[2], strict=True)) == {
        "split": "train",
        "source": "all",
        "documents": 3,
        "tokens": 30,
        "bytes": 60,
        "tokens a byte": "0.500",
    }
    assert [row[:2] for row in rows] == [("train", "a.txt"), ("train", "b.txt"), ("train", "all"), ("valid", "a.txt")]


def test_columns_are_even_where_a_character_takes_two_places():
    rows = [("中文.txt", 1000), ("a.txt", 2)]
    assert plain(("source", "documents"), rows).split("\n") == [
        "source    documents",
        "中文.txt      1,000",
        "a.txt             2",
    ]
