"""How many jobs a batch has in hand: those that ask or wait to, and those whose results nobody has taken yet."""

from __future__ import annotations

import asyncio

from ideogram_async.batch.pulling import LOOK_AHEAD

__all__ = ["LAG", "Room"]

LAG = 64
"""Jobs that may be answered and not yet collected, or collected and not yet taken by the caller."""


class Room:
    """Room for jobs. Each needs a place among those that ask until it is answered, and one until its result is taken.

    Args:
        limit: Images that may be in progress.
    """

    def __init__(self, limit: int) -> None:
        self.asking = asyncio.Semaphore(limit + LOOK_AHEAD)
        self.alive = asyncio.Semaphore(limit + LOOK_AHEAD + LAG)

    async def take(self) -> int:
        """Wait for room for a job, and take what more there is."""
        await self._take_one()
        count = 1
        while not (self.asking.locked() or self.alive.locked()):
            # Waits for nobody.
            await self._take_one()
            count += 1

        return count

    def give_back(self, count: int) -> None:
        """Give back room that no job has used."""
        for _ in range(count):
            self.alive.release()
            self.asking.release()

    async def _take_one(self) -> None:
        await self.alive.acquire()
        await self.asking.acquire()
