"""Jobs files: JSON lines, or a table with a header. Read lazily; every fault has its line."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from ideogram_async.batch.job import Job
from ideogram_async.cli.jsonl import objects_in, parsed
from ideogram_async.cli.row import Read, RowError, job_of
from ideogram_async.cli.stdin import lines_of_stdin
from ideogram_async.cli.tables import rows_in
from ideogram_async.cli.values import from_json, from_text

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
        rows, read = (rows_in(self.path), from_text) if is_table else (objects_in(self.path), from_json)
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
                yield _job(parsed(raw), Path(), from_json)
            except RowError as error:
                found = [Problem(number, field, rule) for field, rule in error.problems]
                raise InvalidJobsError("standard input", found) from None


def _job(row: dict[str, Any] | RowError, folder: Path, read: Read) -> Job:
    if isinstance(row, RowError):
        raise row

    return job_of(row, folder, read)
