"""A config file and changes from the command line, as plain nested dicts of settings."""

import ast
import difflib
import math
import os
import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from common.configs import CONFIGS, flatten
from common.errors import ConfigError, UserError, nearest
from common.files import read_json
from training.config import Settings, fill_in_defaults


def load_settings(path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """The settings of a config file, with `overrides` ("section.key=value") put in.

    Raises:
        ConfigError: the file is missing, raises, or returns something else; an override names no key.
    """
    settings = _run_config_file(Path(os.path.expanduser(path)))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--config.{override} has no value; write --config.{key}=VALUE")
        flat = flatten(settings)
        if key not in flat:
            inside = [name for name in flat if name.startswith(f"{key}.")]
            if inside:
                raise ConfigError(f"--config.{key} is a section; set one of its keys: {', '.join(inside)}")
            raise ConfigError(f"--config.{key} is not a key{nearest(key, flat)}; configs/base.py lists them all")
        *sections, name = key.split(".")
        section = settings
        for part in sections:
            section = section[part]
        section[name] = _parse(text, flat[key])
    return settings


def chosen_keys(settings: Settings, overrides: Sequence[str]) -> set[str]:
    """The dotted keys that were set: by `overrides`, or by a config file to something else than configs/base.py does."""
    base = flatten(load_settings(CONFIGS / "base.py"))
    changed = {key for key, value in flatten(settings).items() if key not in base or base[key] != value}
    return changed | {override.partition("=")[0] for override in overrides}


def _parse(text: str, old: Any) -> Any:
    """A Python literal (true, false, none, nan and inf in any case), or else the text itself, as where `old` is text."""
    words = {"true": True, "false": False, "none": None, "nan": math.nan, "inf": math.inf}
    if isinstance(old, str):
        return text
    try:
        return words[text.lower()] if text.lower() in words else ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval documents
        return text


def _run_config_file(path: Path) -> Settings:
    if path.name == "config.json":  # a run's own
        return _read_config_json(path)
    if path.suffix != ".py":
        raise ConfigError(f"--config: {str(path)!r} is not a Python file; try configs/base.py")
    try:
        source = path.read_bytes()
    except OSError as error:
        files = {file.stem: file for folder in (CONFIGS, path.parent) for file in folder.glob("*.py") if file != path}
        near = difflib.get_close_matches(path.stem, files, n=1)
        hint = (
            f"did you mean {files[near[0]]}?" if near else f"give a path from anywhere, such as {CONFIGS / 'base.py'}"
        )
        raise ConfigError(f"--config: cannot read {path.absolute()} ({error.strerror}); {hint}") from error
    module = {"__name__": f"config_{path.stem}", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module)
        if "get_config" not in module:
            raise ConfigError("there is no get_config() in it; start from configs/tiny.py")
        config = module["get_config"]()
        if not isinstance(config, ConfigDict):
            raise ConfigError(f"get_config() returned {type(config).__name__}, not an ml_collections.ConfigDict")
        return config.to_dict()
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        raise ConfigError(_explain(error, path)) from error


def _read_config_json(path: Path) -> Settings:
    """The settings of a run; those that came after it was begun have their defaults, as when it is resumed."""
    remedy = "give a run's config.json, or a Python file such as configs/base.py"
    try:
        settings = read_json(path, remedy)
    except UserError as error:
        raise ConfigError(f"--config: {error}") from error
    if "model_type" in settings:
        raise ConfigError(f"--config: {str(path)!r} is not the config.json of a run; {remedy}")
    return fill_in_defaults(settings)


def _explain(error: BaseException, path: Path) -> str:
    """Where a config file failed and why, without the listing of all keys that a locked ConfigDict gives."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    cause = error
    while isinstance(cause, LookupError | AttributeError) and cause.args:  # str() puts quotes around these
        cause = cause.args[0]
    message = re.sub(r' Other fields present: ".*"$', "", str(cause), flags=re.DOTALL | re.MULTILINE)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines, message = [error.lineno], error.msg
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    what = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"{where}: {what}{message}"
