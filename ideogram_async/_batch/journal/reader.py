"""The journal as others may read it: no write, some pages at a time, whoever is at work in the folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import attrs

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.lock import is_taken
from ideogram_async._batch.journal.queries import Entry, JobRow, Sum
from ideogram_async._batch.journal.schema import APPLICATION_ID, HIDDEN, MIGRATIONS
from ideogram_async.errors import JournalError

T = TypeVar("T")

Known = TypeVar("Known", JobRow, Sum)

PAGE = 500

"""Jobs that are read at a time. Between two pages nothing is held open, so that a slow reader hinders no writer."""


def journal_of(folder: Path) -> Path:
    """Return where a folder's journal lies.

    Raises:
        JournalError: If it has none.
    """
    path = folder / HIDDEN / "journal.sqlite3"
    if path.is_file():
        return path

    what = "is not there" if not folder.exists() else f"has no {HIDDEN}/{path.name}" if folder.is_dir() else "is a file"
    error = JournalError(f"{folder} is no folder of a batch: it {what}")
    error.advice = "Name the folder that a batch was run into."
    raise error


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
    while page := _page(folder, last):
        for entry in page:
            _check_paths(entry)
            yield entry

        last = page[-1].job.number


def entry_of(folder: Path, key: str) -> Entry | None:
    """Return the job of that key with its images, if the journal knows it.

    Raises:
        JournalError: If the journal cannot be trusted.
    """

    def step(database: sqlite3.Connection) -> Entry | None:
        job = queries.find(database, key=key)
        return None if job is None else Entry(job, queries.images_of(database, key))

    return look(folder, step)


def sums(folder: Path) -> tuple[list[Sum], dict[ImageState, int]]:
    """Count jobs by state, price and resends, and images by state.

    Raises:
        JournalError: If the journal cannot be trusted.
    """
    groups, images = look(folder, queries.sums)
    if _has_lost_its_sender(folder, groups):
        groups, images = look(folder, queries.sums)
        groups = [_doubtful(group) for group in groups]

    return groups, images


def _page(folder: Path, after: int) -> list[Entry]:
    step = partial(queries.page, after=after, size=PAGE)
    page = look(folder, step)
    if not _has_lost_its_sender(folder, [entry.job for entry in page]):
        return page

    return [attrs.evolve(entry, job=_doubtful(entry.job)) for entry in look(folder, step)]


def _has_lost_its_sender(folder: Path, found: Iterable[JobRow | Sum]) -> bool:
    """Say whether something is noted as on its way, and nobody is there to hear the answer.

    It has to be read once more then: whoever was there may have settled it before leaving.
    """
    is_sending = any(it.state is JobState.SENDING for it in found)
    return is_sending and not is_taken(folder / HIDDEN / "lock")


def _doubtful(it: Known) -> Known:
    return attrs.evolve(it, state=JobState.AMBIGUOUS) if it.state is JobState.SENDING else it


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
