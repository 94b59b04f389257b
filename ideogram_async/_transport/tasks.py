"""Tasks that somebody else owns, so that a cancelled caller cannot tear them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")


class Tasks:
    """The background tasks of one event loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start it and keep it alive until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end, whatever happens to the caller.

        A cancellation is passed on at once; the work goes on, and `join` waits for it.
        """
        task = self.start(work)
        task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    async def join(self) -> None:
        """Wait until all of them have ended, but for one that is waiting here itself."""
        while others := self._running - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def wait(self, patience: float) -> None:
        """Wait as `join` does, also for those that are started meanwhile, but so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.join()

    async def end(self, patience: float) -> None:
        """Wait so many seconds, then cancel those that are left."""
        others = self._running - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=patience)
            for task in late:
                task.cancel()


def _retrieve(task: asyncio.Task[Any]) -> None:
    # The caller may be gone: an error that nobody reads is not worth a warning at the loop's end.
    if not task.cancelled():
        task.exception()


_MOST_THREADS = 32

_limiter: RunVar[CapacityLimiter] = RunVar("ideogram_async.threads")


async def in_thread(work: Callable[[], T]) -> T:
    """Run it in a thread. A native cancellation does not wait for the thread, one of an anyio scope does.

    The threads are counted apart from an application's own: one that fills those with calls that wait for a download
    would wait for ever.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(_MOST_THREADS)
        _limiter.set(limiter)

    return await to_thread.run_sync(work, limiter=limiter)
