"""The flags of train.py that mean nothing beside others, or without them."""

import pytest

from common.errors import ConfigError
from training.flags import DEFAULT_MFU, parse

CONFIG = ("--config", "configs/tiny.py")


def test_what_is_given_and_what_is_not():
    flags, overrides = parse([*CONFIG, "--plan=8 x TPU v4", "--config.seed=1"], "")
    assert (flags.plan, flags.mfu, flags.workdir, overrides) == ("8 x TPU v4", DEFAULT_MFU, None, ["seed=1"])
    assert parse([*CONFIG, "--plan", "--mfu=0.5"], "")[0].mfu == 0.5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mfu=0.5"], "--mfu is for --plan"),
        (["--plan", "--profile"], "--profile traces a training, and --plan does not train"),
        (["--plan", "--mfu=2"], "--mfu=2.0 must be above 0"),
        (["--workdir="], "--workdir is empty"),
    ],
)
def test_flags_that_do_not_go_together(flags, message):
    with pytest.raises(ConfigError, match=message):
        parse([*CONFIG, *flags], "")
