"""Base class of the ledgers in databases: settings, opening, and decisions about calls in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar, get_args

from ideogram_async._download.hosts import Hosts
from ideogram_async._ledger import transactions
from ideogram_async._ledger.entries import Claim, Entry, Owner, Resolution, Totals
from ideogram_async._ledger.liveness import is_silent
from ideogram_async._ledger.outcome import Outcome
from ideogram_async._ledger.rules import CallState
from ideogram_async._ledger.transactions import Transaction
from ideogram_async._ledger.transitions import RESOLVABLE, decided
from ideogram_async._prices import parse_usd
from ideogram_async.errors import LedgerError
from ideogram_async.models.base import Reply

D = TypeVar("D")
T = TypeVar("T")


class StoredLedger(Generic[D]):
    """A ledger in a database, which it opens at its first use, in one event loop."""

    def __init__(self, max_cost_usd: Decimal | str | float | None, lease: float, *, keep_requests: bool) -> None:
        if not lease > 0:
            raise ValueError(f"lease must be a number of seconds above 0, not {lease!r}")

        self.lease: float = float(lease)
        """Seconds of silence after which the owner of a call is presumed dead."""
        self.max_cost_usd: Decimal | None = None if max_cost_usd is None else parse_usd("max_cost_usd", max_cost_usd)
        """The budget of all processes together, in USD."""
        self.keep_requests: bool = keep_requests
        """Whether entries contain their requests."""
        self._database: D | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def get(self, key: str) -> Entry | None:
        """Return the entry of a key.

        Raises:
            LedgerError: If the ledger cannot be read.
        """
        return await self._run(partial(transactions.find, key))

    async def entries(self, *states: CallState | str) -> AsyncIterator[Entry]:
        """Iterate over the entries in these states, or over all, in the order of their keys.

        Raises:
            LedgerError: If the ledger cannot be read.
        """
        names, last = [CallState(state) for state in states or CallState], ""
        while page := await self._run(partial(transactions.find_page, names, last)):
            for entry in page:
                yield entry

            last = page[-1].key

    async def totals(self) -> Totals:
        """Count calls and costs.

        Raises:
            LedgerError: If the ledger cannot be read.
        """
        return await self._run(transactions.count)

    async def forget(self, before: datetime) -> int:
        """Delete calls that were answered or given up before that time, and return their number.

        A forgotten key can be bought again. Calls in doubt are kept, and what was spent still counts.

        Raises:
            ValueError: If the time has no time zone.
            LedgerError: If the ledger cannot be written.
        """
        if before.tzinfo is None:
            raise ValueError("before must have a time zone")

        return await self._run(partial(transactions.forget, before))

    async def strays(self, key: str) -> list[Reply]:
        """Return the answers to attempts of a key other than the one that its entry has.

        Raises:
            LedgerError: If the ledger cannot be read.
        """
        return await self._run(partial(transactions.find_strays, key))

    async def claim(self, claim: Claim) -> Entry:
        """Record an attempt unless the key is taken, and return the entry: it has the claim's token if it succeeded.

        Raises:
            BudgetError: If the price does not fit into the budget.
            LedgerError: If the ledger cannot be written.
        """
        return await self._run(partial(transactions.claim_key, claim, self.max_cost_usd))

    async def settle(self, key: str, attempt: int, outcome: Outcome) -> Entry | None:
        """Record the acceptance or the outcome of an attempt, and return the entry; `None` if the key is free.

        Raises:
            LedgerError: If the ledger cannot be written.
        """
        return await self._run(partial(transactions.settle_attempt, key, attempt, outcome))

    async def beat(self, owner: Owner) -> None:
        """Raise the counter of an owner.

        Raises:
            LedgerError: If the ledger belongs to another service, or cannot be written.
        """
        await self._run(partial(transactions.beat, owner))

    async def beats(self, owner: str) -> int | None:
        """Return the counter of an owner; `None` if it is not known.

        Raises:
            LedgerError: If the ledger cannot be read.
        """
        return await self._run(partial(transactions.find_beats, owner))

    async def resolve(self, key: str, how: Resolution, *, url: str | None = None) -> Entry:
        """Decide about a call whose outcome is unknown, and return its entry.

        A call that is still on record as being sent is watched first, for a quarter longer than the lease. If an answer
        comes after all, it becomes that of the call, unless another attempt has one or an image was adopted: see
        `strays`.

        Args:
            key: The key of the call.
            how: `"lost"` gives it up, also one that the service has accepted and does not finish; its price stays
                booked. `"retry"` lets the next `once` buy a call in doubt, or one that was given up, again, with money
                of its own. `"adopt"` makes an image that you found the answer of any of these.
            url: The link of that image.

        Raises:
            ValueError: If `how` is none of these, or the link does not go with it.
            LedgerError: If the call is in another state, its owner is alive, or the ledger cannot be written.
        """
        if how not in get_args(Resolution):
            raise ValueError(f"how must be one of {', '.join(get_args(Resolution))}, not {how!r}")

        if (how == "adopt") != (url is not None):
            raise ValueError("adopt needs the image's link" if url is None else f"{how} takes no link")

        if url is not None:
            Hosts(loopback=await self._run(transactions.find_origin) == "sandbox").check(url)

        entry = await self.get(key)
        if entry is None:
            raise LedgerError(f"the ledger has no key {key!r}")

        if entry.state not in RESOLVABLE[how]:
            is_open = entry.state is CallState.ACCEPTED
            reason = "it may still be answered, so give it up first" if is_open else "there is nothing to decide"
            raise LedgerError(f"key {key!r} is {entry.state}: {reason}")

        if entry.state is CallState.SENDING and not await is_silent(self, entry.owner):
            raise LedgerError(f"key {key!r} is being sent by a client that is alive")

        return await self._run(partial(transactions.decide, entry, decided(entry, how, url, datetime.now(UTC))))

    async def aclose(self) -> None:
        """Close the connections. A later use opens them again."""
        database, self._database, self._loop = self._database, None, None
        self._opening = asyncio.Lock()
        if database is not None:
            await self._close(database)

    async def _use(self) -> D:
        """Return the open database."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop.is_closed():
            await self.aclose()

        # Before the first wait: of two loops that begin at once, one is refused.
        if (self._loop or loop) is not loop:
            raise LedgerError(f"{self!r} is open in another event loop: give each loop a ledger of its own")

        self._loop = loop
        async with self._opening:
            if self._database is None:
                self._database, self._loop = await self._open(), loop

            return self._database

    async def _run(self, transaction: Callable[[], Transaction[T]]) -> T:
        """Run a transaction and return its result once it is committed."""
        raise NotImplementedError

    async def _open(self) -> D:
        """Open the database, and create its tables if they are missing."""
        raise NotImplementedError

    async def _close(self, database: D) -> None:
        """Close the database."""
        raise NotImplementedError
