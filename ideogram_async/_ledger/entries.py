"""Values of a ledger, and its protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Literal, Protocol, TypeAlias

from attrs import evolve, field, frozen

from ideogram_async._ledger.outcome import Outcome
from ideogram_async._ledger.rules import CallState, Standing
from ideogram_async.models.base import Reply

Resolution: TypeAlias = Literal["lost", "retry", "adopt"]
MICRO = Decimal(10**6)


@frozen(kw_only=True)
class Entry:
    """A keyed call in a ledger."""

    key: str
    operation: str
    """Method and path, such as `POST /v1/ideogram-v3/generate`."""
    fingerprint: str
    """SHA-256 of what the request sends, in hexadecimal digits."""
    weight: int
    """Images in progress."""
    usd: Decimal | None
    """The price of one attempt; `None` if it is not known."""
    state: CallState
    attempt: int
    """The number of the last attempt, from 1."""
    token: str = field(repr=False)
    """Identifies the last attempt; empty if that was refused, and an earlier one is in doubt."""
    owner: str
    """The client that made the last attempt."""
    doubts: int = 0
    """Earlier attempts that are in doubt."""
    generation_id: str | None = None
    """The id of the generation, if the service has accepted the call first."""
    status: int | None = None
    raw: bytes | None = field(default=None, repr=False)
    """The body of the answer. Of a call that is accepted, the acknowledgement."""
    headers: str | None = field(default=None, repr=False)
    """The headers of the answer, as JSON."""
    error: str | None = None
    """The reason that the last attempt has no answer."""
    request: str | None = field(default=None, repr=False)
    """The request as JSON, if the ledger keeps requests."""
    started_at: datetime
    """The start of the last attempt."""
    settled_at: datetime | None = None
    """The end of the last attempt."""

    @property
    def standing(self) -> Standing:
        """Return the state and the attempts, for the rules."""
        return Standing(self.state, self.attempt, self.doubts)

    def reply(self) -> Reply:
        """Return the recorded reply."""
        return evolve(read_reply(self.status, self.raw, self.headers), cut=self.error)


@frozen(kw_only=True)
class Claim:
    """The first step of an attempt: nothing is sent unless a ledger has accepted it."""

    key: str
    operation: str
    fingerprint: str
    weight: int
    usd: Decimal | None
    token: str
    owner: str
    request: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Owner:
    """A client that sends keyed calls in one event loop. A counter, not a clock, shows that it is alive."""

    id: str
    host: str
    pid: int
    origin: str
    """The service. A ledger belongs to the first one that it was used with."""


@frozen(kw_only=True)
class Totals:
    """Calls of a ledger by state, and their cost in USD. Calls of unknown price count as zero."""

    calls: Mapping[CallState, int]
    spent_usd: Decimal
    """Answered, including calls that were forgotten since."""
    in_doubt_usd: Decimal
    """Attempts whose outcome is unknown."""
    in_flight_usd: Decimal
    """Sent or accepted, and not answered yet."""


class Ledger(Protocol):
    """A store of keyed calls that several processes share."""

    lease: float
    """Seconds of silence after which the owner of a call is presumed dead."""
    max_cost_usd: Decimal | None
    """The budget of all processes together."""
    keep_requests: bool
    """Whether entries contain their requests."""

    async def get(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        ...

    def entries(self, *states: CallState | str) -> AsyncIterator[Entry]:
        """Iterate over the entries in these states, or over all, in the order of their keys."""
        ...

    async def resolve(self, key: str, how: Resolution, *, url: str | None = None) -> Entry:
        """Decide about a call whose outcome is unknown, and return its entry.

        Args:
            key: The key of the call.
            how: `"lost"` gives it up, also one that the service has accepted and does not finish; its price stays
                booked. `"retry"` lets the next `once` buy a call in doubt, or one that was given up, again, with money
                of its own. `"adopt"` makes an image that you found the answer of any of these.
            url: The link of that image.

        Raises:
            LedgerError: If the call is in another state, or its owner is alive.
        """
        ...

    async def totals(self) -> Totals:
        """Count calls and costs."""
        ...

    async def forget(self, before: datetime) -> int:
        """Delete calls that were answered or given up before that time, and return their number.

        A forgotten key can be bought again. Calls in doubt are kept.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections. A later use opens them again."""
        ...

    async def claim(self, claim: Claim) -> Entry:
        """Record an attempt unless the key is taken, and return the entry: it has the claim's token if it succeeded.

        Raises:
            BudgetError: If the price does not fit into the budget.
        """
        ...

    async def settle(self, key: str, attempt: int, outcome: Outcome) -> Entry | None:
        """Record the acceptance or the outcome of an attempt, and return the entry; `None` if the key is free.

        Settling the same attempt twice is harmless. An answer that cannot become the entry's is kept; see `strays`.
        """
        ...

    async def strays(self, key: str) -> list[Reply]:
        """Return the answers to attempts of a key other than the one that its entry has."""
        ...

    async def beat(self, owner: Owner) -> None:
        """Raise the counter of an owner.

        Raises:
            LedgerError: If the ledger belongs to another service.
        """
        ...

    async def beats(self, owner: str) -> int | None:
        """Return the counter of an owner."""
        ...


def read_reply(status: int | None, raw: bytes | None, headers: str | None) -> Reply:
    """Return a reply that was recorded."""
    return Reply(status=status or 200, raw=raw or b"", headers=read_headers(headers), replayed=True)


def read_headers(text: str | None) -> dict[str, str]:
    """Return the headers of a reply.

    Raises:
        ValueError: If they are damaged.
    """
    headers = json.loads(text or "{}")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError("its headers cannot be read")

    return headers


def to_micros(usd: Decimal | None) -> int | None:
    """Return an amount in whole millionths of a USD, rounded up."""
    return None if usd is None else int((usd * MICRO).to_integral_value(ROUND_CEILING))


def from_micros(micros: int | None) -> Decimal | None:
    """Return an amount in USD."""
    return None if micros is None else micros / MICRO
