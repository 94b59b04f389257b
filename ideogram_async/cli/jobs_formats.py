"""Formats of jobs files: JSON lines, also from standard input, and CSV."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from ideogram_async.cli.catalog import fields_of, image_commands

ONE_OBJECT = "each line is one object, without enclosing brackets or separating commas"
STDIN = 0
STDIN_CHUNK = 65536
NOT_UTF8 = "is not UTF-8 text"


class RowError(Exception):
    """A row that cannot become a job; `problems` lists every fault, as `(field, rule)`."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems


def read_json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, object] | RowError]]:
    """Yield the lines of a file that are not empty, each with its number.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, parse_line(line)
                except RowError as error:
                    yield number, error


def parse_line(line: bytes) -> Mapping[str, object]:
    """Parse a line.

    Raises:
        RowError: If it is not a JSON object.
    """
    try:
        row: object = json.loads(line.decode("utf-8-sig").strip(), object_pairs_hook=_unique_names)
    except UnicodeDecodeError as error:
        raise RowError(("", f"{NOT_UTF8}: byte {error.start + 1}")) from None
    except json.JSONDecodeError as error:
        raise RowError(("", f"invalid JSON: {_json_fault(error)}")) from None
    except (RecursionError, ValueError) as error:
        raise RowError(("", f"invalid JSON: {error}")) from None

    if not isinstance(row, dict):
        hint = f"; {ONE_OBJECT}" if isinstance(row, list) else ""
        raise RowError(("", f"must be a JSON object, not {type(row).__name__}{hint}"))

    return row


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise RowError((next(name for name in names if names.count(name) > 1), "appears twice"))

    return row


def _json_fault(error: json.JSONDecodeError) -> str:
    if error.doc.startswith("[") or error.doc[error.pos :].strip() in (",", "]"):
        return ONE_OBJECT

    is_truncated = error.pos >= len(error.doc)
    return f"{error.msg} at column {error.colno}{'; an object must be on one line' if is_truncated else ''}"


async def read_stdin() -> AsyncIterator[bytes]:
    """Yield the lines of standard input. A cancellation loses an incomplete line."""
    incomplete = b""
    while chunk := await _read_chunk():
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        for line in lines:
            yield line

    if incomplete:
        yield incomplete


async def _read_chunk() -> bytes:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(STDIN, ready.set)
    except PermissionError:
        # A regular file cannot be watched, and is always ready.
        return os.read(STDIN, STDIN_CHUNK)

    try:
        await ready.wait()
    finally:
        loop.remove_reader(STDIN)

    return os.read(STDIN, STDIN_CHUNK)


def read_csv(path: Path) -> Iterator[tuple[int, Mapping[str, object] | RowError]]:
    """Yield the rows of a table that are not empty, each with the number of its first line.

    Raises:
        OSError: If the file cannot be read.
    """
    # The csv module limits a cell to 128 KiB, far longer than any prompt.
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
        header: list[str] = []
        for line, cells in _csv_rows(file):
            if isinstance(cells, RowError):
                yield line, cells
            elif header:
                yield line, _parse_row(header, cells)
            else:
                header = [name.strip() for name in cells]
                if faults := list(_header_faults(header)):
                    yield line, RowError(*faults)
                    return


def _csv_rows(file: Iterable[str]) -> Iterator[tuple[int, list[str] | RowError]]:
    rows = csv.reader(file, strict=True)
    while True:
        # A cell may contain line breaks: the number is that of the row's first line.
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            is_open = rows.line_num > line or "unexpected end" in str(error)
            yield line, RowError(("", "invalid CSV: " + ("a quote is not closed" if is_open else str(error))))
            return

        if cells is None:
            return

        if any(cells):
            yield line, cells


def _parse_row(header: Sequence[str], cells: Sequence[str]) -> Mapping[str, object] | RowError:
    if not _is_utf8(cells):
        return RowError(("", NOT_UTF8))

    if len(cells) > len(header):
        return RowError(("", f"has {len(cells)} cells, but the header has {len(header)}"))

    row = {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}
    return RowError(("", f"has {row['']!r} in a column without a name")) if "" in row else row


def _header_faults(header: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not _is_utf8(header):
        yield "", NOT_UTF8
        return

    columns = _columns()
    if not set(header) & set(columns):
        hint = "; cells are separated by commas" if len(header) == 1 else ""
        yield "", f"must be a header with the column operation and the names of fields, not {','.join(header)!r}{hint}"
        return

    if "operation" not in header:
        yield "", f'no "operation" column; found: {", ".join(filter(None, header))}'

    for index, name in enumerate(header):
        if name and name in header[:index]:
            yield name, "appears twice"
        elif name and name not in columns:
            matches = get_close_matches(name, columns, 1)
            yield "", f'unknown column "{name}"' + (f'; did you mean "{matches[0]}"?' if matches else "")


def _is_utf8(cells: Sequence[str]) -> bool:
    return not any("\udc80" <= character <= "\udcff" for cell in cells for character in cell)


@cache
def _columns() -> tuple[str, ...]:
    fields = {name for command in image_commands().values() for name in fields_of(command.request)}
    return ("operation", "id", *sorted(fields))
