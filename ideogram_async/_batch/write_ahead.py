"""Layer that records a call in the journal before it is sent, and its outcome before its slots are released."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import suppress
from functools import partial
from typing import TypeVar

from attrs import evolve

from ideogram_async._batch.job import JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import AttemptOutcome, JobRow
from ideogram_async._batch.journal.writer import Journal, Step
from ideogram_async._batch.stopping import InFlight, is_fatal
from ideogram_async._transport.emitter import logger
from ideogram_async._transport.policy import THROTTLED
from ideogram_async._wire.call import Call, Send
from ideogram_async.errors import BatchError
from ideogram_async.models.base import Reply

T = TypeVar("T")


def write_ahead(send: Send, record: JobRecord, in_flight: InFlight) -> Send:
    """Wrap the HTTP layer: SENDING is durable before the first byte, the outcome before the slots are released."""

    async def send_recorded(call: Call) -> Reply:
        with in_flight():  # raises BatchStoppedError: the last chance not to send
            try:
                await record.begin()
                reply = await send(call)
            except BaseException as error:  # a cancellation too
                await record.fail(error, may_have_run=call.state.was_sent)
                raise

            await record.answer(reply)
            return reply

    return send_recorded


class JobRecord:
    """The journal row of a job while it is sent."""

    def __init__(self, journal: Journal, row: JobRow) -> None:
        self.failure: Exception | None = None
        """The error that kept a step of this job from the journal."""
        self._journal = journal
        self._row = row
        self._has_begun = False

    async def begin(self) -> None:
        """Commit SENDING.

        Raises:
            OSError: If the disk is full, or an earlier outcome could not be committed.
            JournalError: If the journal cannot be written.
        """

        def step(database: sqlite3.Connection) -> None:
            if self._journal.failure is not None:
                raise self._journal.failure

            queries.begin_attempt(database, self._row)

        # True already if the outcome of an earlier attempt is not on record.
        had_begun, self._has_begun = self._has_begun, True
        try:
            await self._run(step)
        except Exception:
            self._has_begun = had_begun
            raise

    async def answer(self, reply: Reply) -> None:
        """Commit the reply and the job's resulting state.

        Raises:
            OSError: If the disk is full.
            JournalError: If the journal cannot be written.
        """
        outcome = AttemptOutcome(
            state=self._state_after(reply),
            may_have_run=reply.is_success or reply.status >= 500,
            status=reply.status,
            raw=reply.raw,
            headers=json.dumps(reply.headers),
            error=reply.cut,
        )
        try:
            await self._finish(outcome)
        except asyncio.CancelledError:
            # The step still runs, and the slots are released after it: steps run in order.
            with suppress(BatchError, OSError):
                await self._journal.run(lambda _: None, urgent=True)

            raise

    async def fail(self, error: BaseException, *, may_have_run: bool) -> None:
        """Commit that there was no usable reply. An error of the journal is logged and kept in `failure`."""
        if not self._has_begun:
            return

        message = str(error) if isinstance(error, Exception) else "cancelled"
        outcome = AttemptOutcome(
            state=JobState.AMBIGUOUS if may_have_run else self._row.state,
            may_have_run=may_have_run,
            error=message or type(error).__name__,
        )
        try:
            await self._finish(outcome)
        except Exception as failure:
            logger.warning("job %s: the outcome could not be recorded: %s", self._row.key, failure)

    async def current(self) -> JobRow:
        """Return the current row. An outcome that is not on record, or cannot be read, is unknown: AMBIGUOUS."""
        if not self._has_begun:
            return self._row

        is_resend = self._row.state is JobState.AMBIGUOUS
        row = evolve(self._row, state=JobState.SENDING, resends=self._row.resends + is_resend)
        with suppress(BatchError, OSError):
            recorded = await self._journal.run(partial(queries.find_job, key=row.key))
            row = recorded or row

        return evolve(row, state=JobState.AMBIGUOUS) if row.state is JobState.SENDING else row

    async def _finish(self, outcome: AttemptOutcome) -> None:
        self._row = await self._run(partial(queries.finish_attempt, row=self._row, outcome=outcome))
        self._has_begun = False

    async def _run(self, step: Step[T]) -> T:
        try:
            return await self._journal.run(step, urgent=True)
        except Exception as error:
            self.failure = error
            raise

    def _state_after(self, reply: Reply) -> JobState:
        """Return the job's state after a reply. An earlier unknown outcome outweighs a later refusal."""
        if reply.is_success:
            return JobState.ANSWERED

        if reply.status >= 500 or self._row.state is JobState.AMBIGUOUS:
            return JobState.AMBIGUOUS

        # A refusal that does not concern the job itself leaves it for a later attempt.
        is_retryable = reply.status == THROTTLED or is_fatal(reply.status)
        return JobState.PENDING if is_retryable else JobState.REJECTED
