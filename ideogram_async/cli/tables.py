"""CSV tables: a header with the names of fields, and a row a job."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from ideogram_async.cli.fields import fields_of
from ideogram_async.cli.operations import makers
from ideogram_async.cli.row import RowError

__all__ = ["rows_in"]

UNREADABLE = "is no UTF-8 text"


def rows_in(path: Path) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """Go over the rows of a table that are not empty, each with the line on which it begins.

    Raises:
        OSError: If it cannot be read.
    """
    # The standard library reads cells of 128 KiB at most; a prompt stays far below.
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as opened:
        header: list[str] = []
        for line, cells in _lines(opened):
            if isinstance(cells, RowError):
                yield line, cells
            elif header:
                yield line, _row(header, cells)
            else:
                header = [name.strip() for name in cells]
                if faults := list(_faults(header)):
                    yield line, RowError(*faults)
                    return


def _lines(opened: Any) -> Iterator[tuple[int, list[str] | RowError]]:
    rows = csv.reader(opened, strict=True)
    while True:
        # A cell may hold line breaks: a row is where it begins.
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            is_open = rows.line_num > line or "unexpected end" in str(error)
            yield line, RowError(("", "is no CSV: " + ("a quote is not closed" if is_open else str(error))))
            return

        if cells is None:
            return

        if any(cells):
            yield line, cells


def _row(header: Sequence[str], cells: Sequence[str]) -> dict[str, str] | RowError:
    if not _is_text(cells):
        return RowError(("", UNREADABLE))

    if len(cells) > len(header):
        return RowError(("", f"has {len(cells)} cells, and the header {len(header)}"))

    row = {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}
    return RowError(("", f"has {row['']!r} in a column without a name")) if "" in row else row


def _faults(header: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not _is_text(header):
        yield "", UNREADABLE
        return

    if not set(header) & set(_known()):
        hint = "; cells are separated by commas" if len(header) == 1 else ""
        yield "", f"must be a header with the column operation and the names of fields, not {','.join(header)!r}{hint}"
        return

    if "operation" not in header:
        yield "operation", f"is no column of the header, which has {', '.join(filter(None, header))}"

    for at, name in enumerate(header):
        if name and name in header[:at]:
            yield name, "is given twice"
        elif name and name not in _known():
            near = get_close_matches(name, _known(), 1)
            yield name, "is no field of any operation" + (f"; did you mean {near[0]!r}?" if near else "")


def _is_text(cells: Sequence[str]) -> bool:
    return not any("\udc80" <= sign <= "\udcff" for cell in cells for sign in cell)


@cache
def _known() -> tuple[str, ...]:
    fields = {name for named in makers().values() for name in fields_of(named.request)}
    return ("operation", "id", *sorted(fields))
