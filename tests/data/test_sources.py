import gzip
import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.errors import ConfigError, UserError
from data.document import Document
from data.sources import find_files, read_documents, split_sources


@pytest.fixture
def write(tmp_path):
    """`write(name, content)`: a file in the test's folder, its path as text."""

    def make(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


def texts(*sources: str) -> list[str]:
    return [document.text for document in read_documents(sources)]


def refusal(source: str, kind: type = UserError) -> str:
    """The message with which a source is refused; it is one line."""
    with pytest.raises(kind) as caught:
        list(read_documents([source]))
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


def test_sources_are_given_as_a_tuple_or_with_commas():
    assert split_sources("a.txt, b/*.txt ,builtin:hsk,") == ("a.txt", "b/*.txt", "builtin:hsk")
    assert split_sources(("a, b.txt", " c ", "")) == ("a, b.txt", "c")
    assert split_sources("") == ()


def test_a_name_with_a_comma_is_one_source_where_there_is_such_a_file(write, tmp_path, monkeypatch):
    source = write("one, two.txt", "text")
    assert split_sources(source) == (source,)
    assert split_sources(f"{source},b.txt") == (source.split(",")[0], "two.txt", "b.txt")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert split_sources("~/one, two.txt") == ("~/one, two.txt",)


def test_a_document_stands_between_blank_lines(write):
    source = write("a.txt", "one\ntwo\n\nthree\n \t\n\n\u3000\n  four\n")
    assert list(read_documents([source])) == [Document(text, source) for text in ("one\ntwo", "three", "  four")]


def test_a_file_without_blank_lines_is_one_document(write):
    assert texts(write("a.txt", "one\n  two\nthree  \n")) == ["one\n  two\nthree  "]


def test_windows_and_old_mac_files_read_like_any_other(write):
    plain = texts(write("plain.txt", "你好\nworld\n\nnext\n"))
    assert plain == ["你好\nworld", "next"]
    assert texts(write("windows.txt", b"\xef\xbb\xbf" + "你好\r\nworld\r\n\r\nnext\r\n".encode())) == plain
    assert texts(write("mac.txt", "你好\rworld\r\rnext\r")) == plain


def test_a_line_of_jsonl_is_a_document(write):
    lines = [{"text": "one\n\ntwo", "id": 1}, {"text": " 你好 "}, {"text": " \n"}]
    source = write("a.jsonl", "\ufeff" + "\r\n\r\n".join(json.dumps(line) for line in lines))
    assert list(read_documents([source])) == [Document("one\n\ntwo", source), Document(" 你好 ", source)]
    assert texts(write("b.JSONL", '{"text": "你好"}')) == ["你好"]


def test_a_folder_gives_its_text_files_in_order(write, tmp_path):
    for name in ("b.txt", "a/z.md", "a/b/c.TXT"):
        write(f"folder/{name}", name)
    write("folder/d.jsonl", '{"text": "d.jsonl"}')
    write("folder/image.png", b"\0")
    folder = str(tmp_path / "folder")
    assert texts(folder) == ["a/b/c.TXT", "a/z.md", "b.txt", "d.jsonl"]
    assert {document.source for document in read_documents([folder])} == {folder}


def test_a_glob_gives_the_files_that_match_in_order(write, tmp_path):
    for name in ("b.txt", "a.txt", "c.md", "d/e.txt", "odd.xyz"):
        write(name, name)
    assert texts(f"{tmp_path}/*.txt") == ["a.txt", "b.txt"]
    assert texts(f"{tmp_path}/**/*.txt") == ["a.txt", "b.txt", "d/e.txt"]
    assert texts(f"{tmp_path}/[bo]*") == ["b.txt", "odd.xyz"]


def test_a_file_is_taken_at_its_name_even_where_that_looks_like_a_glob(write):
    write("a1.txt", "no")
    assert texts(write("a[1].txt", "yes")) == ["yes"]


def test_a_path_may_start_at_home(write, tmp_path, monkeypatch):
    write("a.txt", "home")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert texts("~/a.txt") == ["home"]
    assert "no data at '~nobody-of-this-name/a.txt'" in refusal("~nobody-of-this-name/a.txt", ConfigError)


def test_sources_follow_each_other(write):
    a, b = write("a.txt", "one\n\ntwo"), write("b.txt", "three")
    assert [(document.text, document.source) for document in read_documents([b, a, b])] == [
        ("three", b),
        ("one", a),
        ("two", a),
        ("three", b),
    ]


def test_what_is_not_there_is_refused_with_what_could_be(tmp_path):
    message = refusal(f"{tmp_path}/missing.txt", ConfigError)
    assert f"no data at '{tmp_path}/missing.txt'" in message
    assert "a file, a folder or a glob that exists, or one of builtin:hsk, builtin:chat" in message
    assert "no data at" in refusal(f"{tmp_path}/*.txt", ConfigError)
    assert "(did you mean 'builtin:hsk'?)" in refusal("buildin:hsk", ConfigError)
    assert "no data at" in refusal("x" * 300, ConfigError)


@pytest.mark.parametrize("content", ["", "\n\n", " \t\r\n\u3000\n", "\ufeff"])
def test_a_file_without_text_is_refused(write, content):
    source = write("a.txt", content)
    assert refusal(source) == f"{source} holds no text, only white space; give a source that has some"


def test_jsonl_without_text_is_refused(write):
    source = write("a.jsonl", '\n{"text": ""}\n')
    assert refusal(source).startswith(f"{source} holds no text")


def test_one_file_with_text_is_enough_for_a_glob(write, tmp_path):
    write("a.txt", "")
    write("b.txt", "text")
    assert texts(f"{tmp_path}/*.txt") == ["text"]


@pytest.mark.parametrize("content", [gzip.compress(b"text " * 100, mtime=0), "text".encode("utf-16-le"), b"a\0b"])
def test_a_binary_file_is_refused(write, content):
    source = write("a.txt", content)
    assert refusal(source) == f"{source} is a binary file; data must be text in UTF-8, or JSONL"


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
    assert message.startswith(f'{source}: .json is not read, only JSONL, which has {{"text": "…"}} on each line')
    assert message.endswith(f"jq -c '.[]' {source} > {source}l")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "one"', "not JSON (Expecting ',' delimiter)"),
        ("text", "not JSON (Expecting value)"),
        ("[" * 100_000, "not JSON ("),
        ("9" * 5000, "not JSON (Exceeds the limit"),
        ('{"txt": "one"}', 'no "text" field; each line must be {"text": "…"}'),
        ('["text"]', 'no "text" field'),
        ("3", 'no "text" field'),
        ("null", 'no "text" field'),
        ('{"text": 3}', '"text" is int, not a string'),
        ('{"text": null}', '"text" is NoneType, not a string'),
        (r'{"text": "ab\ud83d"}', "the text has half a character, U+D83D at 2"),
    ],
)
def test_a_broken_line_of_jsonl_is_named(write, line, reason):
    source = write("a.jsonl", '{"text": "one"}\n\n' + line + '\n{"text": "two"}\n')
    assert refusal(source).startswith(f"{source}, line 3: {reason}")


