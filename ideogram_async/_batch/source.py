"""Input of a batch: jobs from any iterable or async iterable, read lazily and in groups."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

from ideogram_async._batch.job import Job
from ideogram_async._operations import Request
from ideogram_async._transport.tasks import in_thread, unlisted

LOOK_AHEAD = 16
"""Jobs beyond those in flight that may be read, so that the limiter can choose among them."""
IDLE_TIMEOUT = 0.05
"""Seconds that a reading thread waits for the next request before it ends."""

Jobs: TypeAlias = Iterable[Job | Request[object]] | AsyncIterable[Job | Request[object]]


class CountedJobs:
    """Jobs whose number is known before they are read."""

    def __init__(self, jobs: Iterable[Job], count: int) -> None:
        self._jobs = jobs
        self._count = count

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return self._count


class CollectOnly(tuple[()]):
    """Input without jobs: the batch sends no POST, waits for what is accepted, and downloads what is not on disk."""


async def iterate_jobs(jobs: Jobs) -> AsyncGenerator[Job]:
    """Yield the input job by job, read lazily."""
    async with aclosing(InputReader(jobs)) as reader:
        while group := await reader.read(LOOK_AHEAD):
            for job in group:
                yield job


class InputReader:
    """Reads jobs in groups of those that are available, so that a slow producer never delays those already read.

    A plain iterable is read in a thread, because it may block. The thread is reused if more is requested soon.
    Nothing is read unless `read` is waiting, except one job that was requested before.
    """

    def __init__(self, jobs: Jobs) -> None:
        try:
            self._jobs = aiter(jobs) if isinstance(jobs, AsyncIterable) else iter(jobs)
        except TypeError:
            name, advice = type(jobs).__name__, _advice(jobs)
            raise TypeError(f"a batch takes an iterable of jobs and requests, not {name}{advice}") from None

        # A list or tuple never blocks.
        self._is_in_memory = isinstance(jobs, list | tuple)
        self._buffer: deque[Job] = deque()
        self._position = 0
        self._requested = 0
        self._request = threading.Event()
        self._is_waiting = False
        self._wakeup = asyncio.Event()
        self._reading: asyncio.Task[bool] | None = None
        self._is_over = False

    async def read(self, limit: int) -> list[Job]:
        """Wait for a job, and return it with the others that are available; an empty list at the end of the input.

        Raises:
            TypeError: If the input contains anything but jobs and requests that make images.
            RuntimeError: If the input cancelled itself.
            Exception: The error of the input, after the jobs before it were returned.
        """
        self._requested = limit
        self._request.set()
        try:
            while not (self._buffer or self._is_over):
                await self._wait_for_jobs()
        finally:
            self._requested = 0

        return [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]

    async def aclose(self) -> None:
        """Stop reading. A thread that the input blocks is abandoned."""
        self._is_over = True
        self._request.set()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            if not self._reading.cancelled():
                # Retrieve an error of the input, so that asyncio does not log it.
                self._reading.exception()

    async def _wait_for_jobs(self) -> None:
        """Wait until the buffer has a job, or reading has ended."""
        if self._reading is None:
            self._reading = unlisted(asyncio.create_task(self._read_input()))
            self._reading.add_done_callback(lambda _: self._wakeup.set())

        # Clear before the check: a job that arrives in between sets the event again.
        self._wakeup.clear()
        self._is_waiting = True
        if not self._buffer and not self._reading.done():
            await self._wakeup.wait()

        self._is_waiting = False
        if self._reading.done() and not self._buffer:
            reading, self._reading, self._is_over = self._reading, None, True
            if reading.cancelled():
                # The input cancelled itself. As a cancellation, that would end the batch before its remaining jobs.
                raise RuntimeError("the input was cancelled before its end")

            self._is_over = reading.result()

    async def _read_input(self) -> bool:
        """Read the requested number of jobs. Return whether that was the end of the input."""
        if isinstance(self._jobs, AsyncIterator):
            return await self._read_async(self._jobs)

        if self._is_in_memory:
            return not any(self._append(item) for item in self._jobs)

        loop = asyncio.get_running_loop()
        return await in_thread(partial(self._read_in_thread, self._jobs, loop))

    async def _read_async(self, jobs: AsyncIterator[Any]) -> bool:
        async for item in jobs:
            if self._append(item):
                return False

        return True

    def _read_in_thread(self, jobs: Iterator[Any], loop: asyncio.AbstractEventLoop) -> bool:
        wake = partial(loop.call_soon_threadsafe, self._wakeup.set)
        return not any(self._append(item, wake) and not self._is_requested_again() for item in jobs)

    def _append(self, item: Any, wake: Callable[[], object] | None = None) -> bool:
        """Append a job to the buffer. Return whether the buffer has as many as requested."""
        self._buffer.append(_to_job(item, self._position))
        self._position += 1
        if self._is_waiting:
            # Cleared first: a reader that waits again meanwhile may be woken once too often, but never too late.
            self._is_waiting = False
            (wake or self._wakeup.set)()

        return len(self._buffer) >= self._requested

    def _is_requested_again(self) -> bool:
        """Wait briefly in the thread: starting another one costs more than reading a whole group."""
        self._request.clear()
        while len(self._buffer) >= self._requested:
            if self._is_over or not self._request.wait(IDLE_TIMEOUT):
                return False

            self._request.clear()

        return True


def _to_job(item: Any, position: int) -> Job:
    request = item.request if isinstance(item, Job) else item
    if isinstance(request, type) or not hasattr(request, "endpoint"):
        name = f"the class {request.__name__}" if isinstance(request, type) else type(request).__name__
        where = f"position {position} of the input"
        raise TypeError(f"a batch takes jobs and requests, not {name} ({where}){_advice(request)}")

    if not request.endpoint.makes_images:
        name = type(request).__name__
        raise TypeError(f"a batch takes requests that make images, not {name} (position {position} of the input)")

    return item if isinstance(item, Job) else Job(item)


def _advice(value: object) -> str:
    """Return what to pass instead of a value that is neither a job nor a list of jobs."""
    match value:
        case str():
            return "; for a prompt, pass Generate(prompt)"
        case Mapping():
            return "; for a row, pass Generate(**row)"
        case Job() | Request():
            return "; pass a list"
        case _ if inspect.isawaitable(value):
            return "; pass Generate(...), not client.generate(...)"
        case _:
            return ""
