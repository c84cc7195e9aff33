"""A new folder is there whole or not at all, and what was left unfinished is removed, but nobody else's."""

import pytest

from common.errors import UserError
from common.files import Digest, digest, new_folder


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in (".x.unfinished-1", ".x.backup", ".y.unfinished-1", ".x.y.unfinished-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    with new_folder(tmp_path / "x") as folder:
        (folder / "file").write_text("")
        assert not (tmp_path / ".x.unfinished-1").exists() and not (tmp_path / "x").exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"x", ".x.backup", ".y.unfinished-1", ".x.y.unfinished-1"}
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["file"]


def test_the_folder_of_a_living_process_stays(tmp_path):
    with pytest.raises(UserError, match="x cannot be written"), new_folder(tmp_path / "x") as first:
        (first / "file").write_text("first")
        with new_folder(tmp_path / "x") as second:
            (second / "file").write_text("second")
            assert first != second and (first / "file").read_text() == "first"
    assert (tmp_path / "x" / "file").read_text() == "second"  # it was the first to be whole
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a" / "b" / "c") as folder:
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert not any(tmp_path.iterdir())


def test_parts_that_come_one_by_one_have_the_same_digest():
    parts = Digest("a")
    for part in (b"bc", "你"):
        parts.add(part)
    assert parts.hex == digest("a", "bc", "你".encode()) != digest("ab", "c", "你")
