"""Ledger of one call in the heartbeats of its activity, for a client without a ledger.

The server keeps the details of the last heartbeat, and passes them to the next attempt. The server confirms
each heartbeat before the call continues; `activity.heartbeat` sends them at some later time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import asdict, evolve
from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.service import RPCError, RPCStatusCode

from ideogram_async._ledger.entries import Claim, Entry, Owner, Totals
from ideogram_async._ledger.outcome import Outcome
from ideogram_async._ledger.rules import CallState
from ideogram_async._ledger.transitions import claimed, permits, settled
from ideogram_async.errors import LedgerError
from ideogram_async.integrations._steps import READERS, plain
from ideogram_async.models.base import Reply

_READERS: dict[str, Callable[..., object]] = {
    **READERS,
    "settled_at": datetime.fromisoformat,
    "state": CallState,
}


class HeartbeatLedger:
    """The ledger of the one call of an activity.

    Args:
        details: The last heartbeat of an earlier activity of the same call.
    """

    lease: float = 10.0
    max_cost_usd: Decimal | None = None
    keep_requests: bool = False

    def __init__(self, details: Sequence[object]) -> None:
        info = activity.info()
        self._handle = activity.client().get_async_activity_handle(task_token=info.task_token)
        self._lock = asyncio.Lock()
        self._entry = read_entry(info.heartbeat_details or details)
        self._failure: str | None = None

    async def heartbeat(self) -> None:
        """Send a heartbeat with the current entry.

        Raises:
            LedgerError: If the server does not accept it.
        """
        async with self._lock:
            await self._send(self._entry)

    async def claim(self, claim: Claim) -> Entry:
        """Record an attempt; see `Ledger.claim`.

        Raises:
            LedgerError: If the server does not accept it, or the activity was canceled or paused.
        """
        async with self._lock:
            if self._entry is not None and not permits(self._entry, claim):
                return self._entry

            # A heartbeat that failed may arrive later, in place of a newer one.
            if self._failure is not None:
                raise LedgerError(self._failure, retryable=True)

            entry = claimed(self._entry, claim, datetime.now(UTC))
            if not await self._send(entry):
                await self._send(self._entry)
                raise LedgerError("the activity was canceled or paused; nothing was sent", retryable=True)

            self._entry = entry
            return entry

    async def settle(self, key: str, attempt: int, outcome: Outcome) -> Entry | None:
        """Record the outcome of an attempt; see `Ledger.settle`.

        Raises:
            LedgerError: If the server does not accept it.
        """
        async with self._lock:
            entry = self._entry and settled(self._entry, outcome, datetime.now(UTC))
            await self._send(entry)
            self._entry = entry
            return entry

    async def _send(self, entry: Entry | None) -> bool:
        """Send a heartbeat, and return whether the activity may continue."""
        try:
            await self._handle.heartbeat(*details_of(entry))
        except AsyncActivityCancelledError:
            return False
        except RPCError as error:
            self._failure = f"Temporal did not accept a heartbeat: {error.message}"
            # It is not found if another attempt has begun.
            raise LedgerError(self._failure, retryable=error.status is not RPCStatusCode.NOT_FOUND) from None

        return True

    async def get(self, key: str) -> Entry | None:
        return self._entry

    async def beat(self, owner: Owner) -> None:
        return

    async def beats(self, owner: str) -> int | None:
        return None

    async def strays(self, key: str) -> list[Reply]:
        return []

    async def aclose(self) -> None:
        return

    def entries(self, *states: CallState | str) -> AsyncIterator[Entry]:
        raise NotImplementedError

    async def resolve(self, key: str, how: str, *, url: str | None = None) -> Entry:
        raise NotImplementedError

    async def totals(self) -> Totals:
        raise NotImplementedError

    async def forget(self, before: datetime) -> int:
        raise NotImplementedError


def details_of(entry: Entry | None) -> list[object]:
    """Return the details of a heartbeat."""
    if entry is None:
        return []

    return [str(entry.state), {name: plain(value) for name, value in asdict(entry).items()}]


def read_entry(details: Sequence[object]) -> Entry | None:
    """Return the call in the details of an earlier attempt's heartbeat; its outcome is unknown if it was being sent."""
    match [*details]:
        case [str(), dict(fields)]:
            values: dict[str, Any] = {name: _read(name, value) for name, value in fields.items()}
            entry = Entry(**values)
            is_lost = entry.state is CallState.SENDING
            return evolve(entry, state=CallState.AMBIGUOUS, error="its worker was lost") if is_lost else entry
        case _:
            return None


def _read(name: str, value: object) -> object:
    read = _READERS.get(name)
    return value if read is None or value is None else read(value)
