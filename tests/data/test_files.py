import functools
import gzip
import http.server
import random
import shutil
import subprocess
import sys
import threading

import fsspec
import pytest
import zstandard

from common.errors import ConfigError
from common.packages import MissingPackage
from data.document import Document
from data.files import endings
from data.skipped import Skipped
from tests.data.forms import FORMS, READ, pack, to_jsonl
from tests.data.reading import documents, refusal, texts


def test_endings_tell_format_and_compression():
    assert endings("a/b.c/d.JSONL.GZ") == (".jsonl", ".gz")
    assert endings("a.txt") == (".txt", "") and endings("a.gz") == ("", ".gz") and endings("a.b/c") == ("", "")
    assert endings("https://host/a.csv.zst?download=true#top") == (".csv", ".zst")
    assert endings("zip://a.jsonl::s3://bucket/b.zip") == (".jsonl", "")
    assert endings("a.txt?b") == (".txt?b", "")


# Compressed files.


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_parts_that_were_packed_one_by_one_are_read_as_one_file(write, packed):
    """As `cat` puts them together, and as tools that work in parallel write them."""
    parts = b"".join(pack(packed, part) for part in (b"one\ntw", b"", b"o\n\nthr", b"ee"))
    assert texts(write(f"a.txt{packed}", parts)) == ["one\ntwo", "three"]


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_an_empty_file_holds_no_text(write, packed):
    source = write(f"a.txt{packed}", pack(packed, b""))
    assert "holds no text" in refusal(source)


def test_a_file_of_another_ending_is_plain_text(write):
    assert texts(write("a.log.gz", gzip.compress(b"one\n\ntwo")), write("b.zst", zstandard.compress(b"three"))) == [
        "one",
        "two",
        "three",
    ]


@pytest.mark.parametrize(("form", "packed"), [(form, packed) for form, packed in READ if packed])
def test_a_file_that_is_cut_short_is_named_with_the_line(write, form, packed):
    whole = FORMS[form]([str(random.Random(number).getrandbits(3000)) for number in range(1000)])
    source = write(f"a{form}{packed}", pack(packed, whole)[:-40])
    message = refusal(source)
    line = int(message.removeprefix(f"{source}, line ").split(":")[0])
    assert whole.count(b"\n") / 2 < line <= whole.count(b"\n") + 1
    assert ": cut short or damaged from here on (" in message and message.endswith(
        "bring back a copy, or fetch it again"
    )


def test_gzip_is_read_up_to_the_last_line_that_is_whole(write):
    lines = [f"text {number}" for number in range(10_000)]
    source = write("a.jsonl.gz", gzip.compress(to_jsonl(lines))[:-1000])
    skipped = Skipped()
    found = texts(source, skipped=skipped)
    assert found == lines[: len(found)]
    assert skipped.examples[0].startswith(f"{source}, line {len(found) + 1}: cut short")


@pytest.mark.parametrize("packed", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["not packed", "garbage after", "one byte", "header alone"])
def test_a_damaged_file_is_refused(write, packed, damage):
    content = pack(packed, to_jsonl([f"text {number}" for number in range(1000)]))
    at = len(content) // 2
    content = {
        "not packed": b"text " * 100,
        "garbage after": content + b"garbage",
        "one byte": content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :],
        "header alone": content[:3],
    }[damage]
    source = write(f"a.jsonl{packed}", content)
    message = refusal(source)
    assert message.startswith(f"{source}, line ")
    assert "cut short or damaged from here on (" in message or "not JSON" in message or "not UTF-8" in message


@pytest.mark.parametrize(("packed", "tool"), [(".gz", "gzip"), (".zst", "zstd")])
def test_the_remedies_for_compressed_files_work(write, packed, tool):
    source = write(f"a b.txt{packed}", pack(packed, "你好，世界".encode("gb18030")))
    message = refusal(source)
    new = source.replace(".txt", ".utf8.txt")
    assert message.endswith(f"{tool} -dc '{source}' | iconv -f GB18030 -t UTF-8 | {tool} > '{new}'")
    json = write(f"c.json{packed}", pack(packed, b"[]"))
    assert refusal(json).endswith(f"{tool} -dc {json} | jq -c '.[]' > {json.split('.json')[0]}.jsonl")
    if shutil.which(tool):
        subprocess.run(message.split("for example: ")[-1], shell=True, check=True)
        assert texts(new) == ["你好，世界"]


# Files behind URLs.


