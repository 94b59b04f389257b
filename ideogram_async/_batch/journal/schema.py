"""Schema of the journal, and the checks of an existing file."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ideogram_async._download.disk import sync_folder
from ideogram_async.errors import JournalError

HIDDEN = ".ideogram"
"""The folder of the journal, in the folder of the batch."""

APPLICATION_ID = 0x1DE06A55
"""The application id of the database file. A file with another one is foreign."""

# `user_version` is the number of migrations that were applied. A released migration never changes.
MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE job (
        key TEXT PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,
        id TEXT UNIQUE,
        operation TEXT NOT NULL,
        request TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        weight INTEGER NOT NULL,
        usd TEXT,
        state TEXT NOT NULL,
        status INTEGER,
        raw BLOB,
        headers TEXT,
        error TEXT,
        resends INTEGER NOT NULL DEFAULT 0,
        updated_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX job_by_state ON job (state, number);
    CREATE TABLE image (
        key TEXT NOT NULL REFERENCES job (key),
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        url TEXT,
        seed INTEGER,
        prompt TEXT,
        resolution TEXT,
        path TEXT,
        sha256 TEXT,
        size INTEGER,
        PRIMARY KEY (key, number)
    ) STRICT, WITHOUT ROWID;
    """,
)


def open_journal(path: Path, origin: str) -> sqlite3.Connection:
    """Open or create the journal of the service at that origin.

    Raises:
        JournalError: If the file is damaged, foreign, of a newer version, or of another service. It was not changed.
        OSError: If the file cannot be created or the disk is full.
    """
    # A dangling link is not a missing journal: its disk may not be mounted.
    if not (path.exists() or path.is_symlink()):
        _create(path, origin)

    with _opening(path) as database:
        _inspect(database, path)
        _configure(database)
        _migrate(database)
        _claim(database, path, origin)

    return database


def is_disk_full(error: BaseException) -> bool:
    """Return whether SQLite reports a full disk, which is not damage."""
    full = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in full


@contextmanager
def _opening(path: Path) -> Generator[sqlite3.Connection]:
    """Open a database file and close it if the block fails."""
    database: sqlite3.Connection | None = None
    try:
        # `isolation_level=None`: transactions begin and end explicitly.
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        yield database
    except BaseException as error:
        if database is not None:
            database.close()

        if is_disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None

        if isinstance(error, sqlite3.DatabaseError):
            raise JournalError(f"{path} is damaged or not a journal: {error}") from None

        raise


def _create(path: Path, origin: str) -> None:
    """Create a journal under a temporary name, then rename it: an empty journal is always a damaged one."""
    created = path.with_name(f"{path.name}.new")
    created.unlink(missing_ok=True)
    created.touch(mode=0o600)
    with _opening(created) as database:
        database.execute("PRAGMA synchronous = FULL")
        _migrate(database)
        _claim(database, path, origin)

    database.close()
    created.rename(path)
    sync_folder(path.parent)


def _inspect(database: sqlite3.Connection, path: Path) -> None:
    if not path.stat().st_size:
        raise JournalError(f"{path} is damaged: it is empty")

    version = _pragma(database, "user_version")
    if _pragma(database, "application_id") != APPLICATION_ID and version + _tables(database) > 0:
        raise JournalError(f"{path} is a database of another program")

    if version > len(MIGRATIONS):
        raise JournalError(f"{path} was written by a newer version of ideogram_async ({version} > {len(MIGRATIONS)})")

    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise JournalError(f"{path} is damaged: {verdict}")


def _configure(database: sqlite3.Connection) -> None:
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        # On macOS fsync stops at the drive's cache.
        "fullfsync = ON",
        "checkpoint_fullfsync = ON",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "temp_store = MEMORY",
    ):
        database.execute(f"PRAGMA {setting}")

    # Counts the occurrences of each key in this run.
    database.execute("CREATE TEMP TABLE seen (key TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT, WITHOUT ROWID")


def _migrate(database: sqlite3.Connection) -> None:
    for number in range(_pragma(database, "user_version"), len(MIGRATIONS)):
        # The migration and its record are one transaction.
        database.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number + 1}; COMMIT;"
        )


def _claim(database: sqlite3.Connection, path: Path, origin: str) -> None:
    database.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('origin', ?)", (origin,))
    (owner,) = database.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    if owner != origin:
        raise JournalError(f"{path} belongs to {owner}, not to {origin}")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    (value,) = database.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _tables(database: sqlite3.Connection) -> int:
    (count,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return int(count)
