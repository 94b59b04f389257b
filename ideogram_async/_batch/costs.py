"""Costs of jobs, and the budget of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from decimal import Decimal

from ideogram_async._batch.job import JobState
from ideogram_async._batch.journal.rows import JobGroup
from ideogram_async._prices import format_usd

NOT_BILLED = (JobState.PENDING, JobState.REJECTED)
BILLED = (JobState.ANSWERED, JobState.DONE, JobState.PARTIAL)
MAYBE_BILLED = (JobState.AMBIGUOUS, JobState.SENDING, JobState.ACCEPTED)


def cost_of(state: JobState, usd: Decimal | None, resends: int) -> Decimal | None:
    """Return the maximum cost of a job: every attempt that may have run counts."""
    attempts = resends + (state not in NOT_BILLED)
    return Decimal(0) if not attempts else None if usd is None else usd * attempts


def confirmed_cost(state: JobState, usd: Decimal | None) -> Decimal:
    """Return the part of the cost that is certain: the attempt that was answered, without earlier ones."""
    return usd if usd is not None and state in BILLED else Decimal(0)


def total_costs(groups: Iterable[JobGroup]) -> tuple[Decimal, Decimal]:
    """Return the maximum cost of jobs, and the confirmed part of it."""
    maximum = confirmed = Decimal(0)
    for group in groups:
        maximum += (cost_of(group.state, group.usd, group.resends) or 0) * group.jobs
        confirmed += confirmed_cost(group.state, group.usd) * group.jobs

    return maximum, confirmed


class Budget:
    """Reserves the worst case before a call is sent, so that concurrent jobs never exceed the cap together.

    Args:
        cap: The maximum to spend, in USD; `None` for no limit.
        spent: The cost of earlier runs, attempts that may have been billed included.
        in_doubt: The part of `spent` that was spent without an answer.
    """

    def __init__(self, cap: Decimal | None, spent: Decimal = Decimal(0), in_doubt: Decimal = Decimal(0)) -> None:
        self.cap = cap
        self.spent = spent
        """Confirmed or in doubt."""
        self.in_doubt = in_doubt
        """The part that was spent without an answer."""
        self.reserved = Decimal(0)
        self._changed = asyncio.Condition()

    async def reserve(self, usd: Decimal) -> bool:
        """Reserve the price of a call, after waiting while calls in flight could still free enough of the budget.

        Returns `False` if the cap is reached. A cancellation reserves nothing.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(usd) or not self.reserved)
            if not self._fits(usd):
                return False

            self.reserved += usd
            return True

    def reserve_again(self, usd: Decimal) -> None:
        """Reserve what an earlier run spent on a call without knowing its outcome, which this run learns."""
        self.spent -= usd
        self.in_doubt -= usd
        self.reserved += usd

    def add_in_doubt(self, usd: Decimal) -> None:
        """Count what earlier runs may have spent, whose price was not known before."""
        self.spent += usd
        self.in_doubt += usd

    async def release(self, usd: Decimal) -> None:
        """Release the reservation of a call that did not run."""
        await self._settle(usd, Decimal(0))

    async def spend(self, usd: Decimal, *, in_doubt: bool = False) -> None:
        """Spend the reservation of a call that ran or may have run."""
        self.in_doubt += usd if in_doubt else 0
        await self._settle(usd, usd)

    async def _settle(self, reserved: Decimal, spent: Decimal) -> None:
        self.reserved -= reserved
        self.spent += spent
        async with self._changed:
            self._changed.notify_all()

    def exhausted(self, usd: Decimal) -> str:
        """Return why a call of that price is not sent, and what to do."""
        spent, in_doubt = format_usd(self.spent - self.in_doubt), format_usd(self.in_doubt)
        return (
            f"budget of {format_usd(self.cap)} reached: {spent} spent, {in_doubt} in doubt,"
            f" and the next job costs up to {format_usd(usd)}; raise max_cost_usd (--max-cost-usd) to resume"
        )

    def _fits(self, usd: Decimal) -> bool:
        return self.cap is None or self.spent + self.reserved + usd <= self.cap
