"""Texts as bytes in every form that is read, written by other libraries than read them where there are any."""

import csv
import gzip
import io
import json
from collections.abc import Sequence

import pyarrow
import pyarrow.parquet
import zstandard


def to_text(texts: Sequence[str]) -> bytes:
    return "\n\n".join(texts).encode()


def to_jsonl(texts: Sequence[str], field: str = "text") -> bytes:
    return "".join(json.dumps({"id": number, field: text}) + "\n" for number, text in enumerate(texts)).encode()


def to_csv(texts: Sequence[str], field: str = "text") -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["id", field], *enumerate(texts)])
    return file.getvalue().encode()


def to_parquet(texts: Sequence[str], field: str = "text", **options) -> bytes:
    file = io.BytesIO()
    table = pyarrow.table({"id": range(len(texts)), field: pyarrow.array(texts, pyarrow.string())})
    pyarrow.parquet.write_table(table, file, **options)
    return file.getvalue()


FORMS = {".txt": to_text, ".md": to_text, ".jsonl": to_jsonl, ".csv": to_csv, ".parquet": to_parquet}
PACKERS = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, 1, mtime=0),
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
READ = [(form, packed) for form in FORMS for packed in PACKERS if form != ".parquet" or not packed]


def pack(ending: str, content: bytes) -> bytes:
    return PACKERS[ending](content)
