"""metrics.jsonl after crashes and resumes; TensorBoard's files read by their own format; the picture."""

import json
import struct

import pytest

from common.errors import UserError
from training.metrics_writer import MetricsWriter, read_metrics
from training.plot import plot_losses


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def write(path, steps, resumed_at=0, tensorboard=False):
    writer = MetricsWriter(path, resumed_at, tensorboard, "")
    for step in steps:
        writer.write(step, "train", {"loss": 10.0 - step})
    writer.close()


def test_lines(path):
    writer = MetricsWriter(path, 0, False, "")
    writer.write(1, "train", {"loss": 2.5, "learning_rate": 0.1})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "split": "train", "loss": 2.5, "learning_rate": 0.1}
    ]  # at once, not when it is closed
    writer.write(1, "valid", {"loss": 3.5})
    writer.close()
    assert read_metrics(path)[1] == {"step": 1, "split": "valid", "loss": 3.5}
    assert read_metrics(path.parent / "nothing.jsonl") == []


@pytest.mark.parametrize("resumed_at, kept", [(3, [1, 2, 3]), (0, []), (9, [1, 2, 3, 4, 5])])
def test_lines_beyond_the_restored_step_are_dropped(path, resumed_at, kept):
    write(path, range(1, 6))
    write(path, [resumed_at + 1], resumed_at)
    assert [record["step"] for record in read_metrics(path)] == [*kept, resumed_at + 1]


@pytest.mark.parametrize("left", range(1, 40, 6))
def test_a_last_line_that_was_cut_off_is_dropped(path, left):
    """Wherever it was cut, even within a character; what is written next stands on a line of its own."""
    write(path, [1, 2])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 3, "split": "tr\xe4\xbd\xa0", "loss": 1.5}'[:left])
    assert [record["step"] for record in read_metrics(path)] == [1, 2]
    write(path, [3], resumed_at=2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


# TensorBoard


def crc32c(data):
    """Castagnoli's, bit by bit (RFC 3720)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_events(file):
    """Events of a TFRecord file: length, its checksum, data, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, at, events = file.read_bytes(), 0, []
    while at < len(data):
        (length, length_crc) = struct.unpack_from("<QI", data, at)
        assert length_crc == masked(data[at : at + 8])
        record = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length) == (masked(record),)
        events.append(Event.FromString(record))
        at += 16 + length
    return events


def scalars(events):
    return {
        (value.tag, event.step): value.simple_value
        for event in events
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def test_checksum_by_the_book():
    assert crc32c(b"123456789") == 0xE3069283


def test_tensorboard_events(path):
    writer = MetricsWriter(path, 0, True, "")
    writer.write(1, "train", {"loss": 2.5, "learning_rate": 0.25})
    writer.write(3, "valid", {"loss": 3.5, "bits_per_byte/builtin:chat": 4.5})
    writer.write_samples(3, ["en: a\nb", "你好"])
    writer.close()
    (file,) = path.parent.glob("events.out.tfevents.*")
    events = read_events(file)
    assert events[0].file_version == "brain.Event:2"
    assert scalars(events) == {
        ("train/loss", 1): 2.5,
        ("train/learning_rate", 1): 0.25,
        ("valid/loss", 3): 3.5,
        ("valid/bits_per_byte/builtin_chat", 3): 4.5,  # a colon is not allowed in a tag
    }
    texts = {
        value.tag: value.tensor.string_val[0].decode()
        for event in events
        for value in event.summary.value
        if value.tensor.string_val
    }
    assert {tag.split("/text_summary")[0]: text for tag, text in texts.items()} == {
        "sample/0": "    en: a\n    b",
        "sample/1": "    你好",
    }


def test_tensorboard_after_a_resume(path):
    """The new file tells TensorBoard to forget what the old one has beyond the restored step."""
    from tensorboardX.proto.event_pb2 import SessionLog

    write(path, range(1, 6), tensorboard=True)
    (old,) = path.parent.glob("events.*")
    old = old.rename(old.with_name("events.out.tfevents.0000000000.before"))
    write(path, [4, 5], resumed_at=3, tensorboard=True)
    (new,) = set(path.parent.glob("events.*")) - {old}
    events = read_events(new)
    starts = [event.step for event in events if event.session_log.status == SessionLog.START]
    assert starts == [4]
    assert scalars(events) == {("train/loss", 4): 6.0, ("train/loss", 5): 5.0}
    assert len(scalars(read_events(old))) == 5


def test_other_processes_write_nothing(path, monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    writer = MetricsWriter(path, 0, True, "")
    writer.write(1, "train", {"loss": 1.0})
    writer.write_samples(1, ["text"])
    writer.close()
    assert list(path.parent.iterdir()) == []


def test_wandb_that_is_not_installed(path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"training\.wandb_project is set; install it with: pip install wandb"):
        MetricsWriter(path, 0, False, "project")


def test_wandb(path, monkeypatch):
    """As its interface is documented: one run a folder, resumed by its id; of two folders of one name, two runs."""
    import sys
    import types

    calls = []
    run = types.SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finished")
    )
    fake = types.SimpleNamespace(init=lambda **options: calls.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)

    def begin(path):
        writer = MetricsWriter(path, 0, False, "project")
        writer.write(2, "valid", {"loss": 1.0})
        writer.close()
        options, *rest = calls
        assert rest == [(2, {"valid/loss": 1.0}), "finished"]
        calls.clear()
        name = options.pop("id")
        assert options == {"project": "project", "name": path.parent.name, "dir": path.parent, "resume": "allow"}
        return name

    other = path.parent / "elsewhere" / path.parent.name / path.name
    assert begin(path) == begin(path) != begin(other) == begin(other)


def test_infinity_is_written_as_json_has_it(path):
    """A perplexity that is too large for a number; also where an earlier line is kept."""
    for step in (0, 1):
        writer = MetricsWriter(path, step, False, "")
        writer.write(step + 1, "valid", {"loss": 800.0, "perplexity": float("inf")})
        writer.close()

    def refuse(constant):
        pytest.fail(constant)

    lines = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert lines == [{"step": step, "split": "valid", "loss": 800.0, "perplexity": None} for step in (1, 2)]


# The picture


@pytest.mark.parametrize("splits", [("train", "valid"), ("train",), ("valid",), ()])
def test_the_picture_is_a_png(path, splits):
    from matplotlib import image

    lines = [{"step": step, "split": split, "loss": 5 / step} for step in (1, 2, 3) for split in splits]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    picture = path.parent / "loss.png"
    plot_losses(path, picture, title="a run")
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = image.imread(picture)
    assert pixels.shape[:2] == (540, 960)

    def has(red, green, blue):
        return bool((abs(pixels[..., :3] * 255 - (red, green, blue)).max(-1) < 40).any())

    assert has(76, 146, 195) == ("train" in splits)
    assert has(255, 127, 14) == ("valid" in splits)
