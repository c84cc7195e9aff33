import gzip
import random

import pytest

from common.errors import ConfigError
from data.skipped import MAX_EXAMPLES, Skipped
from tests.data.forms import pack, to_csv, to_jsonl, to_parquet
from tests.data.reading import refusal, texts


def read(*sources: str) -> tuple[list[str], Skipped]:
    skipped = Skipped()
    return texts(*sources, skipped=skipped), skipped


def test_broken_lines_are_left_out_and_told(write):
    source = write(
        "a.jsonl", '{"text": "one"}\nno\n{"txt": "no"}\n{"text": 3}\n{"text": "\\ud83d"}\n{"text": "two"}\n\n'
    )
    found, skipped = read(source)
    assert found == ["one", "two"]
    assert skipped.count == 4 and len(skipped.examples) == MAX_EXAMPLES == 3
    assert skipped.examples[0] == refusal(source)
    assert [example.split(":")[0] for example in skipped.examples] == [f"{source}, line {n}" for n in (2, 3, 4)]
    assert (
        skipped.summary()
        == f"left out as broken (data.skip_bad): 4 lines, rows or files: {'; '.join(skipped.examples)}; …"
    )
    assert "\n" not in skipped.summary()


def test_what_is_whole_is_not_skipped(write):
    found, skipped = read(write("a.jsonl", to_jsonl(["one", " ", "two"])), write("b.txt", "three"))
    assert found == ["one", "two", "three"]
    assert skipped == Skipped()


def test_a_document_with_a_byte_that_is_not_utf8_is_left_out(write):
    source = write("a.txt", b"one\n\ntwo\ncaf\xe9 noir\n\nthree\n")
    found, skipped = read(source)
    assert found == ["one", "three"]
    assert skipped.count == 1 and skipped.examples == [refusal(source)]


def test_broken_rows_of_csv_are_left_out(write):
    content = b'id,text\n1,one\n2,a,b\n3\n4,"x"y\n5,caf\xe9 \n6,"two\nlines"\n7,"open\n'
    source = write("a.csv", content)
    found, skipped = read(source)
    assert found == ["one", "two\nlines"]
    assert skipped.count == 5


def test_rows_of_parquet_without_text_are_left_out(write):
    found, skipped = read(write("a.parquet", to_parquet(["one", None, "two", None])))
    assert (found, skipped.count) == (["one", "two"], 2)


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_the_rest_of_a_file_that_is_cut_short_counts_once(write, packed):
    lines = [str(random.Random(number).getrandbits(3000)) for number in range(1000)]
    whole = to_jsonl(lines)
    cut = write(f"a.jsonl{packed}", pack(packed, whole)[:-50])
    found, skipped = read(cut, write("b.txt", "after"))
    assert 500 < len(found) < 1001
    assert found == [*lines[: len(found) - 1], "after"]
    assert skipped.count == 1 and skipped.examples == [refusal(cut)]


def test_files_that_cannot_be_read_are_left_out(write, tmp_path):
    write("a/a.txt", "one")
    write("a/b.txt", b"\0")
    write("a/c.txt", "text".encode("utf-16"))
    write("a/d.parquet", b"text")
    write("a/e.parquet", to_parquet(["no"], "body"))
    write("a/f.csv", to_csv(["no"], "body"))
    write("a/g.txt.gz", b"text")
    write("a/h.txt", "two")
    found, skipped = read(f"{tmp_path}/a")
    assert (found, skipped.count) == (["one", "two"], 6)
    write("a/i.json", "[]")
    assert read(f"{tmp_path}/a/*")[1].count == 7


def test_a_source_of_which_nothing_is_left_is_an_error_that_tells(write):
    source = write("a.jsonl", "no\nneither\n")
    message = refusal(source, skipped=Skipped())
    assert message.startswith(f"{source} holds no text that can be read; left out as broken (data.skip_bad): 2 lines")
    assert f"{source}, line 1: not JSON" in message


def test_what_is_not_there_is_an_error_all_the_same(tmp_path):
    refusal(f"{tmp_path}/missing.txt", ConfigError, skipped=Skipped())
    refusal("builtin:nothing", ConfigError, skipped=Skipped())
    refusal(f"hf:{tmp_path}/missing/data", ConfigError, skipped=Skipped())


def test_what_is_left_out_does_not_pile_up(write):
    source = write("a.jsonl.gz", gzip.compress(b"no\n" * 10_000 + b'{"text": "one"}'))
    found, skipped = read(source)
    assert (found, skipped.count, len(skipped.examples)) == (["one"], 10_000, 3)
