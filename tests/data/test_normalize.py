"""Steps that change how a text is written, on cases worked by hand."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.cleaning import make_step

CASES = {
    "unicode": [
        ("schÃ¶n â€œquotedâ€\x9d", "schön “quoted”"),
        ("你好，世界".encode().decode("latin-1"), "你好，世界"),
        ("ﬁnd the oﬃce", "find the office"),
        ("“你好”，ＡＢＣ！ &amp; it’s", "“你好”，ＡＢＣ！ &amp; it’s"),
    ],
    "nfc": [("e\u0301", "é"), ("か\u3099", "が"), ("ＡＢＣ，½", "ＡＢＣ，½")],
    "nfkc": [("e\u0301", "é"), ("ＡＢＣ，½", "ABC,1⁄2"), ("㈱①ﾊﾝ", "(株)1ハン")],
    "html": [
        ("<p>One <b>two</b>, <a href='x'>three</a>.</p>\n  <p>Four</p>", "One two, three.\nFour"),
        (
            "<title>T</title><style>p{}</style><script>var a='<p>no</p>'</script>你好&nbsp;&lt;世界&gt;",
            "你好\xa0<世界>",
        ),
        ("a<br>b<br/>c<!-- no -->", "a\nb\nc"),
        ("<table><tr><td>一</td><td>二</td></tr>\n<tr><th>3</th><td>4</td></tr></table>", "一\t二\n3\t4"),
        ("<pre>\nif x:\n    y  = 1\n\n\n    z\n</pre>after   it", "if x:\n    y  = 1\n\n\n    z\n\nafter it"),
        ("<ul><li>a</li><li>b <i>c</i> d</li></ul>tail", "a\nb c d\ntail"),
        ("if a < b and c > d:\n    &amp; e &#x4f60;", "if a < b and c > d:\n    & e 你"),
        ("vector<int> and\n\n List<String> <url>", "vector<int> and\n\n List<String> <url>"),
        ("no tags\n\n  at all & more", "no tags\n\n  at all & more"),
        ("a <button><svg><text>no</text></svg></button><noscript>no <b>no</b></noscript>b", "a b"),
        ("<script>only()</script>", None),
    ],
    "control": [
        ("\ufeffa\u200bb\x00\x07c\u00ad\u200e\u202ed\u2066", "abcd"),
        ("a\r\nb\rc\u2028d\x85e\tf", "a\nb\nc\nd\ne\tf"),
        ("中\u200d文\u200c字", "中文字"),
        ("👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"),
        ("\u200b\ufeff", None),
    ],
    "whitespace": [
        ("  a \t b\u00a0\u3000c  \n\n \n\t\nd\n", "a b c\n\nd"),
        ("　　你好\r\n　　世界　", "你好\n世界"),
        (" \n\u3000\n", None),
    ],
    "punctuation": [
        ("你好，“世界”！ＡＢ１２、《书》……", '你好,"世界"!AB12,<书>......'),
        ("it’s – fine—yes", "it's - fine-yes"),
    ],
    "punctuation=remove": [("你好，“世界”！(a-b). 5 + 5 = $10", "你好世界ab 5 + 5 = $10"), ("……！？", None)],
    "lowercase": [("Hello WORLD Straße ÉÀ 你好", "hello world strasse éà 你好")],
    "chinese": [("漢字與頭髮，發展", "汉字与头发，发展"), ("简体 and English", "简体 and English")],
    "chinese=traditional": [("头发与发展，皇后在后面", "頭髮與發展，皇后在後面")],
}


@pytest.mark.parametrize(
    ("spec", "text", "expected"), [(spec, *case) for spec, cases in CASES.items() for case in cases]
)
def test_by_hand(spec, text, expected):
    assert make_step(spec)(text) == expected


ANY = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\r\n\t \u3000\u200b\u200c\u200d\ufeff<>&;pbr/é你，。“”ﬁ\u0301")
)


@pytest.mark.parametrize(
    "spec", ["nfc", "nfkc", "control", "whitespace", "punctuation", "punctuation=remove", "lowercase"]
)
@given(ANY)
@settings(deadline=None)
def test_once_more_changes_nothing(spec, text):
    step = make_step(spec)
    cleaned = step(text)
    if cleaned is not None:
        assert step(cleaned) == cleaned


@given(ANY)
def test_nothing_that_control_should_remove_is_left(text):
    cleaned = make_step("control")(text) or ""
    left = {unicodedata.category(character) for character in set(cleaned) - set("\n\t")}
    assert not left & {"Cc", "Cs", "Zl", "Zp"}


@given(ANY)
def test_white_space_is_single(text):
    cleaned = make_step("whitespace")(text) or ""
    assert cleaned == cleaned.strip() and "  " not in cleaned and "\n\n\n" not in cleaned
    assert not any(character.isspace() and character not in " \n" for character in cleaned)
    assert "".join(cleaned.split()) == "".join(text.split())


TAGS = "<p> </p> <b> </b> <pre> </pre> <script> </script> <table> <tr> <td> </table> <br> <!-- --> <svg> <html> <frameset> </"
PAGES = st.lists(st.sampled_from([*TAGS.split(), "word", "你好", " ", "\n", "&lt;", "&#0;", "<", ">"]), max_size=20)


@given(PAGES)
@settings(deadline=None)
def test_any_page_has_its_text(pieces):
    step = make_step("html")
    text = step("".join(pieces)) or ""
    assert text.encode().decode() == text
    assert step(f"<p>first</p><script>{''.join(pieces)}</script></script></svg><p>last</p>") is not None
    words = [piece for piece in pieces if piece in ("word", "你好")]
    assert step("<p>".join(["", *words, "<script>word</script>"])) == ("\n".join(words) or None)


def test_deep_pages_do_not_exhaust_the_stack():
    assert make_step("html")("<div>" * 3000 + "deep") == "deep"
