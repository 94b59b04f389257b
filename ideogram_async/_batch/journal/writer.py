"""The journal: what was sent, answered and stored, on disk before anything is built on it.

SQLite on one thread of its own. A step is a plain function of the connection, and steps that meet share a commit. If
one fails, all are undone and each is done for itself, so that it takes nothing with it. A caller that is cancelled
leaves its step to be done.

There are two lines: what holds places of the account's limit meanwhile is urgent, and goes first.
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
from typing import Any, Self, TypeAlias, TypeVar

from attrs import define

from ideogram_async._batch.journal.schema import is_full, prepare
from ideogram_async.errors import JournalError

T = TypeVar("T")

Step: TypeAlias = Callable[[sqlite3.Connection], T]

MOST_STEPS = 64

"""How many steps share a commit at most."""

LINGER = 0.002

"""Seconds that a step waits for another at most."""


@define(eq=False)
class _Entry:
    step: Step[Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        if self.done.done():
            # The caller was cancelled.
            return

        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Journal:
    """One folder's journal, open. `run` may be awaited from one event loop."""

    def __init__(self, path: Path, *, origin: str, on_end: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_end = on_end
        self._origin = origin
        self._urgent: deque[_Entry] = deque()
        self._others: deque[_Entry] = deque()
        self._is_ending = False
        self._is_over = False
        self._lingers = False
        self._changed = threading.Condition()
        self._failed: BaseException | None = None
        self._opened = threading.Event()
        # A journal that nobody closes must not keep the process; what was committed is safe.
        self._thread = threading.Thread(target=self._work, name="ideogram_async journal", daemon=True)
        self.commits = 0
        """Commits so far."""
        self.failure: OSError | JournalError | None = None
        """What has kept a step from the disk, if anything has."""

    @classmethod
    def open(cls, path: Path, *, origin: str, on_end: Callable[[], None] = lambda: None) -> Self:
        """Open it, or make it. Blocks.

        Args:
            path: Its file.
            origin: The service that it belongs to.
            on_end: Called when it is closed, in its thread.

        Raises:
            JournalError: If it is damaged, not ours, of a newer version, or of another service.
            OSError: If the file cannot be made.
        """
        journal = cls(path, origin=origin, on_end=on_end)
        journal._thread.start()
        journal._opened.wait()
        if journal._failed is not None:
            raise journal._failed

        return journal

    async def run(self, step: Step[T], *, urgent: bool = False) -> T:
        """Do a step, and return its result when it is on disk. Urgent ones go first.

        A cancellation is passed on at once; the step is done all the same.

        Raises:
            OSError: If the disk is full.
            JournalError: If the journal is closed, or cannot be written for another reason.
        """
        return await self.put(step, urgent=urgent)

    def put(self, step: Step[T], *, urgent: bool = False, lingers: bool = False) -> asyncio.Future[T]:
        """Hand over a step to be done. Those of one line are done in the order in which they came.

        Args:
            step: What to do.
            urgent: Whether it goes before what is not.
            lingers: Whether it waits a moment for another step, which shares its commit.

        Returns:
            What `run` waits for. Cancelling it leaves the step to be done.

        Raises:
            JournalError: If the journal is closed.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._is_over:
                raise self._closed()

            (self._urgent if urgent else self._others).append(_Entry(step, done))
            self._lingers = lingers
            self._changed.notify()

        return done

    def close(self) -> None:
        """Finish what is under way, and close. Blocks; twice is fine."""
        self.let_go()
        self._thread.join()

    def let_go(self) -> None:
        """Have it closed when what is under way is finished, and wait for nothing."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()

    def _work(self) -> None:
        try:
            database = prepare(self._path, self._origin)
        except BaseException as error:
            self._failed = error
            return
        finally:
            self._opened.set()

        try:
            with closing(database):
                while entries := self._next():
                    self._commit(database, entries)
                    self.commits += 1
                    _tell(entries)
        finally:
            self._end()
            self._on_end()

    def _next(self) -> list[_Entry]:
        """Wait for a step, and take what else is there; nothing at the end."""
        with self._changed:
            while not (self._urgent or self._others or self._is_ending):
                self._changed.wait()

            if self._lingers:
                self._changed.wait_for(lambda: not self._lingers, LINGER)
                self._lingers = False

            line = self._urgent or self._others
            return [line.popleft() for _ in range(min(len(line), MOST_STEPS))]

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            left = [*self._urgent, *self._others]

        for entry in left:
            entry.error = self._closed()

        _tell(left)

    def _commit(self, database: sqlite3.Connection, entries: list[_Entry]) -> None:
        try:
            database.execute("BEGIN IMMEDIATE")
            for entry in entries:
                entry.result = entry.step(database)

            database.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")

            if len(entries) == 1:
                entries[0].error = self._failure(error)
                return

            # Each for itself: one that only reads, or needs less room, may still be done.
            for entry in entries:
                self._commit(database, [entry])

    def _failure(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error

        if is_full(error):
            self.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        else:
            self.failure = JournalError(f"{self._path} cannot be written: {error}")

        return self.failure

    def _closed(self) -> JournalError:
        return JournalError(f"{self._path} is closed")


def _tell(entries: list[_Entry]) -> None:
    """Wake the callers, in their loop. One that is gone, or whose loop is, needs no word."""

    def tell() -> None:
        for entry in entries:
            entry.tell()

    if entries:
        with suppress(RuntimeError):
            entries[0].done.get_loop().call_soon_threadsafe(tell)
