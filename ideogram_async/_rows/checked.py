"""Rows that were checked before the first one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ideogram_async._rows.columns import to_problems
from ideogram_async._rows.formats import read_rows
from ideogram_async._rows.layout import Layout
from ideogram_async._rows.options import ListOptions
from ideogram_async._rows.parser import Row, RowParser
from ideogram_async._rows.problems import RowError, group_problems, list_items
from ideogram_async.errors import InvalidRequestError

ParsedRows: TypeAlias = Iterable[tuple[int, Row | RowError]]


def rows_of(rows: Iterable[Mapping[str, object]], options: ListOptions) -> Iterator[Row]:
    """Return the rows of an iterable. A sequence is checked completely before the first one.

    Raises:
        InvalidRequestError: If the options or rows are invalid.
    """
    _check_options(options)
    return _check_first(
        lambda: RowParser(options, Path(), Layout(), is_text=True).parse_all(enumerate(rows)),
        "rows",
        can_repeat=isinstance(rows, Sequence),
    )


def rows_of_file(path: Path, options: ListOptions) -> Iterator[Row]:
    """Return the rows of a file. One that can be read twice is checked completely before the first one.

    Raises:
        ImportError: If the format needs an extra.
        InvalidRequestError: If the options or rows are invalid.
        OSError: If the file cannot be read.
    """
    _check_options(options)
    is_stream = path.exists() and not path.is_file()
    return _check_first(lambda: read_rows(path, options, Layout()), str(path), can_repeat=not is_stream)


def _check_options(options: ListOptions) -> None:
    if problems := options.problems():
        raise InvalidRequestError(problems, subject="options")


def _check_first(read: Callable[[], ParsedRows], name: str, *, can_repeat: bool) -> Iterator[Row]:
    if can_repeat and (faults := list(_faults_of(read()))):
        raise _error(faults, name)

    for line, row in read():
        if faults := list(_faults_of([(line, row)])):
            raise _error(faults, name)

        if isinstance(row, Row):
            yield row


def _faults_of(rows: ParsedRows) -> Iterator[tuple[int, RowError]]:
    lines: dict[str, int] = {}
    for line, row in rows:
        if isinstance(row, RowError):
            yield line, row
            continue

        problems = row.request.problems()
        if row.id is not None and lines.setdefault(row.id, line) != line:
            problems.append(("id", f"{row.id!r} is already used by an earlier job"))

        if problems:
            yield line, RowError(*problems)


def _error(faults: Iterable[tuple[int, RowError]], name: str) -> InvalidRequestError:
    groups = group_problems(to_problems(faults))
    singular, plural = ("row", "rows") if name == "rows" else ("line", "lines")
    return InvalidRequestError(
        [
            (f"{plural if len(lines) > 1 else singular} {list_items(lines)}", f"{field} {rule}".strip())
            for (field, rule), lines in groups.items()
        ],
        subject=name,
    )
