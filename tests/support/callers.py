"""Calls that hold their slots until a test ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ideogram_async._limiter.limiter import Limiter

__all__ = ["Calls", "FixedRandom", "numbers", "settle"]


class FixedRandom:
    """A random number generator that always returns the same number, and records the bounds."""

    def __init__(self, value: float = 2.0) -> None:
        self.value = value
        self.bounds: set[tuple[float, float]] = set()

    def uniform(self, a: float, b: float, /) -> float:
        self.bounds.add((a, b))
        return self.value


class Calls:
    """Calls that hold their slots until they are ended, and the times when they acquired them."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.started: list[str] = []
        self.started_at: dict[str, float] = {}
        self.queued: dict[str, float] = {}
        self._ends: dict[str, asyncio.Future[Callable[[], None] | None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, weight: int = 1) -> None:
        self._tasks[name] = asyncio.create_task(self._hold(name, weight))
        await settle()

    async def _hold(self, name: str, weight: int) -> None:
        loop = asyncio.get_running_loop()
        self._ends[name] = loop.create_future()
        async with self.limiter.acquire(weight) as lease:
            self.started.append(name)
            self.started_at[name] = loop.time()
            self.queued[name] = lease.queued
            if (note := await self._ends[name]) is not None:
                note()

    async def end(self, *names: str, note: Callable[[], None] | None = None) -> None:
        for name in names:
            self._ends[name].set_result(note)
        await settle()

    async def accept(self, *names: str, weight: int = 1) -> None:
        await self.end(*names, note=lambda: self.limiter.note_accepted(weight))

    async def reject(self, *names: str, limit: int | None = None, after: float | None = None) -> None:
        await self.end(*names, note=lambda: self.limiter.note_rejected(limit, after))

    def cancel(self, name: str) -> None:
        self._tasks[name].cancel()

    def cancel_all(self) -> None:
        for name in self._tasks:
            self.cancel(name)


async def settle() -> None:
    """Let the event loop run all ready callbacks."""
    for _ in range(5):
        await asyncio.sleep(0)


def numbers(limiter: Limiter) -> tuple[float, int, int, int]:
    """Return limit, in flight, waiting and rejected."""
    statistics = limiter.statistics()
    return statistics.limit, statistics.in_flight, statistics.waiting, statistics.rejected
