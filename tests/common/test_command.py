"""Bad usage of a command is one line and exit status 2."""

import pytest

from common.command import Parser
from common.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --size"),
        (["--size", "x"], "argument --size: invalid int value: 'x'"),
        (["--siz", "3", "--size", "3"], "unrecognized arguments: --siz 3"),
    ],
)
def test_bad_usage_is_one_line(arguments, message):
    parser = Parser(prog="it")
    parser.add_argument("--size", type=int, required=True)
    with pytest.raises(ConfigError, match=f"{message}; --help lists the flags") as caught:
        parser.parse_args(arguments)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("from-hf",), "the following arguments are required: SRC, DIR"),
        (("from-hf", "", "x"), "argument SRC: is empty"),
        (("to-hf", "x", " "), "argument DST: is empty"),
        (("to-hf", "x", "y", "--shard_size", "inf"), "argument --shard_size: inf is no size"),
        (("to-hf", "x", "y", "--shard_size", "1e300"), "argument --shard_size: 1e300 is no size"),
        (("to-hf", "x", "y", "--shard_size", "nan"), "argument --shard_size: nan is no size"),
        (("to-hf", "x", "y", "--shard_size", "0"), "argument --shard_size: 0 is no size"),
        (("to-hf", "x", "y", "--shard_size", "four"), "argument --shard_size: four is no size"),
    ],
)
def test_convert(arguments, message):
    import convert

    with pytest.raises(ConfigError) as caught:
        convert.parse(list(arguments))
    assert str(caught.value).startswith(message)


def test_a_command_ends_so(command):
    done = command("convert.py", "to-hf", "x", "y", "--shard_size", "inf")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    done = command("train.py", "--workdir")
    assert done.returncode == 2 and done.stderr == (
        "train.py: argument --workdir: expected one argument; one that begins with - is given as --FLAG=VALUE; "
        "--help lists the flags\n"
    )
