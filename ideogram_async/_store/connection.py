"""Connections to SQLite databases: settings, migrations, and the errors that are not damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen


@frozen
class Schema:
    """The schema of a database file.

    `user_version` of the file is the number of migrations that were applied. A released migration never changes.
    """

    application_id: int
    """Written to the file. A file with another one is foreign."""
    migrations: Sequence[str]
    error: type[Exception]
    """Raised for a file that cannot be used."""

    def migrate(self, database: sqlite3.Connection) -> None:
        """Apply the migrations that are missing."""
        for number in range(pragma(database, "user_version"), len(self.migrations)):
            # The migration and its record are one transaction.
            database.executescript(
                f"BEGIN IMMEDIATE; {self.migrations[number]} PRAGMA application_id = {self.application_id};"
                f" PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def check_version(self, database: sqlite3.Connection, path: Path) -> int:
        """Return the schema's version.

        Raises:
            Exception: `error`, if the database is empty, of another program, or of a newer version.
        """
        version, latest = pragma(database, "user_version"), len(self.migrations)
        if pragma(database, "application_id") != self.application_id:
            raise self.error(f"{path} is a database of another program")

        if not 0 < version <= latest:
            raise self.error(f"{path} was written by a newer version of ideogram_async ({version} > {latest})")

        return version


def connect(path: Path, mode: Literal["ro", "rw", "rwc"], timeout: float = 5.0) -> sqlite3.Connection:
    """Open a database file. Transactions begin and end explicitly.

    Args:
        path: The file.
        mode: As in SQLite's URIs.
        timeout: Seconds to wait for the lock of another process.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=timeout)


def configure(database: sqlite3.Connection, journal_mode: Literal["WAL", "DELETE"] = "WAL") -> None:
    """Make each commit durable before it returns."""
    for setting in (
        f"journal_mode = {journal_mode}",
        "synchronous = FULL",
        # On macOS fsync stops at the drive's cache.
        "fullfsync = ON",
        "checkpoint_fullfsync = ON",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "temp_store = MEMORY",
    ):
        database.execute(f"PRAGMA {setting}")


def pragma(database: sqlite3.Connection, name: str) -> int:
    """Return the value of a pragma that is a number."""
    (value,) = database.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def is_disk_full(error: BaseException) -> bool:
    """Return whether SQLite reports a full disk, which is not damage."""
    full = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in full


def problem_of(error: Exception) -> str:
    """Return what an error of SQLite means for the file: damage, or a refusal of the disk or of another program."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    is_damaged = code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return f"{'is damaged or of another program' if is_damaged else 'cannot be read or written'}: {error}"
