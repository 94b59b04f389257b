"""Tables: CSV in the dialects that spreadsheets write, and TSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from ideogram_async._rows.columns import known_columns, plain_name, unique_names
from ideogram_async._rows.exported import RESULT_COLUMNS, ExportedRows, is_exported
from ideogram_async._rows.layout import Header, Item, Layout
from ideogram_async._rows.problems import RowError
from ideogram_async._rows.text import open_text, read_lines, text_fault

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""First line that some spreadsheets write and read: the delimiter."""

MAX_HEADER_LINES = 100
WORKBOOK = "PK\x03\x04"
"""Start of a workbook, which is an archive."""

Cells: TypeAlias = list[str] | RowError


def read_table(path: Path, layout: Layout) -> Iterator[tuple[int, Item]]:
    """Yield the header and the rows of a table that are not blank, each with the number of its first line.

    Raises:
        OSError: If the file cannot be read.
    """
    with open_text(path, layout) as file:
        try:
            lines = read_lines(file)
            skipped, first, delimiter = _read_header(lines, is_tsv=path.suffix.lower() == ".tsv")
            layout.format = f"table, separated by {DELIMITERS.get(delimiter, repr(delimiter))}"
            rows = _split(chain(first, lines), delimiter)
            yield from parse_table(((line + skipped, cells) for line, cells in rows), layout)
        except RowError as error:
            yield 1, error


def parse_table(rows: Iterable[tuple[int, Cells]], layout: Layout) -> Iterator[tuple[int, Item]]:
    """Yield the header and the rows of a table, each with its line. The rows of an export are yielded as objects."""
    header: list[str] = []
    names: list[str] = []
    exported: ExportedRows | None = None
    for line, cells in rows:
        cells = _check_cells(cells, header)
        if isinstance(cells, RowError):
            yield line, cells
            if not header:
                return
        elif not header:
            header, names = cells, unique_names(cells)
            exported = ExportedRows(layout.chosen) if is_exported(names) else None
            if exported is None:
                yield line, Header(names)
            else:
                layout.skipped |= dict.fromkeys(name for name in names if plain_name(name) in RESULT_COLUMNS)
        elif exported is None:
            yield line, dict(zip(names, cells, strict=False))
        elif (item := _read_exported(exported, dict(zip(names, cells, strict=False)))) is not None:
            yield line, item


def _read_exported(rows: ExportedRows, cells: dict[str, str]) -> Item | None:
    try:
        return rows.read(cells)
    except ValueError as error:
        return RowError(("", str(error)))


def _check_cells(cells: Cells, header: Sequence[str]) -> Cells:
    """Return the cells of a row, or their fault."""
    if isinstance(cells, RowError):
        return cells

    if fault := text_fault("".join(cells)):
        return RowError(("", fault))

    if header and any(map(str.strip, cells[len(header) :])):
        hint = "; quote a cell that contains a separator, or name a list of prompts .txt" if len(header) == 1 else ""
        return RowError(("", f"has {len(cells)} cells, but the header has {len(header)}{hint}"))

    return RowError(("", "repeats the header")) if cells == header else cells


def _read_header(lines: Iterator[str], *, is_tsv: bool) -> tuple[int, list[str], str]:
    """Return the number of skipped lines, the lines of the header, and the delimiter."""
    first = next(lines, "")
    if first.startswith(WORKBOOK):
        raise RowError(("", "is an Excel workbook; name the file .xlsx"))

    if separator := SEPARATOR_LINE.fullmatch(first):
        return 1, [], separator[1]

    skipped = 0
    while first and not first.strip():
        first, skipped = next(lines, ""), skipped + 1

    header = [first]
    # A name may contain line breaks.
    while sum(line.count('"') for line in header) % 2 and len(header) < MAX_HEADER_LINES:
        if not (line := next(lines, "")):
            break

        header.append(line)

    return skipped, header, _delimiter_of(header, "\t" if is_tsv else ",")


def _delimiter_of(header: Sequence[str], usual: str) -> str:
    """Return the delimiter that gives the most known columns, then the most columns, then the usual one."""

    def score(delimiter: str) -> tuple[int, int, bool]:
        try:
            names = next(csv.reader(header, delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            names = []

        known = sum(plain_name(name) in known_columns(None) for name in names)
        return known, len(names), delimiter == usual

    return max(DELIMITERS, key=score)


def _split(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, Cells]]:
    # The csv module limits a cell to 128 KiB, far longer than any prompt. A quote after a space opens a cell: taken as
    # text, it would shift the cells of a row like `1, "a fox, red"`.
    rows = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        # A cell may contain line breaks: the number is that of the row's first line.
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            yield line, RowError(("", f"invalid CSV: {_reason(str(error), is_open=rows.line_num > line)}"))
            return
        except RowError as error:
            yield rows.line_num + 1, error
            return

        if cells is None:
            return

        if any(map(str.strip, cells)):
            yield line, cells


def _reason(message: str, *, is_open: bool) -> str:
    if is_open or "unexpected end" in message:
        return "a quote is not closed"

    if "field limit" in message or "field larger" in message:
        return "a cell is longer than 128 KiB"

    return f'{message}; a quote in a quoted cell is written ""' if "expected after" in message else message
