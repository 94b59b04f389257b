"""Liveness of clients, shown by a counter that each raises in the ledger. No clock is compared with another."""

from __future__ import annotations

import asyncio

from ideogram_async._ledger.entries import Ledger, Owner
from ideogram_async._transport.emitter import logger
from ideogram_async._transport.tasks import unlisted
from ideogram_async.errors import LedgerError

UNCHANGED_READS = 5
"""Reads of a counter that has not changed, a quarter of the lease apart, after which its owner is silent."""


class Heartbeat:
    """Heartbeat of a client: raises its counter in a ledger while it has calls there."""

    def __init__(self, ledger: Ledger, owner: Owner) -> None:
        self.calls = 0
        """Calls in progress."""
        self._ledger = ledger
        self._owner = owner
        self._first: asyncio.Task[None] | None = None
        self._others: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait for the first beat, then continue in the background until `stop`.

        Raises:
            LedgerError: If the ledger is unavailable, or belongs to another service.
        """
        if self._first is None or (self._first.done() and self._first.exception()):
            self._first = unlisted(asyncio.create_task(self._ledger.beat(self._owner)))

        await asyncio.shield(self._first)
        if self._others is None:
            self._others = unlisted(asyncio.create_task(self._beat()))

    def stop(self) -> None:
        if self._others is not None:
            self._others.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._ledger.lease / 4)
            try:
                await self._ledger.beat(self._owner)
            except LedgerError as error:
                # Other clients may presume this one dead meanwhile, which costs nothing.
                logger.warning("the heartbeat could not be recorded: %s", error)


class Watch:
    """Watch of an owner's counter, for all callers that wait for this owner."""

    def __init__(self) -> None:
        self._counter: int | None = None
        self._unchanged = -1
        self._next_read_at = 0.0

    async def check(self, ledger: Ledger, owner: str) -> bool:
        """Read the counter if that is due, and return whether its owner is silent.

        The reads of all callers count together, however short each one waits.
        """
        now = asyncio.get_running_loop().time()
        if now < self._next_read_at and self._unchanged < UNCHANGED_READS:
            return False

        self._next_read_at = now + ledger.lease / 4
        return self.is_silent_at(await ledger.beats(owner))

    def is_silent_at(self, counter: int | None) -> bool:
        """Count a read of the counter, and return whether it has been the same for too many reads."""
        self._unchanged = 0 if self._unchanged < 0 or counter != self._counter else self._unchanged + 1
        self._counter = counter
        return self._unchanged >= UNCHANGED_READS


async def is_silent(ledger: Ledger, owner: str) -> bool:
    """Watch an owner, and return whether its counter does not change."""
    watch, first = Watch(), await ledger.beats(owner)
    counter = first
    while not watch.is_silent_at(counter):
        if counter != first:
            return False

        await asyncio.sleep(ledger.lease / 4)
        counter = await ledger.beats(owner)

    return True
