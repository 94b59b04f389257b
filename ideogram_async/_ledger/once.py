"""Keyed calls of one client in one event loop: each key is sent once, and all its callers get the answer."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import uuid4

from attrs import evolve, frozen

from ideogram_async._accepted import Accepted
from ideogram_async._ledger.claims import needs_quote
from ideogram_async._ledger.entries import Claim, Entry, Ledger, Owner
from ideogram_async._ledger.liveness import Heartbeat, Watch
from ideogram_async._ledger.record import CallRecord, TakenError
from ideogram_async._ledger.rules import CallState
from ideogram_async._prices import format_usd
from ideogram_async._transport.emitter import logger
from ideogram_async._transport.tasks import Tasks, outlast
from ideogram_async.errors import (
    Billed,
    IdeogramError,
    InDoubtError,
    InProgressError,
    KeyConflictError,
    LedgerError,
    NotSentError,
    Phase,
    WaitTimeout,
)
from ideogram_async.models.base import Answer, Reply

T = TypeVar("T")
POLL_SECONDS = 1.0
"""Longest time between two reads of the entry of another client's call."""
WAIT_AGAIN = "Repeat the call with the same key: it waits for the same generation, and costs nothing more."


@frozen
class Steps(Generic[T]):
    """The steps of a keyed call."""

    send: Callable[[CallRecord], Awaitable[Reply]]
    """Sends the call, with each attempt and its outcome on record."""
    collect: Callable[[CallRecord, Accepted], Awaitable[Reply]]
    """Waits for the generation of a call that was accepted, and records its answer."""
    read: Callable[[Reply], T]
    """Decodes a reply."""
    guard: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]
    """Runs all of this, holds what it needs, and ends it when the client is closed."""


class KeyedCalls:
    """The keyed calls of a client in one event loop.

    Args:
        origin: The service.
    """

    def __init__(self, origin: str) -> None:
        self.tasks: Tasks = Tasks()
        """Calls, and outcomes that are not on record yet."""
        self._closing = asyncio.Event()
        self._owner = Owner(id=uuid4().hex, host=platform.node(), pid=os.getpid(), origin=origin)
        self._calls: dict[tuple[int, str], KeyedCall[Any]] = {}
        self._heartbeats: dict[int, Heartbeat] = {}
        self._watches: dict[tuple[int, str], Watch] = {}
        """Watches of other clients. Callers that stop waiting leave them to later ones."""

    async def priced(self, ledger: Ledger, claim: Claim, quote: Callable[[], Awaitable[Decimal]]) -> Claim:
        """Return a claim with the price of its call, as far as the budget of the ledger needs it.

        If the service has run the call in place of a quote, its key is in doubt, so that it is not asked again.

        Args:
            ledger: The ledger.
            claim: The claim, with the price of the table if that has one.
            quote: Asks for the price.

        Raises:
            InvalidRequestError: If the operation has no quotes.
            IdeogramError: If the service cannot be asked for the price.
        """
        if ledger.max_cost_usd is None or claim.usd is not None:
            return claim

        entry = await ledger.get(claim.key)
        if entry is not None and not needs_quote(entry):
            return evolve(claim, usd=entry.usd)

        try:
            return evolve(claim, usd=await quote())
        except IdeogramError as error:
            if error.billed is not Billed.NO:
                recording = self.tasks.start(self._record_doubt(ledger, claim, error))
                if cancellation := await outlast(recording):
                    raise cancellation from error

            raise

    async def _record_doubt(self, ledger: Ledger, claim: Claim, error: IdeogramError) -> None:
        """Record that the call of a key may have run, although only its price was asked for."""
        record = self._new_record(ledger, claim, is_wanted=lambda: True)
        try:
            await ledger.beat(self._owner)
            await record.begin()
        except TakenError:
            return
        except LedgerError as failure:
            logger.error("key %r: that its call may have run could not be recorded: %s", claim.key, failure)
            return

        await record.fail(error, may_have_run=True)

    async def find(self, ledger: Ledger, claim: Claim) -> KeyedCall[Any] | None:
        """Return the running call of a key.

        Raises:
            KeyConflictError: If it is the call of another request.
        """
        while call := self._calls.get((id(ledger), claim.key)):
            if call.record.claim.fingerprint != claim.fingerprint:
                raise conflict(claim.key)

            if not call.record.is_dropped:
                return call

            await asyncio.wait({call.task})

        return None

    def start(self, ledger: Ledger, claim: Claim, steps: Steps[T]) -> KeyedCall[T]:
        """Start the call of a key in a task of its own. Its attempts are claimed by this client."""
        record = self._new_record(ledger, claim, is_wanted=lambda: call.callers > 0)
        call = KeyedCall(record, steps, self._watches, self._is_sending)
        self._calls[id(ledger), claim.key] = call
        call.task = self.tasks.start(self._run(call))
        return call

    def _new_record(self, ledger: Ledger, claim: Claim, is_wanted: Callable[[], bool]) -> CallRecord:
        return CallRecord(
            ledger=ledger,
            claim=evolve(claim, owner=self._owner.id),
            start=self.tasks.start,
            is_wanted=is_wanted,
            closing=self._closing,
        )

    async def _run(self, call: KeyedCall[Any]) -> None:
        ledger = call.record.ledger
        heartbeat = self._heartbeats.setdefault(id(ledger), Heartbeat(ledger, self._owner))
        heartbeat.calls += 1
        try:
            await call.run(heartbeat)
            # Later callers get the outcome from here until it is on record.
            await call.record.join()
        finally:
            del self._calls[id(ledger), call.record.claim.key]
            heartbeat.calls -= 1
            if not heartbeat.calls:
                heartbeat.stop()
                del self._heartbeats[id(ledger)]

    def _is_sending(self, entry: Entry) -> bool:
        """Return whether an entry is of a call of this client, whose outcome is not known yet."""
        return any(call.record.claim.token == entry.token for call in self._calls.values())

    def give_up(self) -> None:
        """Retry no failed step of a ledger any more."""
        self._closing.set()

    async def aclose(self) -> None:
        """Wait until each outcome that is not on record was written, or failed once more."""
        self.give_up()
        await self.tasks.join()


