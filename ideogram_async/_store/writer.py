"""Writer of a database: a thread that owns the connection and groups commits.

A step is a plain function of the connection. Steps that are queued together share a commit. If one of them fails, all
are rolled back and each is committed alone, so that a failing step affects no other. A queued step runs even if its
caller is cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Generic, Self, TypeAlias, TypeVar

from attrs import define

from ideogram_async._store.connection import is_disk_full

T = TypeVar("T")
Step: TypeAlias = Callable[[sqlite3.Connection], T]
MAX_STEPS_PER_COMMIT = 64


class DatabaseWriter:
    """A database file and its thread. A subclass opens the file, and may act before and after a commit.

    Args:
        path: The database file.
        error: The class of the error that is raised if the file is closed, or cannot be read or written.
    """

    def __init__(self, path: Path, error: type[Exception]) -> None:
        self.failure: Exception | None = None
        """The last error that kept a step from being committed."""
        self.path = path
        self._error = error
        self._urgent: deque[AnyStep] = deque()
        self._queue: deque[AnyStep] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_closed = False
        self._opened = threading.Event()
        self._open_error: BaseException | None = None
        # A daemon: a database that is never closed must not keep the process alive. Committed steps are safe.
        self._thread = threading.Thread(target=self._work, name=f"ideogram_async {path.name}", daemon=True)

    def open(self) -> Self:
        """Open or create the file, and return the writer. Blocks.

        Raises:
            OSError: If the file cannot be created.
            Exception: `error`, if the file cannot be used.
        """
        self._thread.start()
        self._opened.wait()
        if self._open_error is not None:
            raise self._open_error

        return self

    async def run(self, step: Step[T], *, urgent: bool = False) -> T:
        """Run a step and return its result once it is committed.

        Steps of the same urgency run in order. A cancellation is raised at once; the step still runs.

        Args:
            step: The function of the connection.
            urgent: Whether the step precedes all that are not urgent: a call holds slots meanwhile.

        Raises:
            OSError: If the disk is full.
            Exception: `error`, if the file is closed or damaged, or cannot be written.
        """
        return await self.submit(step, urgent=urgent)

    def submit(self, step: Step[T], *, urgent: bool = False, is_send: bool = False) -> asyncio.Future[T]:
        """Queue a step and return the future of its result. See `run`.

        Args:
            step: The function of the connection.
            urgent: Whether the step precedes all that are not urgent.
            is_send: Whether a call is sent once the step is committed.
        """
        queued: QueuedStep[T] = QueuedStep(step, asyncio.get_running_loop().create_future(), is_send)
        with self._changed:
            if self._is_closed:
                queued.future.set_exception(self._closed_error())
            else:
                (self._urgent if urgent else self._queue).append(queued)
                self._changed.notify()

        return queued.future

    def close(self) -> None:
        """Run all queued steps and close the database. Blocks; closing twice is harmless."""
        self.request_close()
        self._thread.join()

    def request_close(self) -> None:
        """Request the close and return immediately; queued steps still run."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def _open_database(self) -> sqlite3.Connection:
        """Open the file. Runs in the thread, as all that follows does."""
        raise NotImplementedError

    def _prepare_sends(self) -> None:
        """Act in a transaction that precedes calls, before its steps. An error keeps them from being committed."""

    def _record_sends(self, database: sqlite3.Connection, sends: list[AnyStep]) -> None:
        """Act in the transaction, after its steps."""

    def _finish_sends(self, sends: list[AnyStep]) -> None:
        """Act after the commit, before the callers have their results. May set the `error` of a step."""

    def _finish_close(self) -> None:
        """Act once the database is closed."""

    def _work(self) -> None:
        try:
            database = self._open_database()
        except BaseException as error:
            self._open_error = error
            return
        finally:
            self._opened.set()

        try:
            with closing(database):
                while steps := self._next_steps():
                    self._commit(database, steps)
                    _resolve(steps)

                # SQLite does this at the end, but not while another process is reading.
                with suppress(sqlite3.Error):
                    database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._reject_remaining()
            self._finish_close()

    def _next_steps(self) -> list[AnyStep]:
        """Wait for a step, and return it with those queued after it; an empty list once closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent or self._queue or self._is_closing)
            queue = self._urgent or self._queue
            return [queue.popleft() for _ in range(min(len(queue), MAX_STEPS_PER_COMMIT))]

    def _reject_remaining(self) -> None:
        with self._changed:
            self._is_closed = True
            remaining = [*self._urgent, *self._queue]

        for queued in remaining:
            queued.error = self._closed_error()

        _resolve(remaining)

    def _commit(self, database: sqlite3.Connection, steps: list[AnyStep]) -> None:
        sends = [queued for queued in steps if queued.is_send]
        is_begun = False
        try:
            database.execute("BEGIN IMMEDIATE")
            is_begun = True
            if sends:
                self._prepare_sends()

            for queued in steps:
                queued.result = queued.step(database)

            if sends:
                self._record_sends(database, sends)

            database.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")

            if len(steps) == 1 or not is_begun:
                # A transaction that cannot begin has waited for another process; each step alone would wait again.
                for queued in steps:
                    queued.error = self._to_public_error(error)

                return

            # A step that only reads, or needs less space, may still succeed alone.
            for queued in steps:
                self._commit(database, [queued])
        else:
            if sends:
                self._finish_sends(sends)

    def _to_public_error(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error

        if is_disk_full(error):
            self.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        else:
            self.failure = self._error(f"{self.path} cannot be read or written: {error}")

        return self.failure

    def _closed_error(self) -> Exception:
        return self._error(f"{self.path} is closed")


@define(eq=False)
class QueuedStep(Generic[T]):
    """A step with the future of its caller, and its outcome once it was run."""

    step: Step[T]
    future: asyncio.Future[T]
    is_send: bool
    result: T | None = None
    error: BaseException | None = None

    def resolve(self) -> None:
        """Pass the outcome to the caller."""
        if self.future.done():
            # The caller was cancelled.
            return

        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # the step's own result, None included


AnyStep: TypeAlias = QueuedStep[Any]


def _resolve(steps: list[AnyStep]) -> None:
    """Resolve the callers' futures in their event loop, unless it is closed."""

    def resolve_all() -> None:
        for queued in steps:
            queued.resolve()

    if steps:
        with suppress(RuntimeError):
            steps[0].future.get_loop().call_soon_threadsafe(resolve_all)
