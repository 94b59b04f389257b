"""JSON lines: an object a line, and what is wrong with one."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from ideogram_async.cli.catalog import fields_of, makers


class RowError(Exception):
    """A row cannot become a job; `problems` has every fault, as `(field, rule)`."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems


ALONE = "each line holds one object, without brackets around them or commas between"


def objects_in(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Go over the lines of a file that are not empty, each with its number.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as opened:
        for number, raw in enumerate(opened, 1):
            if raw.strip():
                try:
                    yield number, parsed(raw)
                except RowError as error:
                    yield number, error


def parsed(raw: bytes) -> dict[str, Any]:
    """Read a line.

    Raises:
        RowError: If it is no JSON object.
    """
    try:
        text = raw.decode("utf-8-sig").strip()
        row = json.loads(text, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise RowError(("", f"is no UTF-8 text: byte {error.start + 1}")) from None
    except json.JSONDecodeError as error:
        raise RowError(("", f"is no JSON: {_fault(error)}")) from None
    except (RecursionError, ValueError) as error:
        raise RowError(("", f"is no JSON: {error}")) from None

    if not isinstance(row, dict):
        hint = f"; {ALONE}" if isinstance(row, list) else ""
        raise RowError(("", f"must be a JSON object, not {type(row).__name__}{hint}"))

    return row


def _fault(error: json.JSONDecodeError) -> str:
    if error.doc.startswith("[") or error.doc[error.pos :].strip() in (",", "]"):
        return ALONE

    is_cut = error.pos >= len(error.doc)
    return f"{error.msg} at column {error.colno}{'; an object stands on one line' if is_cut else ''}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError((twice, "is given twice"))

    return row


STDIN = 0

CHUNK = 65536


async def lines_of_stdin() -> AsyncIterator[bytes]:
    """Go over the lines. A cancellation loses what was read of a line that is not whole."""
    rest = b""
    while chunk := await _read():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line

    if rest:
        yield rest


async def _read() -> bytes:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(STDIN, ready.set)
    except PermissionError:
        # A regular file: it cannot be watched, and never lets anyone wait.
        return os.read(STDIN, CHUNK)

    try:
        await ready.wait()
    finally:
        loop.remove_reader(STDIN)

    return os.read(STDIN, CHUNK)


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