def test_a_folder_without_text_files_is_refused(write, tmp_path):
    write("folder/image.png", b"\0")
    folder = f"{tmp_path}/folder"
    assert refusal(folder, ConfigError) == f"the folder {folder} has no .txt, .md, .jsonl file in it"


@contextmanager
def without_rights(path: Path):
    """Takes all rights to `path` away for a while; root, who has them all the same, becomes nobody."""
    mode, user = path.stat().st_mode, os.geteuid()
    path.chmod(0)
    try:
        os.seteuid(user or 65534)
        yield
    finally:
        os.seteuid(user)
        path.chmod(mode)


def test_what_may_not_be_read_is_refused():
    with TemporaryDirectory() as folder:  # not tmp_path, in which nobody may look
        os.chmod(folder, 0o755)
        inner = Path(folder, "inner")
        inner.mkdir()
        file = inner / "a.txt"
        file.write_text("text")
        with without_rights(file):
            assert refusal(str(file)) == refusal(folder) == f"cannot read {file}: Permission denied"
        with without_rights(inner):
            assert refusal(str(inner)) == refusal(folder) == f"cannot read the folder {inner}: Permission denied"
            assert "no data at" in refusal(str(file), ConfigError)
        assert texts(folder) == ["text"]


def test_what_is_no_file_is_passed_over(write, tmp_path):
    write("folder/a.txt", "text")
    os.mkfifo(tmp_path / "folder/pipe.txt")
    (tmp_path / "folder/nowhere.txt").symlink_to(tmp_path / "missing")
    assert find_files(f"{tmp_path}/folder") == find_files(f"{tmp_path}/folder/*") == [tmp_path / "folder/a.txt"]
