"""Writer of the journal, which counts the calls that are sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ideogram_async._batch.journal import meta
from ideogram_async._batch.journal.counter import COUNTER, SendCounter, UncountedSendError
from ideogram_async._batch.journal.opening import OnLoss, open_journal
from ideogram_async._store.writer import AnyStep, DatabaseWriter
from ideogram_async.errors import JournalError


class Journal(DatabaseWriter):
    """The journal of a folder. `run` is awaited from one event loop.

    The calls that follow steps with `is_send` are counted before their futures have results. An `UncountedSendError`
    means that the step is committed, and the call must not be sent.

    Args:
        path: The database file.
        origin: The service that the journal belongs to.
        on_loss: What to do with a journal that lost records.
        before_send: Called before a step that precedes a call is run. It raises an error if nothing may be sent.
        on_close: Called in the journal's thread once the database is closed.
    """

    def __init__(
        self,
        path: Path,
        *,
        origin: str,
        on_loss: OnLoss = "refuse",
        before_send: Callable[[], None] = lambda: None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(path, JournalError)
        self._origin = origin
        self._on_loss: OnLoss = on_loss
        self._before_send = before_send
        self._on_close = on_close
        self._counter: SendCounter | None = None
        self._total = 0

    def _open_database(self) -> sqlite3.Connection:
        database = open_journal(self.path, self._origin, self._on_loss)
        try:
            if self._on_loss != "warn":
                self._counter = SendCounter(self.path.with_name(COUNTER))
        except BaseException:
            database.close()
            raise

        return database

    def _prepare_sends(self) -> None:
        if self._counter is None:
            raise JournalError(f"{self.path} was opened without permission to send")

        self._before_send()

    def _record_sends(self, database: sqlite3.Connection, sends: list[AnyStep]) -> None:
        self._total = meta.add_sends(database, len(sends))

    def _finish_sends(self, sends: list[AnyStep]) -> None:
        """Write the committed number of sends to the counter."""
        if self._counter is None:
            return

        try:
            self._counter.write(self._total)
        except UncountedSendError as error:
            # Of another type: a later step that raises it is not committed.
            self.failure = OSError(error.errno, error.strerror, error.filename)
            for queued in sends:
                queued.error = error

    def _finish_close(self) -> None:
        if self._counter is not None:
            self._counter.close()

        self._on_close()
