"""What a batch has spent, may have spent, and may still spend: never a cent more than its cap."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from ideogram_async._batch.job import JobState


class Budget:
    """Reserves the worst case before a call leaves, so that no number of workers can overshoot together.

    Args:
        cap: The most that may be spent, in USD; `None` for no bound.
        spent: What earlier runs have spent, or may have spent.
    """

    def __init__(self, cap: Decimal | None, spent: Decimal) -> None:
        self.cap = cap
        self.spent = spent
        """For certain, or in doubt."""
        self.in_doubt = Decimal(0)
        """What this run has spent without an answer."""
        self.reserved = Decimal(0)
        self._changed = asyncio.Condition()

    async def reserve(self, usd: Decimal) -> bool:
        """Set money aside for a call; `False` if the cap is reached, and nothing in flight could free any more.

        A cancellation reserves nothing.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(usd) or not self.reserved)
            if not self._fits(usd):
                return False

            self.reserved += usd
            return True

    async def release(self, usd: Decimal) -> None:
        """Give back what was set aside for a call that did not run."""
        await self._settle(usd, Decimal(0))

    async def spend(self, usd: Decimal, *, in_doubt: bool = False) -> None:
        """Book what was set aside for a call that ran, or may have run."""
        self.in_doubt += usd if in_doubt else 0
        await self._settle(usd, usd)

    async def _settle(self, usd: Decimal, spent: Decimal) -> None:
        self.reserved -= usd
        self.spent += spent
        async with self._changed:
            self._changed.notify_all()

    def _fits(self, usd: Decimal) -> bool:
        return self.cap is None or self.spent + self.reserved + usd <= self.cap


FREE = (JobState.PENDING, JobState.REJECTED)

DOUBTFUL = (JobState.AMBIGUOUS, JobState.SENDING)


def cost_of(state: JobState, usd: Decimal | None, resends: int) -> Decimal | None:
    """Return what a job has cost at most: every attempt that may have run counts."""
    times = resends + (state not in FREE)
    return Decimal(0) if not times else None if usd is None else usd * times


def certain_of(state: JobState, usd: Decimal | None) -> Decimal:
    """Return how much of that is certain: the attempt that was answered. The earlier ones stay in doubt."""
    return Decimal(0) if usd is None or state in (*FREE, *DOUBTFUL) else usd
