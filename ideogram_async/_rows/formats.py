"""Formats of lists, by the suffix of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ideogram_async._rows.json_rows import read_json, read_json_lines
from ideogram_async._rows.layout import Item, Layout
from ideogram_async._rows.options import ListOptions
from ideogram_async._rows.parser import Row, RowParser
from ideogram_async._rows.problems import RowError
from ideogram_async._rows.table import read_table
from ideogram_async._rows.text import read_prompts
from ideogram_async._rows.workbook import read_workbook

Reader = Callable[[Path, Layout], Iterator[tuple[int, Item]]]

FORMATS: Mapping[str, Reader] = {
    ".csv": read_table,
    ".tsv": read_table,
    ".txt": read_prompts,
    ".json": read_json,
    ".xlsx": read_workbook,
    ".xlsm": read_workbook,
}
"""Formats by suffix. Every other file is JSON lines."""

UNSUPPORTED = frozenset({".xls", ".xlsb", ".ods", ".numbers", ".parquet", ".feather", ".docx", ".pdf"})
TABLES = frozenset({".csv", ".tsv", ".xlsx", ".xlsm"})


def read_rows(path: Path, options: ListOptions, layout: Layout) -> Iterator[tuple[int, Row | RowError]]:
    """Yield the rows of a file and their faults, each with its line. Paths are relative to the folder of the file.

    Raises:
        ImportError: If the format needs an extra.
        OSError: If the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in UNSUPPORTED:
        yield 1, RowError(("", f"{suffix} files cannot be read; save as CSV UTF-8"))
        return

    parser = RowParser(options, path.parent, layout, is_text=suffix in TABLES)
    yield from parser.parse_all(FORMATS.get(suffix, read_json_lines)(path, layout))
