"""The formats of files that hold text: from the name of a file to its texts, one at a time."""

import csv
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from common.errors import UserError
from common.packages import import_package
from data.document import check_characters
from data.files import COMPRESSIONS, bare_name, endings, guarded, open_binary, reason, through
from data.lines import check_utf8, read_lines
from data.skipped import STOP, Report

Rows = Iterator[tuple[int, Sequence[Any]]]  # what stands in the fields of a line or row, with its number, from 1

MAX_CSV_FIELD = 1 << 24  # characters; a quote that is never closed swallows no more
PARQUET_ROWS = 64  # decoded at a time


class Format(NamedTuple):
    read: Callable[[str, Sequence[str], Report], Rows]  # (file, fields, report)
    unit: str  # what is numbered
    has_fields: bool = True  # whether a row has several
    packed: bool = True  # whether it is read out of compressed files


def read_rows(name: str, fields: Sequence[str], report: Report) -> tuple[Rows, str]:
    """The numbered rows of a file in the format that its ending tells, text where it tells none; and what to call a row.

    That is what stands before its number in a message, such as `a.csv, line`.

    Raises:
        UserError: the file, or its rest, cannot be read; by `report`, if it stops, a line or row. The message names it.
        MissingPackage: a package is needed to read it.
    """
    form, packed = endings(name)
    read, unit, _, may_be_packed = FORMATS.get(form, FORMATS[".txt"])
    if packed and not may_be_packed:
        tool = COMPRESSIONS[packed].command
        raise UserError(f"{name}: {form} is not read out of {packed}; unpack it first, with {tool} -d")
    return read(name, fields, report), f"{name}, {unit}"


def check_texts(values: Iterable[tuple[int, Any]], field: str, place: str, report: Report) -> Iterator[str]:
    """Those of the numbered values that are texts and hold more than white space; the others are reported."""
    for number, value in values:
        try:
            check_text(value, field)
        except UserError as error:
            report(UserError(f"{place} {number}: {error}"))
        else:
            if value.strip():
                yield value


def kind_of(value: Any) -> str:
    """What a value from a file is, in JSON's words."""
    kinds = {type(None): "null", bool: "a truth value", int: "a number", float: "a number", str: "a string"}
    kinds |= {list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)


def check_text(value: Any, field: str) -> str:
    """What a field holds, if it is a text.

    Raises:
        UserError: it is none.
    """
    if not isinstance(value, str):
        raise UserError(f'"{field}" is {kind_of(value)}, not a string')
    check_characters(value)
    return value


class MissingField(UserError):
    """A row, or a table, lacks a field."""

    def __init__(self, message: str, field: str):
        super().__init__(message)
        self.field = field


def naming(report: Report, settings: Mapping[str, str]) -> Report:
    """`report`, told besides which setting names a field that is missing, of these fields."""

    def add(error: UserError) -> None:
        if isinstance(error, MissingField):
            setting = settings[error.field]
            other = f"--config.data.{setting}=NAME (of evaluate.py: --{setting} NAME)"
            error = UserError(f"{error}, or name another field: {other}")
        report(error)

    return add


def require_columns(place: str, fields: Sequence[str], names: Collection[str]) -> None:
    """Raises UserError where a table, of columns with these names, lacks one of the fields."""
    for field in fields:
        if field not in names:
            raise MissingField(f'{place}: no "{field}" column, only {name_some(names)}; rename one', field)


def name_some(names: Iterable[str]) -> str:
    """The first of the names that there are."""
    names = [repr(name)[:40] for name in names]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") or "none"


def _read_text(name: str, fields: Sequence[str], report: Report) -> Rows:
    """What stands between blank lines, or the whole file where there is none."""
    numbered = enumerate(read_lines(name), 1)
    for is_blank, group in itertools.groupby(numbered, lambda line: line[1].isspace()):
        if not is_blank:
            numbers, lines = zip(*group, strict=True)
            text = "".join(lines).strip("\n")
            try:
                check_utf8(name, numbers[0], text)
            except UserError as error:
                report(error)
            else:
                yield numbers[0], [text]


def read_jsonl(name: str, fields: Sequence[str], report: Report = STOP.add) -> Rows:
    """What stands in these fields of the objects on each line.

    Raises:
        UserError: by `report`, if it stops: a line is none, or lacks one; the message names it.
    """
    for number, line in enumerate(read_lines(name), 1):
        if line.isspace():
            continue
        try:
            check_utf8(name, number, line)
            record = json.loads(line.strip("\n"))
        except UserError as error:
            report(error)
        except (ValueError, RecursionError) as error:
            report(UserError(f"{name}, line {number}: not JSON ({getattr(error, 'msg', error)})"))
        else:
            lacking = [field for field in fields if not (isinstance(record, dict) and field in record)]
            if not lacking:
                yield number, [record[field] for field in fields]
                continue
            others = f", only {name_some(record)}" if isinstance(record, dict) else f", but {kind_of(record)}"
            message = f'no "{lacking[0]}" field{others}; each line must be {_shape(fields)}'
            report(MissingField(f"{name}, line {number}: {message}", lacking[0]))


