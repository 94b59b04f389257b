"""Writer of the journal: a thread that owns the database connection and groups commits.

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

from ideogram_async._batch.journal.schema import is_disk_full, open_journal
from ideogram_async.errors import JournalError

T = TypeVar("T")
Step: TypeAlias = Callable[[sqlite3.Connection], T]
MAX_STEPS_PER_COMMIT = 64


class Journal:
    """The open journal of a folder. `run` is awaited from one event loop.

    Args:
        path: The database file.
        origin: The service that the journal belongs to.
        on_close: Called in the journal's thread once the database is closed.
    """

    def __init__(self, path: Path, *, origin: str, on_close: Callable[[], None] = lambda: None) -> None:
        self.failure: OSError | JournalError | None = None
        """The last error that kept a step from being committed."""
        self._path = path
        self._origin = origin
        self._on_close = on_close
        self._urgent: deque[_QueuedStep[Any]] = deque()
        self._queue: deque[_QueuedStep[Any]] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_closed = False
        self._opened = threading.Event()
        self._open_error: BaseException | None = None
        # A daemon: a journal that is never closed must not keep the process alive. Committed steps are safe.
        self._thread = threading.Thread(target=self._work, name="ideogram_async journal", daemon=True)

    @classmethod
    def open(cls, path: Path, *, origin: str, on_close: Callable[[], None] = lambda: None) -> Self:
        """Open or create a journal. Blocks.

        Raises:
            JournalError: If the file is damaged, foreign, of a newer version, or of another service.
            OSError: If the file cannot be created.
        """
        journal = cls(path, origin=origin, on_close=on_close)
        journal._thread.start()
        journal._opened.wait()
        if journal._open_error is not None:
            raise journal._open_error

        return journal

    async def run(self, step: Step[T], *, urgent: bool = False) -> T:
        """Run a step and return its result once it is committed.

        Steps of the same urgency run in order. A cancellation is raised at once; the step still runs.

        Args:
            step: The function of the connection.
            urgent: Whether the step precedes all that are not urgent: a call holds slots meanwhile.

        Raises:
            OSError: If the disk is full.
            JournalError: If the journal is closed or cannot be written.
        """
        queued: _QueuedStep[T] = _QueuedStep(step, asyncio.get_running_loop().create_future())
        with self._changed:
            if self._is_closed:
                raise self._closed_error()

            (self._urgent if urgent else self._queue).append(queued)
            self._changed.notify()

        return await queued.future

    def close(self) -> None:
        """Run all queued steps and close the database. Blocks; closing twice is harmless."""
        self.request_close()
        self._thread.join()

    def request_close(self) -> None:
        """Request the close and return immediately; queued steps still run."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def _work(self) -> None:
        try:
            database = open_journal(self._path, self._origin)
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
        finally:
            self._reject_remaining()
            self._on_close()

    def _next_steps(self) -> list[_QueuedStep[Any]]:
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

    def _commit(self, database: sqlite3.Connection, steps: list[_QueuedStep[Any]]) -> None:
        try:
            database.execute("BEGIN IMMEDIATE")
            for queued in steps:
                queued.result = queued.step(database)

            database.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")

            if len(steps) == 1:
                steps[0].error = self._to_public_error(error)
                return

            # A step that only reads, or needs less space, may still succeed alone.
            for queued in steps:
                self._commit(database, [queued])

    def _to_public_error(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error

        if is_disk_full(error):
            self.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        else:
            self.failure = JournalError(f"{self._path} cannot be written: {error}")

        return self.failure

    def _closed_error(self) -> JournalError:
        return JournalError(f"{self._path} is closed")


@define(eq=False)
class _QueuedStep(Generic[T]):
    step: Step[T]
    future: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.done():
            # The caller was cancelled.
            return

        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # the step's own result, None included


def _resolve(steps: list[_QueuedStep[Any]]) -> None:
    """Resolve the callers' futures in their event loop, unless it is closed."""

    def resolve_all() -> None:
        for queued in steps:
            queued.resolve()

    if steps:
        with suppress(RuntimeError):
            steps[0].future.get_loop().call_soon_threadsafe(resolve_all)
