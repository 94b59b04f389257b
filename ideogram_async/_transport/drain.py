"""Drain of tasks: a stop that lets what is in flight finish, until it is given up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

from anyio import CancelScope

from ideogram_async._transport.tasks import Running, unlisted, wait_for_end

INTERRUPTIONS = (asyncio.CancelledError, KeyboardInterrupt)


class Work:
    """Work in tasks of its own: after a stop it finishes what is in flight, unless it is given up.

    Args:
        work: The work. Giving it up cancels it.
        close: Called when it has ended in any way.
        stop: Stops the work for a reason.
        grace: Seconds that it has after a cancellation of the task that waits for its end.
    """

    def __init__(
        self,
        work: Coroutine[object, None, None],
        *,
        close: Callable[[], Awaitable[None]],
        stop: Callable[[str], object],
        grace: float,
    ) -> None:
        self.stop = stop
        self.grace = grace
        self._work = unlisted(asyncio.create_task(work))
        self.task: asyncio.Task[None] = unlisted(asyncio.create_task(self._run(close)))
        """Ends once the work is closed."""

    def give_up(self) -> None:
        """End the work now."""
        self._work.cancel()

    async def drain(self, reason: str, error: BaseException | None) -> None:
        """Stop the work and wait for its end, as `drain` does."""
        await drain(partial(self.stop, reason), self._running, self._end, grace=self.grace, error=error)
        self.task.result()

    def _running(self) -> set[asyncio.Task[object]]:
        return set() if self.task.done() else {self.task}

    async def _end(self) -> None:
        self.give_up()
        await asyncio.wait({self.task})

    async def _run(self, close: Callable[[], Awaitable[None]]) -> None:
        while not self._work.done():
            try:
                await asyncio.wait({self._work})
            except asyncio.CancelledError:
                # By `asyncio.run`, on an interpreter where tasks cannot be kept from it.
                self.give_up()

        await close()


async def drain(
    stop: Callable[[], object],
    running: Running,
    end: Callable[[], Awaitable[None]],
    *,
    grace: float,
    limit: float = math.inf,
    error: BaseException | None,
) -> None:
    """Stop tasks, wait until they have ended, then call `end`, which gives up those that have not.

    The first cancellation of the caller leaves `grace` seconds, and is raised afterwards. A second one ends the wait. A
    cancel scope of anyio counts once: the rest is shielded from it.

    Args:
        stop: Stops the tasks.
        running: Returns those that are running, except the caller's.
        end: Ends them.
        grace: Seconds to wait after a cancellation.
        limit: Seconds to wait without one.
        error: The error that the caller is handling. A cancellation counts as the first one.
    """
    is_interrupted = isinstance(error, INTERRUPTIONS)
    ends_at = asyncio.get_running_loop().time() + limit
    try:
        stop()
        if not is_interrupted:
            await wait_for_end(running, limit)
    except INTERRUPTIONS:
        remaining = ends_at - asyncio.get_running_loop().time()
        await _finish(running, end, 0 if is_interrupted else min(grace, remaining))
        raise

    await _finish(running, end, grace if is_interrupted else 0)


async def _finish(running: Running, end: Callable[[], Awaitable[None]], seconds: float) -> None:
    with CancelScope(shield=True):
        try:
            await wait_for_end(running, seconds)
        finally:
            await end()
