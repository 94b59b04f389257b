"""Runs what blocks in a thread, so that the event loop never waits for a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

__all__ = ["in_thread"]

T = TypeVar("T")

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