def _shape(fields: Sequence[str]) -> str:
    """A row of JSONL with these fields."""
    return "{" + ", ".join(f'"{field}": …' for field in fields) + "}"


def _read_csv(name: str, fields: Sequence[str], report: Report) -> Rows:
    """Rows as in RFC 4180, the first with the columns' names; a row is numbered by the line that it begins in."""
    rows = _csv_rows(name)
    first, header = next(rows, (1, fields))
    if isinstance(header, UserError):
        raise header
    check_utf8(name, first, ",".join(header))
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0] and fields[0] not in header:
            raise UserError(f"{name}, line {first}: {called} stand between the columns; save it as CSV with commas")
    require_columns(f"{name}, line {first}", fields, header)
    for number, row in rows:
        try:
            if isinstance(row, UserError):
                raise row
            check_utf8(name, number, ",".join(row))
            if len(row) != len(header):
                raise _not_csv(name, number, f"{len(row)} fields where the header has {len(header)}")
        except UserError as error:
            report(error)
        else:
            yield number, [row[header.index(field)] for field in fields]


def _csv_rows(name: str) -> Iterator[tuple[int, list[str] | UserError]]:
    """The rows that are not empty, or the error in place of one, each with the line that it begins in."""
    csv.field_size_limit(MAX_CSV_FIELD)
    rows = csv.reader(read_lines(name, newline=""), strict=True)
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield number, _not_csv(name, number, str(error))
            continue
        if row is None:
            return
        if row:
            yield number, row


def _not_csv(name: str, number: int, why: str) -> UserError:
    remedy = 'a text with commas, quotes or line ends stands in quotes, and those in it are doubled: ""'
    return UserError(f"{name}, line {number}: not CSV ({why}); {remedy}")


def _read_parquet(name: str, fields: Sequence[str], report: Report) -> Rows:
    parquet = import_package("pyarrow.parquet", name)
    with open_binary(name) as file:
        try:
            table = parquet.ParquetFile(file)
        except Exception as error:  # pyarrow raises errors of many kinds
            raise UserError(f"{name} is damaged or not Parquet ({reason(error)}); fetch it again") from error
        require_columns(name, fields, table.schema_arrow.names)
        rows = (
            row
            for group in range(table.num_row_groups)  # all of them at once would all be held in memory
            for batch in table.iter_batches(batch_size=PARQUET_ROWS, row_groups=[group], columns=list(fields))
            for row in zip(*(batch.column(field) for field in fields), strict=True)
        )
        for number, row in enumerate(guarded(rows, f"{name}, row"), 1):
            try:
                values = [value.as_py() for value in row]
            except UnicodeDecodeError as error:
                report(UserError(f"{name}, row {number}: not UTF-8 (byte 0x{error.object[error.start]:02x})"))
            else:
                yield number, values


def _refuse_json(name: str, fields: Sequence[str], report: Report) -> Rows:
    form, packed = endings(name)
    old = bare_name(name)
    convert = through(name, "jq -c '.[]'", old[: len(old) - len(form + packed)] + ".jsonl")
    raise UserError(
        f"{name}: .json is not read, only JSONL, which has {_shape(fields)} on each line and ends in .jsonl; "
        f"a list of such objects is converted by: {convert}"
    )


FORMATS = {
    ".txt": Format(_read_text, "line", has_fields=False),
    ".md": Format(_read_text, "line", has_fields=False),
    ".jsonl": Format(read_jsonl, "line"),
    ".csv": Format(_read_csv, "line"),
    ".parquet": Format(_read_parquet, "row", packed=False),
    ".json": Format(_refuse_json, "line"),
}
IN_FOLDERS = tuple(ending for ending in FORMATS if ending != ".json")  # the others are read where they are named
TABLES = tuple(ending for ending in IN_FOLDERS if FORMATS[ending].has_fields)


def has_fields(name: str) -> bool:
    """Whether a file of this name has rows of several fields."""
    return FORMATS.get(endings(name)[0], FORMATS[".txt"]).has_fields


def is_text_file(name: str) -> bool:
    """Whether a file of this name is read where its folder is."""
    form, packed = endings(name)
    return form in IN_FOLDERS and (not packed or FORMATS[form].packed)
