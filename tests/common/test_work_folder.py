"""A folder that outlives what ends its process, and is gone once the result is there."""

import pytest

from common.errors import ConfigError, UserError
from common.work_folder import leave_work, work_folder


def test_what_was_done_is_there_the_next_time_and_gone_once_all_is_done(tmp_path):
    with pytest.raises(ZeroDivisionError), work_folder(tmp_path / "a" / "x") as folder:
        (folder / "piece").write_text("done")
        raise ZeroDivisionError
    assert folder == tmp_path / "a" / ".x.preparing"
    with work_folder(tmp_path / "a" / "x") as folder:
        assert (folder / "piece").read_text() == "done"
        (tmp_path / "a" / "x").mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "x"]


def test_an_error_of_the_user_says_what_is_kept_and_stays_what_it_is(tmp_path):
    with pytest.raises(ConfigError) as caught, work_folder(tmp_path / "x") as folder:
        (folder / "piece").touch()
        raise ConfigError("too large; give less")
    assert str(caught.value) == f"too large; give less; what is done is kept for the next attempt, in {folder}"
    assert caught.value.status == 2 and (folder / "piece").exists()


def test_nothing_is_left_where_nothing_was_done(tmp_path):
    for error in (UserError("no data"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, work_folder(tmp_path / "a" / "x"):
            raise error
        assert caught.value is error and error.args in ((), ("no data",)) and not any(tmp_path.iterdir())


def test_what_a_signal_leaves_is_told(tmp_path):
    assert leave_work() == ""
    with work_folder(tmp_path / "x") as first, work_folder(tmp_path / "y") as second:
        (first / "piece").touch()
        assert leave_work() == f"; what is done is kept for the next attempt, in {first}"
        assert not second.exists()
        second.mkdir()


def test_two_processes_do_not_work_on_one_result(tmp_path):
    with work_folder(tmp_path / "x") as folder:
        (folder / "piece").touch()
        with (
            pytest.raises(UserError, match=r"another process is at work on .*x; wait for it"),
            work_folder(tmp_path / "x"),
        ):
            pass
        assert (folder / "piece").exists()


def test_what_is_there_already_is_not_written_over_and_needs_no_pieces(tmp_path):
    (tmp_path / ".x.preparing").mkdir()
    (tmp_path / ".x.preparing" / "piece").touch()
    (tmp_path / "x").write_text("a result")
    with pytest.raises(UserError, match=r"x is there already; give another folder, or move it away$"):  # noqa: SIM117
        with work_folder(tmp_path / "x"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/x cannot be written \(Not a directory\)"),
        work_folder(tmp_path / "file" / "x"),
    ):
        pass
