"""The layer that writes ahead: SENDING is on disk before the first byte leaves, the reply before anyone reads it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import evolve, frozen

from ideogram_async._batch.job import JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import JobRow
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.stopping import BatchStoppedError, Halt, is_fatal
from ideogram_async._transport.policy import THROTTLED
from ideogram_async._wire.call import Call, Send
from ideogram_async.errors import BatchError
from ideogram_async.models.base import Reply


class Record:
    """A job's line in the journal, as the one who sends it writes it."""

    def __init__(self, journal: Journal, row: JobRow) -> None:
        self._journal = journal
        self._row = row
        self._is_sure = True
        self._settling: asyncio.Future[JobRow] | None = None

    def begin(self, before: JobState) -> asyncio.Future[None]:
        """Have it noted that it is about to leave; not if an answer before it did not reach the disk."""

        def step(database: sqlite3.Connection) -> None:
            if self._journal.failure is not None:
                raise self._journal.failure

            queries.begin(database, self._row.key, before)

        self._is_sure = False
        return self._journal.put(step, urgent=True)

    def settle(self, after: JobState, **facts: Any) -> None:
        """Have it noted what has come of that; `settled` waits for it."""
        step = partial(queries.settle, row=self._row, after=after, **facts)
        self._settling = self._journal.put(step, urgent=True, lingers=after is JobState.ANSWERED)
        # Whoever waits for it may be cancelled before.
        self._settling.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def settled(self) -> None:
        """Wait until what has come of it is on disk."""
        settling, self._settling = self._settling, None
        if settling is not None:
            self._note(await settling)

    async def row(self) -> JobRow:
        """Return the job as it now is. What could not be noted, on a full disk say, will be in doubt."""
        if not self._is_sure:
            self._note(await self._journal.run(partial(queries.find, key=self._row.key)))

        is_lost = self._row.state is JobState.SENDING
        return evolve(self._row, state=JobState.AMBIGUOUS) if is_lost else self._row

    def _note(self, row: JobRow | None) -> None:
        self._row = row or self._row
        self._is_sure = True


def journaled(send: Send, record: Record, halt: Halt, scope: asyncio.Timeout) -> Send:
    """Wrap the last layer for one job.

    The connection is opened while SENDING goes to disk; the first byte waits for both. A call that was answered gives
    its places back when the reply is in the journal's line: a job of this batch that gets them stands behind it there,
    often in the same commit, and leaves when the reply is on disk. `Record.settled` waits for that.

    A batch that stops ends the scope, but nothing that is on its way.
    """

    async def send_on_record(call: Call) -> Reply:
        async with halt.sent(scope):
            return await send_once(call)

    async def send_once(call: Call) -> Reply:
        before = JobState.AMBIGUOUS if call.state.in_doubt else JobState.PENDING
        attempt = _Attempt(record, call, halt, before, record.begin(before))
        call.state.clearance = attempt.clear
        try:
            reply = await send(call)
        except asyncio.CancelledError:
            # The step reaches the disk, whatever happens to this task; and nothing hides that it was cancelled.
            with suppress(BatchError, OSError):
                await attempt.fail("cancelled")

            raise
        except Exception as error:
            await attempt.fail(str(error) or type(error).__name__)
            raise
        finally:
            # It leads back to the call: a circle, which would keep its upload.
            call.state.clearance = None

        await attempt.end(reply)
        return reply

    return send_on_record


@frozen
class _Attempt:
    record: Record
    call: Call
    halt: Halt
    before: JobState
    begun: asyncio.Future[None]

    async def clear(self) -> None:
        """Wait until SENDING is on disk. What stood before it in the line may have stopped the batch."""
        # Shielded: a timeout of the attempt must not hide why it could not be noted.
        await asyncio.shield(self.begun)
        if self.halt.turns_back:
            raise BatchStoppedError(self.halt.reason or "")

    async def fail(self, words: str) -> None:
        """Note that no answer came; raises what kept SENDING from the disk, for then that is the reason."""
        may_have_run = self.call.state.was_sent
        after = JobState.AMBIGUOUS if may_have_run else self.before
        # At once, behind SENDING: a cancellation of what follows leaves it to be done.
        self.record.settle(after, may_have_run=may_have_run, error=words)
        await self.begun
        await self.record.settled()

    async def end(self, reply: Reply) -> None:
        may_have_run = reply.is_success or reply.status >= 500
        facts = {"status": reply.status, "raw": reply.raw, "headers": json.dumps(reply.headers), "error": reply.cut}
        self.record.settle(self._state_after(reply), may_have_run=may_have_run, **facts)
        if not reply.is_success:
            await self.record.settled()

    def _state_after(self, reply: Reply) -> JobState:
        """Say where a status leaves a job; an earlier attempt in doubt outweighs a later refusal."""
        if reply.is_success:
            return JobState.ANSWERED

        if reply.status >= 500 or self.before is JobState.AMBIGUOUS:
            return JobState.AMBIGUOUS

        # What says nothing about the job itself leaves it for another time.
        return JobState.PENDING if reply.status == THROTTLED or is_fatal(reply.status) else JobState.REJECTED
