"""Data sets that `datasets` itself has written; nothing is fetched."""

from pathlib import Path

import datasets
import pytest

from common.errors import ConfigError
from data.document import Document
from data.hub import HubName, parse_hub
from data.skipped import Skipped
from data.sources import read_documents
from tests.data.reading import documents, refusal, texts


@pytest.fixture(scope="module", autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The folder that the test is in, with data sets of these names.

    `saved` and `parts` by save_to_disk, the second with splits; `files`: JSONL with splits; `two`: two configs.
    """
    monkeypatch.chdir(tmp_path)
    rows = datasets.Dataset.from_dict({"id": range(6), "text": ["零", "one", "two", "three", "four", "five"]})
    rows.save_to_disk("saved")
    datasets.DatasetDict(train=rows.select([0, 1]), test=rows.select([2])).save_to_disk("parts")
    rows.select([3]).to_json(new("files/train.jsonl"))
    rows.select([4, 5]).to_json(new("files/test.jsonl"))
    rows.select([1]).to_parquet(new("two/en/train.parquet"))
    rows.select([0]).to_parquet(new("two/zh/train.parquet"))
    new("two/README.md").write_text(
        "---\nconfigs:\n- {config_name: en, data_files: en/*}\n- {config_name: zh, data_files: zh/*}\n---\n"
    )
    return tmp_path


def new(path: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


# Names.


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:name", ("name", None, None)),
        ("hf:name:test", ("name", None, "test")),
        ("hf:org/name", ("org/name", None, None)),
        ("hf:org/name:test", ("org/name", None, "test")),
        ("hf:org/name/config", ("org/name", "config", None)),
        ("hf:org/name/20231101.zh:train", ("org/name", "20231101.zh", "train")),
    ],
)
def test_two_parts_are_an_owner_and_a_data_set(source, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_hub(source) == HubName(*expected, is_folder=False)


def test_a_folder_that_is_there_comes_first(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    assert parse_hub("hf:two/en") == HubName("two/en", None, None, True)
    assert parse_hub("hf:two/fr") == HubName("two/fr", None, None, False)
    assert parse_hub("hf:./two/fr:a") == HubName("./two", "fr", "a", True)
    assert parse_hub("hf:~/saved:a") == HubName(f"{home}/saved", None, "a", True)
    assert parse_hub(f"hf:{home}/two") == HubName(f"{home}/two", None, None, True)
    (home / "odd:name").mkdir()
    assert parse_hub("hf:odd:name") == HubName("odd:name", None, None, True)
    assert parse_hub("hf:odd:name:test") == HubName("odd:name", None, "test", True)


@pytest.mark.parametrize("source", ["hf:", "hf::train", "hf:name:", "hf:a/b/c/d", "hf:a//b", "hf:a/", "hf:saved:"])
def test_what_is_no_name_is_refused(source, home):
    assert refusal(source, ConfigError).startswith(f"{source!r} names no data set; write hf:OWNER/DATASET, ")


# Folders.


def test_what_save_to_disk_wrote_is_read(home):
    expected = [Document(text, "hf:saved") for text in ("零", "one", "two", "three", "four", "five")]
    assert documents("hf:saved") == expected
    assert texts("hf:parts") == texts("hf:parts:train") == texts(f"hf:{home}/parts:train") == ["零", "one"]
    assert documents("hf:parts:test") == [Document("two", "hf:parts:test")]


def test_a_folder_of_files_is_read_by_split_and_config(home):
    assert texts("hf:files") == ["three"]
    assert texts("hf:files:test") == ["four", "five"]
    assert texts("hf:./two/zh") == ["零"]
    assert texts("hf:./two/en:train", "hf:parts:test") == ["one", "two"]


def test_a_folder_may_hold_compressed_files(write, home):
    datasets.Dataset.from_dict({"text": ["a"]}).to_json(new("packed/train.jsonl.gz"), compression="gzip")
    assert texts("hf:packed") == ["a"]


def test_a_name_that_holds_nothing_is_refused_with_what_there_is(home):
    message = refusal("hf:parts:tst", ConfigError)
    assert message == "hf:parts:tst: split='tst' is not known (did you mean 'test'?); choose from: test, train"
    assert refusal("hf:saved:test", ConfigError).endswith("one data set without splits; leave out :test")
    assert refusal("hf:./none/config", ConfigError) == "no data at 'hf:./none/config': there is no folder ./none/config"
    assert refusal("hf:files:nope").startswith("cannot read hf:files:nope: ")
    assert "nope" in refusal("hf:./two/nope") and "'en', 'zh'" in refusal("hf:./two/nope")
    assert "config 'missing' of ." in refusal("hf:./missing")
    (home / "empty").mkdir()
    assert refusal("hf:empty").startswith("cannot read hf:empty: ")
    assert refusal("hf:org/name").startswith("cannot read hf:org/name: ")


@pytest.mark.parametrize("source", ["hf:saved", "hf:parts:test", "hf:files", "hf:./two/en"])
def test_the_field_has_the_name_that_is_given(source, home):
    message = refusal(source, text_field="body")
    assert message.startswith(source) and "no \"body\" column, only 'id', 'text'; " in message
    assert refusal(source, text_field="id").startswith(f'{source}, row 1: "id" is a number, not a string')


def test_rows_without_text_are_named_or_left_out(home):
    datasets.Dataset.from_dict({"text": ["one", None, " ", "two"]}).save_to_disk("holes")
    assert refusal("hf:holes") == 'hf:holes, row 2: "text" is null, not a string'
    skipped = Skipped()
    assert texts("hf:holes", skipped=skipped) == ["one", "two"]
    assert skipped.count == 1


def test_a_file_that_breaks_off_is_named_or_left_out(home):
    datasets.Dataset.from_dict({"text": ["text"] * 10}).to_parquet(new("broken/train.parquet"))
    Path("broken/train.parquet").write_bytes(Path("broken/train.parquet").read_bytes()[:-20])
    assert refusal("hf:broken").startswith(("cannot read hf:broken: ", "hf:broken, row 1: cut short or damaged"))
    new("lines/train.jsonl").write_text('{"text": "one"}\n{"text"\n')
    assert refusal("hf:lines").startswith("hf:lines, row 1: cut short or damaged from here on (")
    assert "holds no text that can be read" in refusal("hf:lines", skipped=Skipped())


def test_nothing_is_said_but_the_one_line(home, capfd):
    """`datasets` logs what it raises."""
    new("lines/train.jsonl").write_text('{"text": "one"}\n{"text"\n')
    texts("hf:files", "hf:saved")
    refusal("hf:lines")
    assert capfd.readouterr() == ("", "")


def test_it_is_a_stream(home):
    """So the beginning is there before the end has been read; `datasets` takes 10 MB at a time."""
    line = '{"text": "' + "one " * 2500 + '"}\n'
    new("long/train.jsonl").write_text(line * 2000 + "no\n" + line)
    reader = read_documents(["hf:long"])
    assert next(reader).text == "one " * 2500
    skipped = Skipped()
    assert 1000 <= len(texts("hf:long", skipped=skipped)) <= 2000
    assert skipped.count == 1
