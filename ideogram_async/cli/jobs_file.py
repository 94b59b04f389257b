"""Jobs files: JSON lines, or a table with a header. Read lazily; every fault has its line."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from ideogram_async._batch.job import Job
from ideogram_async.cli.catalog import Field, Named, fields_of, makers
from ideogram_async.cli.jobs_formats import RowError, lines_of_stdin, objects_in, parsed, rows_in
from ideogram_async.cli.values import from_json, from_text

Read = Callable[[Field, Any, Path], Any]


def job_of(row: Mapping[str, Any], folder: Path, read: Read) -> Job:
    """Make the job that a row describes.

    Args:
        row: `operation`, an `id` if it has one, and the fields of the request.
        folder: What paths are relative to.
        read: Reads the value of a field: `from_json` or `from_text`.

    Raises:
        RowError: If that cannot be done. The rules of the service are judged later.
    """
    named = _operation(row.get("operation"))
    fields = {name: value for name, value in row.items() if name not in ("operation", "id") and value is not None}
    problems = [*_id_problems(row.get("id")), *_name_problems(named, fields)]
    if problems:
        raise RowError(*problems)

    given, problems = _values(named, fields, folder, read)
    if problems:
        raise RowError(*problems)

    request = named.request(**given)
    # What has a wrong type cannot even be counted or priced.
    if wrong := request.problems(validate=False):
        raise RowError(*wrong)

    return Job(request, id=row.get("id"))


def _operation(given: Any) -> Named:
    known = _makers()
    if given is None:
        raise RowError(("operation", f"is missing; there are {', '.join(known)}"))

    name = str(given).strip().lower().replace("_", "-")
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise RowError(("operation", f"{given!r} is none that makes images; {hint}"))

    return known[name]


def _id_problems(id: Any) -> Iterator[tuple[str, str]]:
    if id is not None and not isinstance(id, str):
        yield "id", f"must be a string, not {type(id).__name__}"
    elif id is not None and not id.strip():
        yield "id", "must not be empty; without an id the content names the job"


def _name_problems(named: Named, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    known = fields_of(named.request)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            yield name, f"is no field of {named.name}" + (f"; did you mean {near[0]!r}?" if near else "")

    for name, field in known.items():
        if field.default is attrs.NOTHING and name not in given:
            yield name, f"is missing; {named.name} needs it"


def _values(
    named: Named, given: Mapping[str, Any], folder: Path, read: Read
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    known = fields_of(named.request)
    values: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for name, value in given.items():
        try:
            values[name] = read(known[name], value, folder)
        except ValueError as error:
            problems.append((name, str(error)))

    return values, problems


@cache
def _makers() -> dict[str, Named]:
    return makers()


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
