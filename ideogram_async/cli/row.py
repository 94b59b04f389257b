"""A row of a jobs file becomes a job, or tells what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from ideogram_async.batch.job import Job
from ideogram_async.cli.fields import Field, fields_of
from ideogram_async.cli.operations import Named, makers

__all__ = ["Read", "RowError", "job_of"]

Read = Callable[[Field, Any, Path], Any]


class RowError(Exception):
    """A row cannot become a job; `problems` has every fault, as `(field, rule)`."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems


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
