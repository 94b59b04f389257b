"""Record of a keyed call in a ledger while it is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from uuid import uuid4

from attrs import define, evolve, field

from ideogram_async._accepted import Accepted
from ideogram_async._ledger.entries import Claim, Entry, Ledger
from ideogram_async._ledger.outcome import Outcome
from ideogram_async._ledger.rules import Verdict
from ideogram_async._transport.emitter import logger
from ideogram_async._transport.tasks import outlast
from ideogram_async._wire.decode import links_in
from ideogram_async.errors import LedgerError
from ideogram_async.models.base import Reply

RETRY_SECONDS = 60.0
"""Seconds for which recording an outcome is retried before the callers get the answer all the same."""
MAX_PAUSE = 2.0


class TakenError(Exception):
    """The key was taken by another caller before this one could claim it."""


@define(eq=False)
class CallRecord:
    """The entry of a key while its call is sent. Its steps finish, however often the caller is cancelled.

    Args:
        ledger: The ledger.
        claim: What to claim; each attempt has a token of its own.
        start: Starts a task that outlives the caller.
        is_wanted: Returns whether a caller waits for the answer.
        closing: Set when the client is closed: then a failed step is not retried.
    """

    ledger: Ledger
    claim: Claim
    start: Callable[[Coroutine[object, None, None]], asyncio.Task[None]]
    is_wanted: Callable[[], bool]
    closing: asyncio.Event
    entry: Entry | None = None
    """The entry as it was last seen."""
    is_sending: bool = False
    """Whether an attempt is on record and has no outcome yet."""
    is_dropped: bool = False
    """Whether the call ends because no caller waits for its answer."""
    accepted: Accepted | None = None
    """The acceptance of the last attempt."""
    _pending: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def begin(self) -> None:
        """Claim the key.

        Raises:
            TakenError: If another caller has it.
            LedgerError: If the ledger is unavailable, or its budget does not cover the call.
            asyncio.CancelledError: If no caller waits for the answer any more.
        """
        if not self.is_wanted():
            self.is_dropped = True
            raise asyncio.CancelledError

        self.claim, self.accepted = evolve(self.claim, token=uuid4().hex), None
        loop = asyncio.get_running_loop()
        began = loop.time()
        claiming = asyncio.ensure_future(self.ledger.claim(self.claim))
        cancellation = await outlast(claiming)
        if isinstance(error := claiming.exception(), LedgerError) and error.retryable:
            self._release()

        self.entry = claiming.result()
        self.is_sending = self.entry.token == self.claim.token
        if cancellation is not None:
            raise cancellation

        # After so long, other clients may have presumed this one dead.
        if self.is_sending and loop.time() - began > self.ledger.lease / 2:
            self.entry = await self.ledger.get(self.claim.key)
            self.is_sending = self.entry is not None and self.entry.token == self.claim.token

        if not self.is_sending:
            raise TakenError

    async def accept(self, accepted: Accepted) -> None:
        """Record that the service has accepted the call. If the ledger is unavailable, that is retried.

        After a minute, the retries continue in the background, and the wait for the answer begins.
        """
        self.accepted = accepted
        await self._settle(Outcome.of_acceptance(accepted, self.claim.token))

    def resume(self, entry: Entry) -> Accepted:
        """Continue the attempt of an accepted call, perhaps of another client, and return its acceptance."""
        self.entry = entry
        self.claim = evolve(self.claim, token=entry.token)
        self.accepted = Accepted(entry.generation_id or "", weight=entry.weight, raw=entry.raw or b"{}")
        return self.accepted

    async def answer(self, reply: Reply) -> None:
        """Record a reply. The callers get it even if the ledger is unavailable."""
        await self._settle(Outcome.of_reply(self.claim.operation, reply, self.claim.token))

    async def fail(self, error: BaseException, *, may_have_run: bool) -> None:
        """Record that there was no reply. An accepted call stays accepted."""
        if self.accepted is not None:
            self.is_sending = False
        elif self.is_sending:
            await self._settle(Outcome.of_error(error, may_have_run=may_have_run, token=self.claim.token))

    async def join(self) -> None:
        """Wait for outcomes that are not on record yet."""
        if self._pending:
            await asyncio.wait(self._pending)

    def _release(self) -> None:
        """Release the key in the background. The claim may be on record, although the ledger reported an error."""
        attempt = 1 if self.entry is None else self.entry.attempt
        unsent = Outcome(verdict=Verdict.NOT_BILLED, token=self.claim.token, error="nothing was sent")
        self._start_settling(attempt, unsent)

    async def _settle(self, outcome: Outcome) -> None:
        """Record an outcome. After a minute of failures, the retries continue in the background."""
        attempt = self.entry.attempt if self.entry is not None else 1
        settling = self._start_settling(attempt, outcome)
        timer = asyncio.ensure_future(asyncio.wait({settling}, timeout=RETRY_SECONDS))
        cancellation = await outlast(timer)
        self.is_sending = outcome.verdict is Verdict.ACCEPTED
        if not settling.done():
            _log_unrecorded(
                self.claim.key, outcome, "the ledger is unavailable; it is retried until the client is closed"
            )

        if cancellation is not None:
            raise cancellation

    def _start_settling(self, attempt: int, outcome: Outcome) -> asyncio.Task[None]:
        task = self.start(self._settle_with_retries(attempt, outcome))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return task

    async def _settle_with_retries(self, attempt: int, outcome: Outcome) -> None:
        pause = 0.05
        while True:
            try:
                self.entry = await self.ledger.settle(self.claim.key, attempt, outcome)
                return
            except Exception as error:  # of a ledger of the caller's own, too
                if not getattr(error, "retryable", False) or self.closing.is_set():
                    _log_unrecorded(self.claim.key, outcome, str(error))
                    return

            waiting = asyncio.ensure_future(self.closing.wait())
            await asyncio.wait({waiting}, timeout=pause)
            waiting.cancel()
            pause = min(pause * 2, MAX_PAUSE)


def _log_unrecorded(key: str, outcome: Outcome, reason: str) -> None:
    """Log an outcome that is not on record. Links may be all that is left of images that were billed."""
    is_answer = outcome.verdict is Verdict.ANSWERED
    links = "".join(f"\n  {link}" for link in links_in(outcome.raw or b"")) if is_answer else ""
    generation = f", generation {outcome.generation_id}" if outcome.generation_id else ""
    logger.log(
        logging.ERROR if outcome.may_have_run else logging.WARNING,
        "key %r: the outcome (%s%s) could not be recorded: %s%s",
        *(key, outcome.verdict, generation, reason, links),
    )
