"""Data sets in Hugging Face's forms, by the package `datasets`: `hf:NAME[/CONFIG][:SPLIT]`.

NAME is one of
    a folder (`hf:my_data`, `hf:/home/me/data:test`): what `save_to_disk` wrote, or files as the Hub keeps them;
    a name on the Hub: `hf:OWNER/DATASET` or `hf:OWNER/DATASET/CONFIG`. Two parts are always an owner and a data set.

A folder that is there comes first, so `./` or `/` before the name is never needed, but for a CONFIG: `hf:./my_data/CONFIG`.
SPLIT is what follows the last colon; "train" where there is none.
"""

import logging
import os
from collections.abc import Sequence
from typing import NamedTuple

from common.errors import ConfigError, UserError, choose
from common.packages import import_package
from data.files import guarded, reason
from data.readers import Rows, require_columns

PREFIX = "hf:"
SAVED = ("state.json", "dataset_dict.json")  # one of them is in what save_to_disk wrote


class HubName(NamedTuple):
    name: str
    config: str | None
    split: str | None
    is_folder: bool


def parse_hub(source: str) -> HubName:
    """What `hf:…` names, by the rules above.

    Raises:
        ConfigError: it names nothing in this form, or a folder that is not there.
    """
    rest = os.path.expanduser(source.removeprefix(PREFIX))
    if os.path.isdir(rest):
        return HubName(rest, None, None, True)
    name, colon, split = rest.rpartition(":") if ":" in rest else (rest, "", "")
    parts = name.split("/")
    is_path = name.startswith((".", "/", "~"))
    if os.path.isdir(name) and split:
        return HubName(name, None, split, True)
    if not name or (colon and not split) or (not is_path and (len(parts) > 3 or not all(parts))):
        raise ConfigError(
            f"{source!r} names no data set; write hf:OWNER/DATASET, hf:OWNER/DATASET/CONFIG:SPLIT or hf:FOLDER"
        )
    if is_path:
        folder, _, config = name.rpartition("/")
        if not os.path.isdir(folder):
            raise ConfigError(f"no data at {source!r}: there is no folder {name}")
        return HubName(folder, config, split or None, True)
    return HubName("/".join(parts[:2]), "/".join(parts[2:]) or None, split or None, False)


def read_hub_rows(source: str, fields: Sequence[str]) -> Rows:
    """What stands in these fields of a data set, read as a stream, in order.

    Raises:
        ConfigError: no such split or data set.
        UserError: it, or the rest of it, cannot be read, or lacks a field.
        MissingPackage: `datasets` is not installed.
    """
    rows = _open(source)
    if rows.column_names is not None:
        require_columns(source, fields, rows.column_names)
        rows = rows.select_columns(list(fields))
    for number, row in enumerate(guarded(rows, f"{source}, row"), 1):
        require_columns(f"{source}, row {number}", fields, row)
        yield number, [row[field] for field in fields]


def _open(source: str):
    """A Dataset or an IterableDataset."""
    name, config, split, is_folder = parse_hub(source)
    datasets = import_package("datasets", source)
    logging.getLogger("datasets").setLevel(logging.CRITICAL)  # it raises what it logs
    try:
        if not (is_folder and any(os.path.exists(os.path.join(name, file)) for file in SAVED)):
            return datasets.load_dataset(name, config, split=split or "train", streaming=True)
        found = datasets.load_from_disk(name)
    except Exception as error:  # datasets raises errors of many kinds
        what = f"{source}, config {config!r} of {name}" if config else source
        raise UserError(f"cannot read {what}: {reason(error)}") from error
    if isinstance(found, datasets.DatasetDict):
        return choose(found, split or "train", f"{source}: split")
    if split not in (None, found.split):
        raise ConfigError(
            f"{source}: what is saved there is {found.split or 'one data set without splits'}; leave out :{split}"
        )
    return found
