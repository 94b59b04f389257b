"""The caller's jobs as they come: pulled lazily, some at a time where more than one is there."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

from ideogram_async._batch.job import Job
from ideogram_async._operations import Request
from ideogram_async._transport.tasks import in_thread

LOOK_AHEAD = 16

"""Jobs beyond those in flight that may be pulled, so that the limiter can choose among them."""

PATIENCE = 0.05

"""Seconds that a thread waits to be asked for more."""

Jobs: TypeAlias = Iterable[Job | Request[Any]] | AsyncIterable[Job | Request[Any]]


async def pulled(jobs: Jobs) -> AsyncGenerator[Job]:
    """Go over the input lazily, job by job."""
    async with aclosing(Source(jobs)) as source:
        while found := await source.take(LOOK_AHEAD):
            for job in found:
                yield job


class Source:
    """Gives jobs in groups of what has come, so that one that is slow to come holds up none before it.

    A plain iterable is asked in a thread, for it may block. The thread stays as long as somebody soon asks for more.
    Nothing is pulled but while somebody waits, save for one that was asked for already.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = aiter(jobs) if isinstance(jobs, AsyncIterable) else iter(jobs)
        # These block for nobody.
        self._is_at_hand = isinstance(jobs, list | tuple)
        self._come: deque[Job] = deque()
        self._most = 0
        self._asked = threading.Event()
        self._is_awaited = False
        self._stirs = asyncio.Event()
        self._reading: asyncio.Task[bool] | None = None
        self._is_over = False

    async def take(self, most: int) -> list[Job]:
        """Wait for a job, and return what has come; nothing at the end.

        Raises:
            TypeError: If something else has come.
            RuntimeError: If the input has cancelled itself.
            Exception: Whatever the input raised, once those before it are taken.
        """
        self._most = most
        self._asked.set()
        try:
            while not (self._come or self._is_over):
                await self._read_on()
        finally:
            self._most = 0

        return [self._come.popleft() for _ in range(min(most, len(self._come)))]

    async def aclose(self) -> None:
        """Pull no more. A thread that the input blocks is left to itself."""
        self._is_over = True
        self._asked.set()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            if not self._reading.cancelled():
                # An error that nobody has asked for is no longer of interest.
                self._reading.exception()

    async def _read_on(self) -> None:
        """Wait until something has come, or the reading has ended."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(lambda _: self._stirs.set())

        # The flag first, then the look: what comes between them rings.
        self._stirs.clear()
        self._is_awaited = True
        if not self._come and not self._reading.done():
            await self._stirs.wait()

        self._is_awaited = False
        if self._reading.done() and not self._come:
            reading, self._reading, self._is_over = self._reading, None, True
            if reading.cancelled():
                # By itself: as a cancellation it would pass for the end, with jobs left out.
                raise RuntimeError("the input was cancelled before its end")

            self._is_over = reading.result()

    async def _read(self) -> bool:
        """Pull what is asked for. Returns whether that was the end."""
        loop = asyncio.get_running_loop()
        if isinstance(self._jobs, AsyncIterator):
            return await self._read_async(self._jobs)

        if self._is_at_hand:
            return not any(self._is_enough(item) for item in self._jobs)

        return await in_thread(partial(self._read_slowly, self._jobs, loop))

    async def _read_async(self, jobs: AsyncIterator[Any]) -> bool:
        async for item in jobs:
            if self._is_enough(item):
                return False

        return True

    def _read_slowly(self, jobs: Iterator[Any], loop: asyncio.AbstractEventLoop) -> bool:
        ring = partial(loop.call_soon_threadsafe, self._stirs.set)
        return not any(self._is_enough(item, ring) and not self._is_asked_again() for item in jobs)

    def _is_enough(self, item: Any, ring: Callable[[], object] | None = None) -> bool:
        self._come.append(_as_job(item))
        if self._is_awaited:
            # Once is enough, and first the flag: who waits anew meanwhile is woken for nothing, but never forgotten.
            self._is_awaited = False
            (ring or self._stirs.set)()

        return len(self._come) >= self._most

    def _is_asked_again(self) -> bool:
        """Wait a moment in the thread: to begin another turn costs more than all the items of one."""
        self._asked.clear()
        while len(self._come) >= self._most:
            if self._is_over or not self._asked.wait(PATIENCE):
                return False

            self._asked.clear()

        return True


def _as_job(item: Any) -> Job:
    request = item.request if isinstance(item, Job) else item
    if not hasattr(request, "endpoint"):
        raise TypeError(f"a batch takes jobs and requests, not {type(request).__name__}")

    if not request.endpoint.makes_images:
        raise TypeError(f"a batch takes requests that make images, not {type(request).__name__}")

    return item if isinstance(item, Job) else Job(item)
