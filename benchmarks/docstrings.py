"""Texts with summaries, as JSONL: the docstrings of Python's standard library, whose first line sums up the rest (PEP 257).

python -m benchmarks.docstrings [docstrings.jsonl]

The same version of Python gives the same file.
"""

import ast
import platform
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from common.files import write_rows

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
LEAST_WORDS = (3, 12)  # of a summary, and of a text


def docstrings(library: Path) -> Iterator[tuple[str, str]]:
    """The docstrings of all modules, classes and functions, with the file that each stands in."""
    for file in sorted(library.rglob("*.py")):
        name = file.relative_to(library)
        if LEFT_OUT.isdisjoint(name.parts):
            with warnings.catch_warnings(action="ignore"):  # of escapes that are none
                tree = ast.parse(file.read_bytes())
            for node in ast.walk(tree):
                if isinstance(node, DOCUMENTED) and (docstring := ast.get_docstring(node)):
                    yield name.as_posix(), docstring


def examples(library: Path) -> Iterator[dict[str, str]]:
    """Those of a line, a blank line and a text; each text once."""
    seen = set()
    for file, docstring in docstrings(library):
        summary, _, text = docstring.partition("\n\n")
        text = text.strip()
        sizes = len(summary.split()), len(text.split())
        whole = "\n" not in summary and all(size >= least for size, least in zip(sizes, LEAST_WORDS, strict=True))
        if whole and text not in seen:
            seen.add(text)
            yield {"text": text, "summary": summary.strip(), "file": file}


def main() -> int:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docstrings.jsonl")
    found = list(examples(Path(sysconfig.get_path("stdlib"))))
    write_rows(path, found)
    files = len({each["file"] for each in found})
    print(f"{path}: {len(found):,} texts with summaries, of {files:,} files of Python {platform.python_version()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
