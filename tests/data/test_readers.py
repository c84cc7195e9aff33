import gzip
import io
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data.readers
from common.errors import UserError
from data.document import Document
from data.readers import read_jsonl
from data.skipped import Skipped
from data.sources import read_documents
from tests.conftest import ROOT
from tests.data.forms import FORMS, PACKERS, READ, pack, to_csv, to_jsonl, to_parquet, to_text
from tests.data.reading import documents, refusal, texts

# Every form.

WORDS = ["one", "two", "three", "今天", "天气"]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ANY_TEXTS = st.lists(st.text(CHARACTERS).filter(str.strip), min_size=1, max_size=5)
PLAIN_TEXTS = st.lists(  # neither blank lines nor other ends of lines; no byte order mark, which is not text
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff")).filter(str.strip),
        min_size=1,
        max_size=3,
    ).map("\n".join),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(("form", "packed"), READ)
@settings(max_examples=40, deadline=None)
@given(chosen=st.data())
def test_what_is_written_comes_back(form, packed, chosen, tmp_path_factory):
    written = chosen.draw(PLAIN_TEXTS if FORMS[form] is to_text else ANY_TEXTS)
    path = tmp_path_factory.getbasetemp() / f"written{form}{packed}"
    path.write_bytes(pack(packed, FORMS[form](written)))
    assert texts(str(path)) == written


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("writer", [to_jsonl, to_csv, to_parquet])
def test_the_field_has_the_name_that_is_given(write, writer, packed):
    if writer is to_parquet and packed:
        return
    ending = next(form for form in FORMS if FORMS[form] is writer)
    source = write(f"a{ending}{packed}", pack(packed, writer(["one", "two"], "内容")))
    assert texts(source, text_field="内容") == ["one", "two"]
    assert "data.text_field=NAME" in refusal(source)


