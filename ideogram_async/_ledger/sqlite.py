"""Ledger in an SQLite file, for the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from ideogram_async._download.disk import sync_folder
from ideogram_async._ledger.stored import StoredLedger
from ideogram_async._ledger.transactions import LOCK, Transaction
from ideogram_async._store.connection import Schema, configure, connect, is_disk_full, problem_of
from ideogram_async._store.writer import DatabaseWriter
from ideogram_async._transport.tasks import in_thread
from ideogram_async.errors import LedgerError

T = TypeVar("T")
LOCK_SECONDS = 30.0
"""Seconds to wait for a transaction of another process."""
LOCK_PAUSE = 0.02
_File: TypeAlias = tuple[int, int]
"""The device and the number of a file."""

TRANSIENT = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)
"""Errors that may pass."""

MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE owner (
        id TEXT PRIMARY KEY,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        beat INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE call (
        key TEXT PRIMARY KEY,
        operation TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        weight INTEGER NOT NULL,
        usd_micros INTEGER,
        state TEXT NOT NULL
            CHECK (state IN ('pending', 'sending', 'accepted', 'answered', 'ambiguous', 'lost')),
        attempt INTEGER NOT NULL,
        token TEXT NOT NULL,
        owner TEXT NOT NULL,
        doubts INTEGER NOT NULL DEFAULT 0,
        generation_id TEXT,
        status INTEGER,
        raw BLOB,
        headers TEXT,
        error TEXT,
        request TEXT,
        started_at TEXT NOT NULL,
        settled_at TEXT
    ) STRICT;
    CREATE INDEX call_open ON call (state, started_at) WHERE state <> 'answered';
    CREATE TABLE stray (
        key TEXT,
        token TEXT,
        attempt INTEGER NOT NULL,
        status INTEGER,
        raw BLOB,
        headers TEXT,
        PRIMARY KEY (key, token)
    ) STRICT;
    CREATE TABLE total (one INTEGER PRIMARY KEY CHECK (one = 1), booked_micros INTEGER NOT NULL) STRICT;
    INSERT INTO total VALUES (1, 0);
    """,
)
SCHEMA = Schema(application_id=0x1DE0ED6E, migrations=MIGRATIONS, error=LedgerError)


class _Writer(DatabaseWriter):
    """The thread of the file. A step is one transaction, or shares it with others."""

    file: _File | None = None
    pid = 0

    def _open_database(self) -> sqlite3.Connection:
        try:
            self.file, self.pid = _create(self.path), os.getpid()
            if any(other.file == self.file and other.pid != self.pid for other in tuple(_writers) if other.file):
                raise LedgerError(
                    f"{self.path} was open when this process was forked, which breaks the locks of SQLite: close the"
                    " ledger before, or start processes by spawn"
                )

            database = _open_file(self.path)
            _writers.add(self)
            return database
        except sqlite3.Error as error:
            raise self._to_public_error(error) from None
        except OSError as error:
            raise LedgerError(f"{self.path} cannot be opened: {error.strerror}", retryable=True) from None

    def _finish_close(self) -> None:
        _writers.discard(self)

    def _to_public_error(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error

        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        problem = "is on a full disk" if is_disk_full(error) else problem_of(error)
        return LedgerError(f"{self.path} {problem}", retryable=code & 0xFF in TRANSIENT)


_writers: set[_Writer] = set()
"""Open files, with those that were open in a process that was forked."""


class SqliteLedger(StoredLedger[_Writer]):
    """A ledger in an SQLite file, for the processes of one machine. Not for network file systems, whose locks fail.

        async with Ideogram(ledger=SqliteLedger("calls.sqlite3")) as client:
            answer = await client.once("order-4711/hero", Generate("a red fox"))

    It opens at its first use, in one event loop; the client that was given it closes it.

    Args:
        path: The file, created if it is missing.
        max_cost_usd: The budget of all processes together, in USD. Calls whose outcome is unknown count.
        lease: Seconds of silence after which the owner of a call is presumed dead. Then the call is in doubt, and
            callers of its key get `InDoubtError`. It is never sent again by itself.
        keep_requests: Whether entries contain their requests. Without it, prompts are kept only as answers repeat them.

    Raises:
        ValueError: If a setting is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_cost_usd: Decimal | str | float | None = None,
        lease: float = 30.0,
        keep_requests: bool = False,
    ) -> None:
        super().__init__(max_cost_usd, lease, keep_requests=keep_requests)
        self.path: Path = Path(path)
        if "\0" in str(self.path):
            raise ValueError(f"path must be that of a file, not {str(self.path)!r}")

    def __repr__(self) -> str:
        return f"SqliteLedger({str(self.path)!r})"

    async def _run(self, transaction: Callable[[], Transaction[T]]) -> T:
        writer = await self._use()
        # A step that is queued runs, even if its caller is cancelled.
        return await writer.run(partial(_run, transaction=transaction))

    async def _open(self) -> _Writer:
        writer = _Writer(self.path, LedgerError)
        await in_thread(writer.open)
        return writer

    async def _close(self, database: _Writer) -> None:
        await in_thread(database.close)


def _create(path: Path) -> _File | None:
    """Create a file if it is missing, and return which one it is; `None` if its folder is missing."""
    with suppress(FileNotFoundError):
        # Only its owner may read prompts.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

        status = path.stat()
        return status.st_dev, status.st_ino

    return None


def _open_file(path: Path) -> sqlite3.Connection:
    database = connect(path, "rw", LOCK_SECONDS)
    try:
        # A file that is refused is not changed.
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            SCHEMA.check_version(database, path)

        _prepare(database)
        sync_folder(path.absolute().parent)
    except BaseException:
        database.close()
        raise

    return database


def _prepare(database: sqlite3.Connection) -> None:
    """Configure and migrate a file that other processes may be opening, too."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            configure(database)
            SCHEMA.migrate(database)
            return
        except sqlite3.OperationalError as error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")

            # The change to WAL mode does not wait for a lock, and another process may have migrated the file.
            is_concurrent = error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_ERROR)
            if not is_concurrent or time.monotonic() > end:
                raise

            time.sleep(LOCK_PAUSE)


def _run(database: sqlite3.Connection, transaction: Callable[[], Transaction[T]]) -> T:
    statements = transaction()
    try:
        query, values = next(statements)
        while True:
            columns = [_text(value) if isinstance(value, datetime) else value for value in values]
            rows = database.execute(query.removesuffix(LOCK), columns).fetchall()
            query, values = statements.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
