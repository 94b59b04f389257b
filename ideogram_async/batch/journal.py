"""The journal: what was sent, answered and stored, on disk before anything is built on it.

SQLite on one thread of its own. A step is a plain function of the connection; steps that meet share a commit, each in
a savepoint, so that one that fails takes nothing with it. A caller that is cancelled leaves its step to be done.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from attrs import frozen

from ideogram_async.batch.schema import is_full, prepare
from ideogram_async.errors.batch import JournalError

__all__ = ["Journal", "Step"]

T = TypeVar("T")
Step: TypeAlias = Callable[[sqlite3.Connection], T]
MOST_STEPS = 256
"""How many steps share a commit at most."""


@frozen(eq=False)
class _Entry:
    step: Step[Any]
    done: Future[Any]


class Journal:
    """One folder's journal, open. `run` may be awaited from one event loop."""

    def __init__(self, path: Path, *, origin: str, on_end: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_end = on_end
        self._is_over = False
        self._origin = origin
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._opened: Future[None] = Future()
        # A journal that nobody closes must not keep the process; what was committed is safe.
        self._thread = threading.Thread(target=self._work, name="ideogram_async journal", daemon=True)
        self.commits = 0
        """Commits so far."""

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
        journal._opened.result()
        return journal

    async def run(self, step: Step[T]) -> T:
        """Do a step, and return its result when it is on disk.

        A cancellation is passed on at once; the step is done all the same.

        Raises:
            OSError: If the disk is full.
            JournalError: If the journal is closed, or cannot be written for another reason.
        """
        done: Future[T] = Future()
        self._entries.put(_Entry(step, done))
        if self._is_over:
            self._refuse_the_rest()

        return await asyncio.shield(asyncio.wrap_future(done))

    def close(self) -> None:
        """Finish what is under way, and close. Blocks; twice is fine."""
        self.let_go()
        self._thread.join()

    def let_go(self) -> None:
        """Have it closed when what is under way is finished, and wait for nothing."""
        self._entries.put(None)

    def _work(self) -> None:
        try:
            database = prepare(self._path, self._origin)
        except BaseException as error:
            self._opened.set_exception(error)
            return

        self._opened.set_result(None)
        try:
            with closing(database):
                while entries := self._next():
                    self._commit(database, entries)
                    self.commits += 1
        finally:
            self._is_over = True
            self._refuse_the_rest()
            self._on_end()

    def _refuse_the_rest(self) -> None:
        with suppress(queue.Empty):
            while True:
                entry = self._entries.get_nowait()
                if entry is not None:
                    entry.done.set_exception(JournalError(f"{self._path} is closed"))

    def _next(self) -> list[_Entry]:
        """Wait for a step, and take what else is there; nothing at the end."""
        entries: list[_Entry] = []
        with suppress(queue.Empty):
            while len(entries) < MOST_STEPS:
                entry = self._entries.get(block=not entries)
                if entry is None:
                    # Seen again when what came before it is done.
                    if entries:
                        self._entries.put(None)

                    break

                entries.append(entry)

        return entries

    def _commit(self, database: sqlite3.Connection, entries: list[_Entry]) -> None:
        outcomes: list[tuple[Any, BaseException | None]]
        try:
            database.execute("BEGIN IMMEDIATE")
            outcomes = [_try(database, entry.step) for entry in entries]
            database.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")

            if len(entries) > 1:
                # Each for itself: one that only reads, or needs less room, may still be done.
                for entry in entries:
                    self._commit(database, [entry])

                return

            failure = self._failure(error)
            outcomes = [(None, failure)] * len(entries)

        for entry, (result, failed) in zip(entries, outcomes, strict=True):
            if failed is None:
                entry.done.set_result(result)
            else:
                entry.done.set_exception(failed)

    def _failure(self, error: BaseException) -> Exception:
        if is_full(error):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

        return JournalError(f"{self._path} cannot be written: {error}")


def _try(database: sqlite3.Connection, step: Step[Any]) -> tuple[Any, BaseException | None]:
    """Do a step in a savepoint: what it began is undone if it fails, and the others stand."""
    database.execute("SAVEPOINT step")
    try:
        result = step(database)
    except sqlite3.OperationalError:
        # The disk, not the step: nothing of this commit can be trusted.
        raise
    except BaseException as error:
        database.execute("ROLLBACK TO step")
        database.execute("RELEASE step")
        return None, error

    database.execute("RELEASE step")
    return result, None
