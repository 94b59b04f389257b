"""Background tasks and threads that a cancelled caller does not interrupt."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

P = ParamSpec("P")
T = TypeVar("T")
Running: TypeAlias = Callable[[], set[asyncio.Task[object]]]
MAX_THREADS = 32
_threads: RunVar[CapacityLimiter] = RunVar("ideogram_async.threads")
_unregister: Callable[[asyncio.Task[object]], object] = getattr(asyncio, "_unregister_task", lambda _: None)


class Tasks:
    """The background tasks of one event loop.

    Args:
        listed: Whether `asyncio.run` cancels them at its end.
    """

    def __init__(self, *, listed: bool = False) -> None:
        self._listed = listed
        self._running: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[object, None, T]) -> asyncio.Task[T]:
        """Start a task and keep a reference to it until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task if self._listed else unlisted(task))
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, work: Coroutine[object, None, T]) -> T:
        """Run a task to its end, even if the caller is cancelled.

        A cancellation is raised at once. The task continues, and `join` waits for it.
        """
        task = self.start(work)
        task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    def others(self) -> set[asyncio.Task[object]]:
        """Return the running tasks, except the current one."""
        return self._running - {asyncio.current_task()}

    async def join(self) -> None:
        """Wait until all tasks have ended, except the current one."""
        await wait_for_end(self.others, math.inf)

    async def end(self, timeout: float) -> None:
        """Wait `timeout` seconds, then cancel the tasks that are still running."""
        if others := self.others():
            _, pending = await asyncio.wait(others, timeout=timeout)
            for task in pending:
                task.cancel()


async def wait_for_end(running: Running, seconds: float) -> None:
    """Wait until nothing is running, for at most that time. What is started meanwhile is included."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    while (tasks := running()) and (remaining := ends_at - loop.time()) > 0:
        await asyncio.wait(tasks, timeout=None if remaining == math.inf else remaining)


async def outlast(future: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait until a future is done, however often the caller is cancelled, and return the last cancellation.

    The caller raises it once it has used the outcome.
    """
    cancellation: asyncio.CancelledError | None = None
    # An anyio scope would cancel each wait again, and so never let it end.
    with CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as error:
                cancellation = error

    return cancellation


async def gather_all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Return the results of all. If some fail, raise the first error once all have ended."""
    results: list[T] = []
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome

        results.append(outcome)

    return results


def unlisted(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """Remove a task from `asyncio.all_tasks`, where `asyncio.run` finds the tasks that it cancels at its end.

    The task ends with the sessions of its event loop, which an asynchronous generator closes later.
    """
    _unregister(task)
    return task


def unlisted_context(function: Callable[P, AsyncGenerator[T]]) -> Callable[P, AbstractAsyncContextManager[T]]:
    """Make an async context manager like `asynccontextmanager`, for blocks that unlisted tasks run.

    At its end a loop closes all generators that it knows, also those whose block is still running.
    """

    @wraps(function)
    def generate(*args: P.args, **kwargs: P.kwargs) -> Any:
        return _UnlistedGenerator(function(*args, **kwargs))

    return asynccontextmanager(generate)


class _UnlistedGenerator:
    def __init__(self, generator: AsyncGenerator[Any]) -> None:
        self._generator = generator
        self.athrow = generator.athrow
        self.aclose = generator.aclose

    def __anext__(self) -> Awaitable[Any]:
        # The first step would register the generator with the loop.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return self._generator.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)


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
