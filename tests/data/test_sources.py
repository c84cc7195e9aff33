import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.errors import ConfigError
from data.builtin import attribution
from data.prepared import is_prepared
from data.skipped import Skipped
from data.sources import find_files, read_documents, split_sources
from tests.data.forms import FORMS, READ, pack
from tests.data.reading import documents, refusal, texts


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


def test_a_folder_gives_its_text_files_in_order(write, tmp_path):
    for name in ("b.txt", "a/z.md", "a/b/c.TXT"):
        write(f"folder/{name}", name)
    write("folder/d.jsonl", '{"text": "d.jsonl"}')
    write("folder/image.png", b"\0")
    folder = str(tmp_path / "folder")
    assert texts(folder) == ["a/b/c.TXT", "a/z.md", "b.txt", "d.jsonl"]
    assert {document.source for document in documents(folder)} == {folder}


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
    assert [(document.text, document.source) for document in documents(b, a, b)] == [
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
    for name in ("questions", "docstrings"):
        message = f"no data at '{name}.jsonl': `python -m benchmarks.{name}` writes some; or give a file"
        assert message in refusal(f"{name}.jsonl", ConfigError)
    assert "no data at" in refusal("x" * 300, ConfigError)


@pytest.mark.parametrize("content", ["", "\n\n", " \t\r\n\u3000\n", "\ufeff"])
def test_a_file_without_text_is_refused(write, content):
    source = write("a.txt", content)
    assert refusal(source) == f"{source} holds no text, only white space; give a source that has some"


def test_one_file_with_text_is_enough_for_a_glob(write, tmp_path):
    write("a.txt", "")
    write("b.txt", "text")
    assert texts(f"{tmp_path}/*.txt") == ["text"]


def test_a_folder_without_text_files_is_refused(write, tmp_path):
    write("folder/image.png", b"\0")
    write("folder/a.json", "[]")
    write("folder/b.parquet.gz", b"\0")
    folder = f"{tmp_path}/folder"
    expected = ".txt, .md, .jsonl, .csv, .parquet file in it, nor one of these with .gz or .zst at its end"
    assert refusal(folder, ConfigError) == f"the folder {folder} has no {expected}"


def test_a_folder_gives_every_form_that_is_read(write, tmp_path):
    for form, packed in READ:
        name = f"a{form}{packed}"
        write(f"folder/{name}", pack(packed, FORMS[form]([name])))
    folder = str(tmp_path / "folder")
    names = sorted(f"a{form}{packed}" for form, packed in READ)
    assert texts(folder) == names and len(names) == 13
    assert {document.source for document in documents(folder)} == {folder}
    assert texts(f"{folder}/*.gz") == [name for name in names if name.endswith(".gz")]


def test_only_as_much_is_read_as_is_asked_for(write):
    source = write("a.jsonl", '{"text": "one"}\nnot JSON\n')
    reader = read_documents([source])
    assert next(reader).text == "one"
    with pytest.raises(Exception, match="line 2: not JSON"):
        next(reader)


def test_a_source_says_who_made_it():
    assert "HSK" in attribution("builtin:hsk")
    assert "its card names its makers and its license" in attribution("hf:org/name")
    assert attribution("my.txt") == "the user's own text"


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
            assert refusal(str(file)) == f"cannot read {file}: Permission denied"
            assert not is_prepared(str(file)) and not is_prepared(str(inner))
        assert texts(folder) == ["text"]


def test_what_is_no_file_is_passed_over(write, tmp_path):
    write("folder/a.txt", "text")
    os.mkfifo(tmp_path / "folder/pipe.txt")
    assert find_files(f"{tmp_path}/folder") == find_files(f"{tmp_path}/folder/*") == [f"{tmp_path}/folder/a.txt"]


def test_links_to_folders_are_followed_once(write, tmp_path):
    write("folder/b/b.txt", "b")
    write("elsewhere/c.txt", "c")
    (tmp_path / "folder/a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder/b/up").symlink_to(tmp_path / "folder")
    assert texts(f"{tmp_path}/folder") == ["c", "b"]


def test_a_link_that_leads_nowhere_is_told(write, tmp_path):
    """What was meant to be read is missing: a disk that is not mounted, or a folder that was moved."""
    write("folder/a.txt", "text")
    lost = tmp_path / "folder/b.txt"
    lost.symlink_to(tmp_path / "missing")
    for source in (f"{tmp_path}/folder", f"{tmp_path}/folder/*.txt"):
        assert refusal(source) == f"cannot read {lost}: No such file or directory"
        skipped = Skipped()
        assert texts(source, skipped=skipped) == ["text"] and skipped.count == 1


def test_hidden_files_and_folders_are_left_out(write, tmp_path):
    """Such as a notebook's checkpoints, which are copies, and what macOS puts beside a file."""
    for name in ("a.txt", ".ipynb_checkpoints/a-checkpoint.txt", "b/._c.txt", "b/c.txt"):
        write(f".mine/{name}", name)
    assert texts(f"{tmp_path}/.mine") == texts(f"file://{tmp_path}/.mine") == ["a.txt", "b/c.txt"]
    assert texts(f"{tmp_path}/.mine/b/._c.txt") == ["b/._c.txt"]


def test_a_glob_of_folders_says_that_it_is_one(write, tmp_path):
    write("2024/a.txt", "text")
    message = f"'{tmp_path}/20*' matches no file, only folders, such as {tmp_path}/2024; add /**/*.txt or the like"
    assert refusal(f"{tmp_path}/20*", ConfigError) == message
    assert texts(f"{tmp_path}/20*/**/*.txt") == ["text"]
