"""Jobs files: JSON lines, or a table with a header. Read lazily; every fault has its line."""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from ideogram_async.batch.job import Job
from ideogram_async.cli.fields import from_json, from_text
from ideogram_async.cli.row import Read, RowError, job_of
from ideogram_async.cli.stdin import lines_of_stdin

__all__ = ["InvalidJobsError", "JobsFile", "Problem", "jobs_of_stdin"]


@frozen
class Problem:
    """A fault in a jobs file."""

    line: int
    field: str
    """Empty where the fault is the line's."""
    rule: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}{' ' if self.field else ''}{self.rule}"


class InvalidJobsError(Exception):
    """Jobs that cannot be done as they were given."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        super().__init__(f"{name}: {'; '.join(map(str, problems[:3]))}")
        self.name = name
        self.problems = problems


class JobsFile:
    """A file of jobs.

    Args:
        path: `.csv` is a table, everything else JSON lines. Paths in it are relative to its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = array("Q")
        """The line of each job that was read, in order."""

    def read(self, problems: list[Problem] | None = None) -> Iterator[Job]:
        """Go over the jobs; faulty rows are left out and noted.

        Args:
            problems: Where faults are noted. Without a list, the first one is raised.

        Raises:
            InvalidJobsError: At the first fault, if there is no list.
            OSError: If the file cannot be read.
        """
        self.lines = array("Q")
        is_table = self.path.suffix.lower() == ".csv"
        rows, read = (_table(self.path), from_text) if is_table else (_json_lines(self.path), from_json)
        for line, row in rows:
            try:
                job = _job(row, self.path.parent, read)
            except RowError as error:
                found = [Problem(line, field, rule) for field, rule in error.problems]
                if problems is None:
                    raise InvalidJobsError(str(self.path), found) from None

                problems += found
            else:
                self.lines.append(line)
                yield job


async def jobs_of_stdin() -> AsyncIterator[Job]:
    """Go over JSON lines as they come. Paths in them are relative to the working folder.

    Raises:
        InvalidJobsError: At the first fault.
    """
    number = 0
    async for raw in lines_of_stdin():
        number += 1
        if raw.strip():
            try:
                yield _job(_parsed(raw), Path(), from_json)
            except RowError as error:
                found = [Problem(number, field, rule) for field, rule in error.problems]
                raise InvalidJobsError("standard input", found) from None


def _job(row: dict[str, Any] | RowError, folder: Path, read: Read) -> Job:
    if isinstance(row, RowError):
        raise row

    return job_of(row, folder, read)


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    with path.open("rb") as opened:
        for number, raw in enumerate(opened, 1):
            if raw.strip():
                try:
                    yield number, _parsed(raw)
                except RowError as error:
                    yield number, error


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8-sig").rstrip(), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise RowError(("", f"is no UTF-8 text: byte {error.start + 1}")) from None
    except json.JSONDecodeError as error:
        raise RowError(("", f"is no JSON: {error.msg} at column {error.colno}")) from None
    except (RecursionError, ValueError) as error:
        raise RowError(("", f"is no JSON: {error}")) from None

    if not isinstance(row, dict):
        raise RowError(("", f"must be a JSON object, not {type(row).__name__}"))

    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError((twice, "is given twice"))

    return row


def _table(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    # The standard library reads cells of 128 KiB at most; a prompt stays far below.
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as opened:
        rows = csv.reader(opened, strict=True)
        header = [name.strip() for name in next(rows, [])]
        while True:
            try:
                cells = next(rows, None)
            except csv.Error as error:
                yield rows.line_num, RowError(("", f"is no CSV: {error}"))
                return

            if cells is None:
                return

            if any(cells):
                yield rows.line_num, _row(header, cells)


def _row(header: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    if len(cells) > len(header):
        return RowError(("", f"has {len(cells)} cells, and the header {len(header)}"))

    return {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}
