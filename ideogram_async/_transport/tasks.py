"""Background tasks and threads that a cancelled caller does not interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")
MAX_THREADS = 32
_threads: RunVar[CapacityLimiter] = RunVar("ideogram_async.threads")


class Tasks:
    """The background tasks of one event loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[object, None, T]) -> asyncio.Task[T]:
        """Start a task and keep a reference to it until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, work: Coroutine[object, None, T]) -> T:
        """Run a task to its end, even if the caller is cancelled.

        A cancellation is raised at once. The task continues, and `join` waits for it.
        """
        task = self.start(work)
        task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    async def join(self) -> None:
        """Wait until all tasks have ended, except the current one."""
        while others := self._running - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def wait(self, timeout: float) -> None:
        """Wait like `join`, for at most `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.join()

    async def end(self, timeout: float) -> None:
        """Wait `timeout` seconds, then cancel the tasks that are still running."""
        others = self._running - {asyncio.current_task()}
        if others:
            _, pending = await asyncio.wait(others, timeout=timeout)
            for task in pending:
                task.cancel()


def _retrieve(task: asyncio.Task[object]) -> None:
    # The caller may have been cancelled: the error is retrieved, so that asyncio does not log it.
    if not task.cancelled():
        task.exception()


async def in_thread(work: Callable[[], T]) -> T:
    """Run a function in a thread. A native cancellation does not wait for the thread, one of an anyio scope does.

    The number of threads is limited separately from an application's own threads. Otherwise an application
    whose threads all wait for downloads would deadlock.
    """
    try:
        limiter = _threads.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_THREADS)
        _threads.set(limiter)

    return await to_thread.run_sync(work, limiter=limiter)
