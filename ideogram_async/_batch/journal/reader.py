"""Read-only access to a journal, in pages, while a batch may be writing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import meta, queries
from ideogram_async._batch.journal.counter import COUNTER, read_counter
from ideogram_async._batch.journal.lock import is_locked
from ideogram_async._batch.journal.opening import log_loss, loss_error, missing_journal, to_journal_error
from ideogram_async._batch.journal.rows import Entry, JobGroup, JobRow
from ideogram_async._batch.journal.schema import HIDDEN, MIGRATIONS, SCHEMA
from ideogram_async.errors import JournalError

T = TypeVar("T")
WithState = TypeVar("WithState", JobRow, JobGroup)
PAGE_SIZE = 500
"""Jobs read at a time. The database is closed between two pages, so a slow reader never blocks the writer."""


def find_journal(folder: Path) -> Path:
    """Return the path of a folder's journal.

    Raises:
        JournalError: If the folder has none.
    """
    path = folder / HIDDEN / "journal.sqlite3"
    if loss := missing_journal(path, read_counter(path.with_name(COUNTER))):
        raise loss_error(loss)

    if path.is_file():
        return path

    reason = "does not exist" if not folder.exists() else "is a file"
    error = JournalError(f"{folder} {f'has no {HIDDEN}/{path.name}' if folder.is_dir() else reason}")
    error.advice = "Name the folder of a batch."
    raise error


def read_snapshot(folder: Path, step: Callable[[sqlite3.Connection], T]) -> T:
    """Run a step that reads the journal of a folder, in one consistent view.

    Raises:
        JournalError: If the journal is missing, damaged, foreign, or contains invalid values.
    """
    path = find_journal(folder)
    try:
        with closing(_open(path)) as database:
            _check(database, path)
            database.execute("BEGIN")
            return step(database)
    except (sqlite3.Error, ValueError) as error:
        raise to_journal_error(path, error) from None


def warn_of_loss(folder: Path) -> None:
    """Log a warning if the journal of a folder has lost records.

    Raises:
        JournalError: If the journal cannot be trusted.
    """
    # Read first: a batch that is running writes it after the journal.
    count = read_counter(folder / HIDDEN / COUNTER)
    loss = count.loss(read_snapshot(folder, meta.read_sends), find_journal(folder))
    if loss:
        log_loss(loss)


def iter_jobs(folder: Path) -> Iterator[Entry]:
    """Yield the jobs of a folder with their images, in input order.

    Raises:
        JournalError: If the journal cannot be trusted.
    """
    number = -1
    while page := _read_page(folder, number):
        yield from page
        number = page[-1].job.number


def totals(folder: Path) -> tuple[list[JobGroup], dict[ImageState, int]]:
    """Count jobs by state, price and resends, and images by state.

    Raises:
        JournalError: If the journal cannot be trusted.
    """
    groups, images = read_snapshot(folder, queries.totals)
    if _is_orphaned(folder, groups):
        groups, images = read_snapshot(folder, queries.totals)
        groups = [_as_ambiguous(group) for group in groups]

    return groups, images


def _read_page(folder: Path, number: int) -> list[Entry]:
    step = partial(queries.entries_after, number=number, limit=PAGE_SIZE)
    page = read_snapshot(folder, step)
    if not _is_orphaned(folder, [entry.job for entry in page]):
        return page

    return [attrs.evolve(entry, job=_as_ambiguous(entry.job)) for entry in read_snapshot(folder, step)]


def _is_orphaned(folder: Path, rows: Iterable[JobRow | JobGroup]) -> bool:
    """Return whether a job is SENDING and no process holds the folder.

    The caller then reads again: the process may have finished the job between the read and this check.
    """
    is_sending = any(row.state is JobState.SENDING for row in rows)
    return is_sending and not is_locked(folder / HIDDEN / "lock")


def _as_ambiguous(row: WithState) -> WithState:
    return attrs.evolve(row, state=JobState.AMBIGUOUS) if row.state is JobState.SENDING else row


def _open(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    try:
        return _connect(f"{uri}?mode=ro")
    except sqlite3.OperationalError:
        # SQLite cannot read a WAL in a read-only folder. Without a WAL the database file is complete.
        if path.with_name(f"{path.name}-wal").exists():
            raise

        return _connect(f"{uri}?mode=ro&immutable=1")


def _connect(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        database.close()
        raise

    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    version = SCHEMA.check_version(database, path)
    if version != len(MIGRATIONS):
        age = f"an older version of ideogram_async ({version} < {len(MIGRATIONS)})"
        error = JournalError(f"{path} was written by {age}")
        error.advice = "Run the batch or `batch collect` once: that updates the journal."
        raise error
