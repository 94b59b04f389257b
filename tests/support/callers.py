"""Calls that hold their places until a test tells them how to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ideogram_async._limiter.limiter import Limiter

__all__ = ["Calls", "Draws", "numbers", "settle"]


class Draws:
    """Draws the same number always, and remembers between what it was asked to draw."""

    def __init__(self, value: float = 2.0) -> None:
        self.value = value
        self.bounds: set[tuple[float, float]] = set()

    def uniform(self, a: float, b: float, /) -> float:
        self.bounds.add((a, b))
        return self.value


class Calls:
    """Starts calls that hold their places until told otherwise, and remembers who got them when."""

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

    async def reject(self, *names: str, told: int | None = None, after: float | None = None) -> None:
        await self.end(*names, note=lambda: self.limiter.note_rejected(told, after))

    def cancel(self, name: str) -> None:
        self._tasks[name].cancel()

    def cancel_all(self) -> None:
        for name in self._tasks:
            self.cancel(name)


async def settle() -> None:
    """Let everything happen that can happen without time."""
    for _ in range(5):
        await asyncio.sleep(0)


def numbers(limiter: Limiter) -> tuple[float, int, int, int]:
    """Return limit, in flight, waiting and rejected."""
    now = limiter.statistics()
    return now.limit, now.in_flight, now.waiting, now.rejected