@pytest.fixture
def memory():
    """fsspec's file system in memory, emptied afterwards."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.mark.parametrize(("form", "packed"), READ)
def test_every_form_is_read_from_a_url(memory, form, packed):
    name = f"memory://bucket/a{form}{packed}"
    memory.pipe(name, pack(packed, FORMS[form](["one", "二"])))
    assert documents(name) == [Document("one", name), Document("二", name)]


def test_globs_and_folders_behind_urls_give_their_files_in_order(memory):
    for name in ("b.jsonl", "a/c.jsonl.gz", "a.jsonl", "a/b/d.jsonl"):
        memory.pipe(f"memory://data/{name}", pack(".gz" if name.endswith(".gz") else "", to_jsonl([name])))
    memory.pipe("memory://data/image.png", b"\0")
    assert texts("memory://data/*.jsonl") == ["a.jsonl", "b.jsonl"]
    everything = ["a/b/d.jsonl", "a/c.jsonl.gz", "a.jsonl", "b.jsonl"]
    assert texts("memory://data") == texts("memory://data/") == texts("memory://data/**/*.jsonl*") == everything
    assert {document.source for document in documents("memory://data")} == {"memory://data"}


def test_a_url_may_name_a_file_on_disk_or_in_an_archive(write, tmp_path):
    write("folder/a[1].txt", "one\n\ntwo")
    assert texts(f"file://{tmp_path}/folder/a[1].txt") == texts(f"local://{tmp_path}/folder") == ["one", "two"]
    archive = shutil.make_archive(f"{tmp_path}/archive", "zip", f"{tmp_path}/folder")
    write("folder/b.jsonl", to_jsonl(["three"]))
    archive = shutil.make_archive(f"{tmp_path}/archive", "zip", f"{tmp_path}/folder")
    assert texts(f"zip://b.jsonl::{archive}") == ["three"]
    assert texts(f"zip://*.jsonl::file://{archive}") == ["three"]


def test_what_is_not_behind_a_url_is_refused(memory):
    assert "no data at 'memory://nothing/a.txt'" in refusal("memory://nothing/a.txt", ConfigError)
    assert "no data at 'memory://nothing/*.txt'" in refusal("memory://nothing/*.txt", ConfigError)
    message = refusal("memry://a.txt", ConfigError)
    assert message.startswith("memry://a.txt: fsspec knows no memry:// (did you mean 'memory'?)")


def test_a_broken_file_behind_a_url_is_named_with_its_line(memory):
    memory.pipe("memory://a.jsonl", b'{"text": "one"}\nno\n')
    assert refusal("memory://*.jsonl").startswith("memory:///a.jsonl, line 2: not JSON")
    memory.pipe("memory://b.txt.gz", pack(".gz", "你好，世界".encode("gb18030")))
    remedy = "gzip -dc b.txt.gz | iconv -f GB18030 -t UTF-8 | gzip > b.utf8.txt.gz"
    assert refusal("memory://b.txt.gz").endswith(remedy)


def test_a_connection_that_breaks_is_named_with_its_line(memory, monkeypatch):
    memory.pipe("memory://a.jsonl", to_jsonl(["one " * 1000] * 100))
    read = type(memory.open("memory://a.jsonl")).readinto

    def breaks(file, buffer):
        if file.tell() > 200_000:
            raise RuntimeError("the line is dead")
        return read(file, buffer)

    monkeypatch.setattr(type(memory.open("memory://a.jsonl")), "readinto", breaks)
    message = refusal("memory://a.jsonl")
    assert message.startswith("memory://a.jsonl, line 5")
    assert "cut short or damaged from here on (the line is dead)" in message


@pytest.fixture
def server(tmp_path):
    """A folder behind http://, and its URL."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_web_server_is_read(server):
    folder, url = server
    (folder / "a.jsonl.zst").write_bytes(pack(".zst", to_jsonl(["one", "two"] * 1000)))
    assert texts(f"{url}/a.jsonl.zst?download=true") == ["one", "two"] * 1000
    assert texts(f"{url}/*.zst") == ["one", "two"] * 1000
    assert "no data at" in refusal(f"{url}/b.jsonl", ConfigError)


# Packages.


def hide(monkeypatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("name", "package"),
    [("a.parquet", "pyarrow"), ("a.txt.zst", "pyarrow"), ("memory://a.txt", "fsspec"), ("hf:org/name", "datasets")],
)
def test_a_package_that_is_missing_is_named_with_its_remedy(write, monkeypatch, name, package):
    source = name if ":" in name else write(name, b"text")
    hide(monkeypatch, package, f"{package}.parquet")
    for options in ({}, {"skipped": Skipped()}):  # it is not the text that is broken
        message = refusal(source, MissingPackage, **options)
        assert message.startswith(f"{source} needs the package {package} (")
        assert message.endswith("install it with: pip install -r requirements-data.txt")


def test_a_file_system_that_is_missing_is_named(monkeypatch):
    hide(monkeypatch, "s3fs")
    assert "s3fs" in refusal("s3://bucket/a.txt", MissingPackage)


def test_text_is_read_without_any_of_them(write, monkeypatch):
    hide(monkeypatch, "pyarrow", "fsspec", "datasets", "zstandard")
    for form, packed in READ:
        if form != ".parquet" and packed != ".zst":
            assert texts(write(f"a{form}{packed}", pack(packed, FORMS[form](["one"])))) == ["one"]