@pytest.mark.parametrize(("form", "packed"), READ)
def test_memory_does_not_grow_with_the_file(form, packed, write):
    generator = random.Random(0)
    peaks = []
    for size in (70, 500):
        written = [" ".join(generator.choices(WORDS, k=2000)) for _ in range(size)]
        options = {"row_group_size": 10} if form == ".parquet" else {}
        source = write(f"{size}{form}{packed}", pack(packed, FORMS[form](written, **options)))
        tracemalloc.start()
        peak = max(pyarrow.total_allocated_bytes() for _ in read_documents([source]))
        peaks.append(tracemalloc.get_traced_memory()[1] + peak)
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] and peaks[0] < sum(len(text.encode()) for text in written) / 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize("packed", PACKERS)
def test_200_megabytes_need_no_more_memory_than_2(packed, write):
    program = """
import re, sys
from data.sources import read_documents
count = sum(1 for _ in read_documents(sys.argv[1:]))
print(count, re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    line = json.dumps({"text": "one two three " * 1000}) + "\n"
    peaks = []
    for lines in (150, 15_000):
        source = write(f"{lines}.jsonl{packed}", pack(packed, line.encode() * lines))
        command = [sys.executable, "-c", program, source]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        assert count == lines
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 8000


# Plain text.


def test_a_document_stands_between_blank_lines(write):
    source = write("a.txt", "one\ntwo\n\nthree\n \t\n\n\u3000\n  four\n")
    assert documents(source) == [Document(text, source) for text in ("one\ntwo", "three", "  four")]


def test_a_file_without_blank_lines_is_one_document(write):
    assert texts(write("a.txt", "one\n  two\nthree  \n")) == ["one\n  two\nthree  "]


def test_windows_and_old_mac_files_read_like_any_other(write):
    plain = texts(write("plain.txt", "你好\nworld\n\nnext\n"))
    assert plain == ["你好\nworld", "next"]
    assert texts(write("windows.txt", b"\xef\xbb\xbf" + "你好\r\nworld\r\n\r\nnext\r\n".encode())) == plain
    assert texts(write("mac.txt", "你好\rworld\r\rnext\r")) == plain


# JSONL.


def test_a_line_of_jsonl_is_a_document(write):
    lines = [{"text": "one\n\ntwo", "id": 1}, {"text": " 你好 "}, {"text": " \n"}]
    source = write("a.jsonl", "\ufeff" + "\r\n\r\n".join(json.dumps(line) for line in lines))
    assert documents(source) == [Document("one\n\ntwo", source), Document(" 你好 ", source)]
    assert texts(write("b.JSONL", '{"text": "你好"}')) == ["你好"]


def test_jsonl_without_text_is_refused(write):
    source = write("a.jsonl", '\n{"text": ""}\n')
    assert refusal(source).startswith(f"{source} holds no text")


@pytest.mark.parametrize("content", [gzip.compress(b"text " * 100, mtime=0), "text".encode("utf-16-le"), b"a\0b"])
def test_a_binary_file_is_refused(write, content):
    source = write("a.txt", content)
    assert refusal(source) == f"{source} is a binary file; data must be text in UTF-8, or JSONL, CSV or Parquet"


def test_text_in_another_encoding_is_refused_with_its_line_and_a_remedy(write):
    source = write("a.txt", b"one\r\ntwo\r\n" + "你好，世界".encode("gb18030"))
    message = refusal(source)
    assert message.startswith(f"{source}, line 3: not UTF-8 (byte 0xc4)")
    assert message.endswith(f"iconv -f GB18030 -t UTF-8 {source} > {source[:-4]}.utf8.txt")
    assert "iconv -f ENCODING -t UTF-8" in refusal(write("b.txt", "caf\xe9 noir".encode("latin-1")))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_named_and_its_remedy_works(write, encoding):
    source = write("my text.txt", "\ufeff你好，world".encode(encoding))
    message = refusal(source)
    assert message.startswith(f"{source} is UTF-16, not UTF-8; convert it first, for example: iconv -f UTF-16 ")
    subprocess.run(message.split(": ")[-1], shell=True, check=True)
    assert texts(source.replace(".txt", ".utf8.txt")) == ["你好，world"]


@pytest.mark.parametrize("content", ['[{"text": "one"}]', '{"text": "one"}'])
def test_json_is_refused_with_what_is_read(write, content):
    source = write("a.json", content)
    message = refusal(source)
    assert message.startswith(f'{source}: .json is not read, only JSONL, which has {{"text": …}} on each line')
    assert message.endswith(f"jq -c '.[]' {source} > {source}l")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "one"', "not JSON (Expecting ',' delimiter)"),
        ("text", "not JSON (Expecting value)"),
        ("[" * 100_000, "not JSON ("),
        ("9" * 5000, "not JSON (Exceeds the limit"),
        ('{"text": "one', "not JSON (Unterminated string starting at)"),
        (
            '{"txt": "one"}',
            'no "text" field, only \'txt\'; each line must be {"text": …}, or name another field: '
            "--config.data.text_field=NAME (of evaluate.py: --text_field NAME)",
        ),
        ("{}", 'no "text" field, only none; each line'),
        ('[{"text": "one"}]', 'no "text" field, but a list; each line must be {"text": …}'),
        ("3", 'no "text" field, but a number'),
        ("null", 'no "text" field'),
        ('{"text": 3}', '"text" is a number, not a string'),
        ('{"text": null}', '"text" is null, not a string'),
        (r'{"text": "ab\ud83d"}', "the text has half a character, U+D83D at 2"),
    ],
)
def test_a_broken_line_of_jsonl_is_named(write, line, reason):
    source = write("a.jsonl", '{"text": "one"}\n\n' + line + '\n{"text": "two"}\n')
    assert refusal(source).startswith(f"{source}, line 3: {reason}")


def test_a_number_counts_the_lines_of_any_end(write):
    line = '{"text": "one"}'
    for end in ("\n", "\r\n", "\r"):
        source = write("a.jsonl", end.join([line, "", line, "no", line]))
        assert refusal(source).startswith(f"{source}, line 4: not JSON")


def test_jsonl_of_other_fields_is_read_by_their_name(write):
    """As sample.py reads prompts."""
    source = write("a.jsonl", '{"prompt": "one"}\n{"text": "two"}')
    reader = read_jsonl(source, ["prompt"])
    assert next(reader) == (1, ["one"])
    with pytest.raises(UserError) as caught:
        next(reader)
    assert str(caught.value) == f'{source}, line 2: no "prompt" field, only \'text\'; each line must be {{"prompt": …}}'


# CSV.


def test_a_row_of_csv_is_a_document(write):
    content = '\ufeffid,text\r\n1,"one, ""two""\r\n\r\nthree"\r\n\r\n2,你好\r\n3,\r\n4," "\r\n5,"last"'
    source = write("a.csv", content)
    assert documents(source) == [Document(text, source) for text in ('one, "two"\r\n\r\nthree', "你好", "last")]


@pytest.mark.parametrize("content", ["", "\n", "id,text\n", "text\n\n \n"])
def test_csv_without_text_is_refused(write, content):
    source = write("a.csv", content)
    assert refusal(source).startswith(f"{source} holds no text")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            "3,one, two",
            "not CSV (3 fields where the header has 2); a text with commas, quotes or line ends stands in quotes",
        ),
        ("3", "not CSV (1 fields where the header has 2)"),
        ('3,"one"two"', "not CSV (',' expected after '\"')"),
        ('3,"one', "not CSV ("),
        ("3,caf\udce9", "not UTF-8 (byte 0xe9); convert it first"),
        ("caf\udce9,one", "not UTF-8 (byte 0xe9); convert it first"),
    ],
)
def test_a_broken_row_of_csv_is_named_by_its_first_line(write, row, reason):
    rows = ["id,text", '1,"one\ntwo"', row, "4,three", ""]
    source = write("a.csv", "\n".join(rows).encode(errors="surrogateescape"))
    assert refusal(source).startswith(f"{source}, line 4: {reason}")


def test_a_byte_that_is_not_utf8_is_named_by_its_own_line(write):
    source = write("a.csv", b'id,text\n1,"one\ntwo\n\xe9 "\n')
    assert refusal(source).startswith(f"{source}, line 4: not UTF-8 (byte 0xe9)")
    source = write("a.txt", b"one\n\ntwo\nthree\n\xe9 \n")
    assert refusal(source).startswith(f"{source}, line 5: not UTF-8 (byte 0xe9)")


def test_a_quote_that_is_not_closed_swallows_no_more_than_a_book(write, monkeypatch):
    monkeypatch.setattr(data.readers, "MAX_CSV_FIELD", 100)
    source = write("a.csv", 'id,text\n1,"one\n' + "2,two\n" * 50)
    assert refusal(source).startswith(f"{source}, line 2: not CSV (field larger than field limit (100))")


def test_a_text_may_be_as_long_as_a_book(write):
    book = "今天天气" * 200_000
    assert texts(write("a.csv", to_csv([book]))) == [book]


def test_csv_without_the_column_is_refused_with_what_it_has(write):
    source = write("a.csv", "\nid,body\n1,one\n")
    message = refusal(source)
    assert message == (
        f"{source}, line 2: no \"text\" column, only 'id', 'body'; "
        "rename one, or name another field: --config.data.text_field=NAME (of evaluate.py: --text_field NAME)"
    )


@pytest.mark.parametrize(("mark", "called"), [(";", "semicolons"), ("\t", "tabs")])
def test_columns_between_other_marks_are_told(write, mark, called):
    source = write("a.csv", f"text{mark}label\none{mark}1\n")
    assert refusal(source) == f"{source}, line 1: {called} stand between the columns; save it as CSV with commas"
    assert texts(write("b.csv", f"text\none{mark}1\n")) == [f"one{mark}1"]


@pytest.mark.parametrize("header", [b'id,"text', b"id,text,\xe9 "])
def test_a_broken_header_ends_the_file(write, header):
    source = write("a.csv", header + b"\n1,one\n")
    assert refusal(source).startswith(f"{source}, line 1: not ")
    assert "holds no text that can be read" in refusal(source, skipped=Skipped())


# Parquet.


def test_rows_of_parquet_follow_each_other_over_groups_and_batches(write, monkeypatch):
    monkeypatch.setattr(data.readers, "PARQUET_ROWS", 3)
    written = [f"text {number}" for number in range(50)]
    assert texts(write("a.parquet", to_parquet(written, row_group_size=7))) == written


@pytest.mark.parametrize("kind", [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())])
def test_other_types_of_strings_are_read(write, kind):
    source = write("a.parquet", parquet(pyarrow.array(["one", "two", "one"]).cast(kind)))
    assert texts(source) == ["one", "two", "one"]


def parquet(column: pyarrow.Array) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), file)
    return file.getvalue()


def test_a_row_of_parquet_without_text_is_named(write):
    source = write("a.parquet", parquet(pyarrow.array(["one", None])))
    assert refusal(source) == f'{source}, row 2: "text" is null, not a string'


def test_a_row_of_parquet_that_is_not_utf8_is_named(write):
    column = pyarrow.array([b"one", b"ab\xe9", b"two"]).view(pyarrow.string())
    source = write("a.parquet", parquet(column))
    assert refusal(source) == f"{source}, row 2: not UTF-8 (byte 0xe9)"


def test_a_column_that_is_not_of_strings_is_refused(write):
    source = write("a.parquet", parquet(pyarrow.array([1, 2])))
    assert refusal(source) == f'{source}, row 1: "text" is a number, not a string'


def test_parquet_without_the_column_is_refused_with_what_it_has(write):
    source = write("a.parquet", to_parquet(["one"], "body"))
    assert refusal(source).startswith(f"{source}: no \"text\" column, only 'id', 'body'; rename one, or name another")


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: b"text", lambda content: b""])
def test_what_is_not_parquet_is_refused(write, damage):
    source = write("a.parquet", damage(to_parquet(["one"])))
    assert refusal(source).startswith(f"{source} is damaged or not Parquet (")


def test_a_damaged_page_of_parquet_is_named_by_its_row(write, monkeypatch):
    monkeypatch.setattr(data.readers, "PARQUET_ROWS", 10)
    written = [f"text {number}" for number in range(40)]
    content = bytearray(to_parquet(written, row_group_size=10, use_dictionary=False, compression="none"))
    at = content.index(b"text 20")
    content[at - 30 : at + 30] = bytes(60)
    source = write("a.parquet", bytes(content))
    assert refusal(source).startswith(f"{source}, row 21: cut short or damaged from here on (")


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_parquet_is_not_read_out_of_compressed_files(write, packed):
    source = write(f"a.parquet{packed}", pack(packed, to_parquet(["one"])))
    assert refusal(source).startswith(f"{source}: .parquet is not read out of {packed}; unpack it first, with ")
