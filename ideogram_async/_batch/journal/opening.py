"""Opening of a journal by the process that holds the folder's lock. A journal that lost records is never used silently.

A new journal is built under another name, and renamed once its counter exists. So a journal without a counter is not
one whose creation was interrupted, and a counter above zero without a journal is not either.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from ideogram_async._batch.journal import meta
from ideogram_async._batch.journal.counter import COUNTER, Count, create_counter, read_counter
from ideogram_async._batch.journal.schema import COUNTED_VERSION, SCHEMA
from ideogram_async._download.disk import sync_folder
from ideogram_async._store.connection import configure, connect, is_disk_full, problem_of
from ideogram_async.errors import JournalError

# The package's logger, without the modules of `_transport`: reading a folder loads no HTTP library.
logger = logging.getLogger("ideogram_async")

LOSS_ADVICE = (
    "Restore the folder from a backup. accept_loss=True (--accept-loss) continues with what is left: calls that are not"
    " recorded may be sent and billed again. A new folder sends, and pays for, all jobs."
)
MIN_DATABASE_BYTES = 512
"""SQLite treats a shorter file as a new database."""

SEEN = "CREATE TEMP TABLE seen (key TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT, WITHOUT ROWID"

OnLoss: TypeAlias = Literal["refuse", "accept", "warn"]
"""Treatment of a journal that lost records: refuse it, use what is left, or log a warning and permit no sending."""


def open_journal(path: Path, origin: str, on_loss: OnLoss = "refuse") -> sqlite3.Connection:
    """Open or create the journal of the service at that origin, and bring its counter up to date.

    Raises:
        JournalError: If the file is damaged, incomplete, foreign, of a newer version, or of another service. It was not
            changed.
        OSError: If a file cannot be created or the disk is full.
    """
    count = read_counter(path.with_name(COUNTER))
    if loss := missing_journal(path, count):
        _report(loss, "refuse" if on_loss == "warn" else on_loss)
        _set_aside(path)

    # A dangling link is not a missing journal: its disk may not be mounted.
    if not os.path.lexists(path):
        _create(path, origin, count.sends or 0)
        count = read_counter(path.with_name(COUNTER))

    # A connection that may write would change the files of a journal that is refused, at the latest when it is closed.
    # Only such a connection can roll back a transaction that was interrupted while there was no WAL.
    mode: Literal["ro", "rw"] = "rw" if os.path.lexists(f"{path}-journal") else "ro"
    with _translate_errors(path), closing(connect(path, mode)) as database:
        recorded, loss = _inspect(database, path, origin, count)

    if loss:
        _report(loss, on_loss)

    with _translate_errors(path):
        return _open(path, recorded, count, "refuse" if not loss else on_loss)


def to_journal_error(path: Path, error: Exception) -> JournalError:
    """Return the error of a journal that is damaged, or that the disk or another program refuses."""
    return JournalError(f"{path} {problem_of(error)}")


def missing_journal(path: Path, count: Count) -> str:
    """Return what shows that there was a journal, if there is none; otherwise an empty string."""
    if path.is_file():
        size = path.stat().st_size
        return f"{path} is damaged: its size is {size} bytes" if size < MIN_DATABASE_BYTES else ""

    if os.path.lexists(path):
        return ""

    has_counted = count.sends != 0 and os.path.lexists(path.with_name(COUNTER))
    is_lost = has_counted or os.path.lexists(f"{path}-wal")
    return f"{path} is missing, although the folder has been used" if is_lost else ""


def _report(loss: str, on_loss: OnLoss) -> None:
    if on_loss == "refuse":
        raise loss_error(loss)

    if on_loss == "accept":
        logger.warning("%s; calls that are not recorded may be billed again", loss)
    else:
        log_loss(loss)


def loss_error(loss: str) -> JournalError:
    """Return the error of a journal that has lost records."""
    error = JournalError(loss)
    error.advice = LOSS_ADVICE
    return error


def log_loss(loss: str) -> None:
    """Log what a journal that is only read has lost, and how to send again."""
    logger.warning("%s. %s", loss, LOSS_ADVICE)


def _set_aside(path: Path) -> None:
    """Rename what is left of a journal. Its WAL would be applied to the new one."""
    kept = f"{path}.{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    for suffix in ("", "-wal", "-shm"):
        if os.path.lexists(f"{path}{suffix}"):
            Path(f"{path}{suffix}").rename(f"{kept}{suffix}")


def _create(path: Path, origin: str, sends: int) -> None:
    created = path.with_name(f"{path.name}.new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{created}{suffix}").unlink(missing_ok=True)

    created.touch(mode=0o600)
    with _translate_errors(created), closing(connect(created, "rw")) as database:
        # Not in WAL mode: the file is complete only after a checkpoint, and a close ignores the failure of one.
        configure(database, journal_mode="DELETE")
        SCHEMA.migrate(database)
        meta.write_meta(database, "origin", origin)
        meta.write_meta(database, "sends", str(sends))

    create_counter(path.with_name(COUNTER), sends)
    created.rename(path)
    sync_folder(path.parent)


def _inspect(database: sqlite3.Connection, path: Path, origin: str, count: Count) -> tuple[int, str]:
    """Return the number of recorded sends, and what the journal has lost."""
    version = SCHEMA.check_version(database, path)
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise JournalError(f"{path} is damaged: {verdict}")

    owner = meta.read_meta(database, "origin")
    if owner != origin:
        raise JournalError(f"{path} belongs to {owner}, not to {origin}")

    if version < COUNTED_VERSION:
        recorded = meta.count_sent(database)
        return recorded, "" if count.sends is None else count.loss(recorded, path)

    recorded = meta.read_sends(database)
    return recorded, count.loss(recorded, path)


def _open(path: Path, recorded: int, count: Count, on_loss: OnLoss) -> sqlite3.Connection:
    database = connect(path, "rw")
    try:
        configure(database)
        # Counts the occurrences of each key in this run.
        database.execute(SEEN)
        # Before the migration: from then on a missing counter is a loss.
        if on_loss != "warn" and (count.sends is None or count.sends < recorded):
            create_counter(path.with_name(COUNTER), recorded)

        SCHEMA.migrate(database)
        if on_loss == "accept" and count.sends is not None:
            meta.write_meta(database, "sends", str(count.sends))
    except BaseException:
        database.close()
        raise

    return database


@contextmanager
def _translate_errors(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if is_disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None

        raise to_journal_error(path, error) from None
