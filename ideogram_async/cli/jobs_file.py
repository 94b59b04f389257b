"""Jobs files, read lazily. Each fault is reported with its line."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import attrs
from attrs import frozen

from ideogram_async import Job
from ideogram_async.cli.catalog import Command, build_request, fields_of, image_commands
from ideogram_async.cli.jobs_formats import RowError, parse_line, read_csv, read_json_lines, read_stdin
from ideogram_async.cli.values import parse_json, parse_text


@frozen
class Problem:
    """A fault in a jobs file."""

    line: int
    field: str
    """Empty if the fault concerns the whole line."""
    rule: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}{' ' if self.field else ''}{self.rule}"


class InvalidJobsError(Exception):
    """Invalid jobs in a file or on standard input."""

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
        self.lines: array[int] = array("Q")
        """The line of each job that was read, in order."""

    def read(self, problems: list[Problem] | None = None) -> Iterator[Job]:
        """Yield the jobs; faulty rows are skipped and reported.

        Args:
            problems: The list to which faults are added. Without it, the first one is raised.

        Raises:
            InvalidJobsError: At the first fault, if there is no list.
            OSError: If the file cannot be read.
        """
        self.lines = array("Q")
        is_table = self.path.suffix.lower() == ".csv"
        for line, row in read_csv(self.path) if is_table else read_json_lines(self.path):
            try:
                job = make_job(row, self.path.parent, is_text=is_table)
            except RowError as error:
                faults = [Problem(line, field, rule) for field, rule in error.problems]
                if problems is None:
                    raise InvalidJobsError(str(self.path), faults) from None

                problems += faults
            else:
                self.lines.append(line)
                yield job


async def read_stdin_jobs() -> AsyncIterator[Job]:
    """Yield the jobs of standard input, JSON lines, as they arrive. Paths are relative to the working folder.

    Raises:
        InvalidJobsError: At the first fault.
    """
    number = 0
    async for line in read_stdin():
        number += 1
        if line.strip():
            try:
                yield make_job(parse_line(line), Path(), is_text=False)
            except RowError as error:
                faults = [Problem(number, field, rule) for field, rule in error.problems]
                raise InvalidJobsError("standard input", faults) from None


def make_job(row: Mapping[str, object] | RowError, folder: Path, *, is_text: bool) -> Job:
    """Build the job that a row describes.

    Args:
        row: `operation`, an optional `id`, and the fields of the request.
        folder: The folder for relative paths.
        is_text: Whether the values are cells of a table.

    Raises:
        RowError: If it is invalid. The rules of the service are checked later.
    """
    if isinstance(row, RowError):
        raise row

    command = _find_command(row.get("operation"))
    name = row.get("id")
    fields = {name: value for name, value in row.items() if name not in ("operation", "id") and value is not None}
    if problems := [*_id_problems(name), *_name_problems(command, fields)]:
        raise RowError(*problems)

    request = build_request(command.request, _parse_values(command, fields, folder, is_text=is_text))
    # A value of the wrong type cannot be counted or priced.
    if type_errors := request.problems(validate=False):
        raise RowError(*type_errors)

    return Job(request, id=None if name is None else str(name))


def _find_command(value: object) -> Command:
    known = image_commands()
    if value is None:
        raise RowError(("operation", f"is missing; expected one of {', '.join(known)}"))

    name = str(value).strip().lower().replace("_", "-")
    if name not in known:
        matches = get_close_matches(name, known, 1)
        hint = f"did you mean {matches[0]!r}?" if matches else f"expected one of {', '.join(known)}"
        raise RowError(("operation", f"{value!r} is not an operation that makes images; {hint}"))

    return known[name]


def _id_problems(id: object) -> Iterator[tuple[str, str]]:
    if id is not None and not isinstance(id, str):
        yield "id", f"must be a string, not {type(id).__name__}"
    elif id is not None and not id.strip():
        yield "id", "must not be empty; omit it to name the job by its content"


def _name_problems(command: Command, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    fields = fields_of(command.request)
    for name in values:
        if name not in fields:
            matches = get_close_matches(name, fields, 1)
            yield name, f"is not a field of {command.name}" + (f"; did you mean {matches[0]!r}?" if matches else "")

    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in values:
            yield name, f"is missing; {command.name} requires it"


def _parse_values(command: Command, values: Mapping[str, object], folder: Path, *, is_text: bool) -> dict[str, object]:
    fields = fields_of(command.request)
    parsed: dict[str, object] = {}
    problems: list[tuple[str, str]] = []
    for name, value in values.items():
        try:
            parsed[name] = (
                parse_text(fields[name], str(value), folder) if is_text else parse_json(fields[name], value, folder)
            )
        except ValueError as error:
            problems.append((name, str(error)))

    if problems:
        raise RowError(*problems)

    return parsed