class KeyedCall(Generic[T]):
    """The call of a key, for all its callers in one event loop."""

    task: asyncio.Task[None]

    def __init__(
        self,
        record: CallRecord,
        steps: Steps[T],
        watches: dict[tuple[int, str], Watch],
        is_sending: Callable[[Entry], bool],
    ) -> None:
        self.record = record
        self.callers: int = 0
        self._is_elsewhere = asyncio.Event()
        """Set while another client sends the call."""
        self._steps = steps
        self._watches = watches
        self._is_sending = is_sending
        self._answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float | None, *, is_first: bool) -> T:
        """Return the answer.

        A cancellation ends the wait. Without callers, a call that is not being sent ends.

        Args:
            seconds: Time to wait for the answer to a call that another caller has sent.
            is_first: Whether this caller started the call.

        Raises:
            InProgressError: If that time is over.
        """
        self.callers += 1
        try:
            if seconds is not None and is_first:
                # No limit for what this caller sends itself, nor for its time in the queue.
                await _first_of(self._answer, self._is_elsewhere)

            while not self._answer.done():
                await asyncio.wait({self._answer}, timeout=seconds)
                # If the other client was refused, this caller sends the call after all.
                if not self._answer.done() and not (is_first and self.record.is_sending):
                    raise InProgressError(f"key {self.record.claim.key!r} has no answer after {seconds} s")

            return self._answer.result()
        finally:
            self.callers -= 1
            if not self.callers:
                # Not at once: a task that is cancelled before its first step would not close its resources.
                asyncio.get_running_loop().call_soon(self._drop)

    def _drop(self) -> None:
        if not self.callers and not self.record.is_sending and not self._answer.done():
            self.record.is_dropped = True
            self.task.cancel()

    async def run(self, heartbeat: Heartbeat) -> None:
        """Get the answer while this client shows that it is alive, and pass it, or the error, to the callers."""

        async def work() -> T:
            await heartbeat.start()
            return await self._get_answer()

        try:
            self._answer.set_result(await self._decided_by_record(self._steps.guard(work)))
        except asyncio.CancelledError:
            self._answer.cancel()
            raise
        except Exception as error:
            self._answer.set_exception(error)
            # Retrieved, so that asyncio does not log it if no caller is left.
            self._answer.exception()

    async def _get_answer(self) -> T:
        """Send the call, or wait for another client's answer, as the entry of the key states.

        Raises:
            InDoubtError: If an attempt may have been billed, or the owner of one is silent.
            GenerationFailed: If the service has accepted the call, and it has failed.
            WaitTimeout: If the service has accepted the call and has not finished it in time.
            KeyConflictError: If the key belongs to another request.
            LedgerError: If the ledger is unavailable.
        """
        while True:
            match await self._find_entry():
                case None | Entry(state=CallState.PENDING):
                    self._check_price()
                    self._is_elsewhere.clear()
                    with suppress(TakenError):
                        return self._steps.read(await self._steps.send(self.record))
                case Entry(state=CallState.SENDING) as entry:
                    await self._wait_for_owner(entry)
                case Entry(state=CallState.ACCEPTED) as entry:
                    return await self._collect(entry)
                case Entry(state=CallState.ANSWERED) as entry:
                    return self._steps.read(entry.reply())
                case Entry(state=CallState.LOST) as entry:
                    raise in_doubt(entry, entry.error or "it was given up")
                case entry:
                    raise in_doubt(entry, entry.error or "its outcome is unknown")

    async def _find_entry(self) -> Entry | None:
        claim = self.record.claim
        entry = await self.record.ledger.get(claim.key)
        if entry is not None and entry.fingerprint != claim.fingerprint:
            raise conflict(claim.key)

        return entry

    def _check_price(self) -> None:
        """Check that a call under a budget has a price: it was not asked for if the key was not free a moment ago.

        Raises:
            LedgerError: If it has none.
        """
        claim = self.record.claim
        if claim.usd is None and self.record.ledger.max_cost_usd is not None:
            raise LedgerError(f"key {claim.key!r} has just become free: repeat the call to price it", retryable=True)

    async def _collect(self, entry: Entry) -> T:
        """Ask for the generation of an accepted call, also one of another client. That costs nothing.

        Raises:
            GenerationFailed: If it has failed.
            WaitTimeout: If it has not ended in time.
        """
        self._is_elsewhere.set()
        reply = await self._steps.collect(self.record, self.record.resume(entry))
        settled = self.record.entry
        if settled is not None and settled.state is CallState.ANSWERED:
            # Others may have asked, too: the answer that was recorded first.
            return self._steps.read(settled.reply())

        return self._steps.read(evolve(reply, replayed=True))

    async def _decided_by_record(self, work: Awaitable[T]) -> T:
        """Return the answer. If the outcome is unknown to the layers below, the record decides."""
        try:
            return await work
        except (InDoubtError, LedgerError):
            raise
        except IdeogramError as error:
            if error.billed is not Billed.UNKNOWN:
                raise

            entry = self.record.entry
            if entry is None:
                raise NotSentError(f"{error}; the call was refused", phase=Phase.QUEUED) from error

            if entry.state is CallState.ANSWERED:
                return self._steps.read(entry.reply())

            if self.record.accepted is not None:
                # Only the wait has ended.
                error.advice = WAIT_AGAIN if isinstance(error, WaitTimeout) else error.advice
                raise

            raise in_doubt(entry, str(error)) from error

    async def _wait_for_owner(self, entry: Entry) -> None:
        """Wait until an entry changes.

        Raises:
            InDoubtError: If its owner is silent.
        """
        ledger = self.record.ledger
        name = id(ledger), entry.owner
        watch, pause = self._watches.setdefault(name, Watch()), min(ledger.lease / 4, POLL_SECONDS) / 16
        while True:
            # A call of this client itself was given up, unless it runs with another ledger of the same database.
            is_own = entry.owner == self.record.claim.owner
            is_silent = not self._is_sending(entry) if is_own else await watch.check(ledger, entry.owner)
            if is_silent:
                raise in_doubt(entry, "its owner is silent")

            self._is_elsewhere.set()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS, ledger.lease / 4)
            current = await ledger.get(entry.key)
            if current is None or (current.state, current.token) != (entry.state, entry.token):
                self._watches.pop(name, None)
                return


def replayed(answer: T) -> T:
    """Return an answer of another caller's call."""
    return evolve(answer, meta=evolve(answer.meta, replayed=True)) if isinstance(answer, Answer) else answer


def conflict(key: str) -> KeyConflictError:
    """Return the error of a key that belongs to another request."""
    return KeyConflictError(f"key {key!r} belongs to another request; nothing was sent")


def in_doubt(entry: Entry, reason: str) -> InDoubtError:
    """Return the error of a call whose outcome is unknown."""
    price = "of unknown price" if entry.usd is None else f"of up to {format_usd(entry.usd)}"
    return InDoubtError(
        f"key {entry.key!r} is in doubt: attempt {entry.attempt} {price}, begun at"
        f" {entry.started_at:%Y-%m-%d %H:%M:%S} UTC: {reason}",
        key=entry.key,
        attempt=entry.attempt,
        started_at=entry.started_at,
        usd=entry.usd,
    )


async def _first_of(future: asyncio.Future[Any], event: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({future, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
