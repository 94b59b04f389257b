"""The journal as others may read it: no lock, no write, some pages at a time, whoever is at work in the folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ideogram_async.batch import rows
from ideogram_async.batch.office import HIDDEN
from ideogram_async.batch.rows import Entry
from ideogram_async.batch.schema import APPLICATION_ID, MIGRATIONS
from ideogram_async.errors.batch import JournalError

__all__ = ["entries", "journal_of", "look"]

T = TypeVar("T")
PAGE = 500
"""Jobs that are read at a time. Between two pages nothing is held open, so that a slow reader hinders no writer."""


def journal_of(folder: Path) -> Path:
    """Return where a folder's journal lies.

    Raises:
        JournalError: If it has none.
    """
    path = folder / HIDDEN / "journal.sqlite3"
    if not path.is_file():
        raise JournalError(f"{folder} is no folder of a batch: {path} is not there")

    return path


def look(folder: Path, step: Callable[[sqlite3.Connection], T]) -> T:
    """Read something from a folder's journal, in one consistent view.

    Raises:
        JournalError: If it is not there, damaged, not ours, or holds what no journal holds.
    """
    path = journal_of(folder)
    try:
        with closing(_opened(path)) as database:
            _check(database, path)
            database.execute("BEGIN")
            return step(database)
    except (sqlite3.DatabaseError, ArithmeticError, ValueError) as error:
        raise JournalError(f"{path} is damaged, or no journal: {error}") from None


def entries(folder: Path) -> Iterator[Entry]:
    """Go over a folder's jobs with their images, in the order in which they came.

    Raises:
        JournalError: If the journal cannot be trusted.
    """
    last = -1
    while page := look(folder, lambda database, after=last: rows.page(database, after, PAGE)):  # type: ignore[misc]
        for entry in page:
            _check_paths(entry)
            yield entry

        last = page[-1].job.number


def _opened(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    try:
        return _connected(f"{uri}?mode=ro")
    except sqlite3.OperationalError:
        # In a folder that cannot be written the log cannot even be looked at; without one, nothing can be missed.
        if path.with_name(f"{path.name}-wal").exists():
            raise

        return _connected(f"{uri}?mode=ro&immutable=1")


def _connected(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        database.close()
        raise

    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        raise JournalError(f"{path} is a database of another program")

    if version != len(MIGRATIONS):
        age = "a newer" if version > len(MIGRATIONS) else "an older"
        raise JournalError(f"{path} was written by {age} version of ideogram_async ({version}, not {len(MIGRATIONS)})")


def _check_paths(entry: Entry) -> None:
    for image in entry.images:
        path = PurePosixPath(image.path or "")
        if path.is_absolute() or ".." in path.parts or "\0" in str(path):
            raise JournalError(f"image {image.number} of job {entry.job.key} lies outside of the folder: {path}")
