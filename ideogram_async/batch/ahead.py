"""The layer that writes ahead: SENDING is on disk before the first byte leaves, the reply before anyone reads it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import evolve, frozen

from ideogram_async.batch import rows
from ideogram_async.batch.halt import Halt, is_fatal
from ideogram_async.batch.job import JobState
from ideogram_async.batch.journal import Journal
from ideogram_async.batch.rows import JobRow
from ideogram_async.errors import BatchError, Phase
from ideogram_async.models.reply import Reply
from ideogram_async.wire.call import Call, Send

__all__ = ["Record", "journaled"]

THROTTLED = 429


class Record:
    """A job's line in the journal, as the one who sends it writes it."""

    def __init__(self, journal: Journal, row: JobRow) -> None:
        self._journal = journal
        self._row = row
        self._is_sure = True

    async def begin(self, before: JobState) -> None:
        """Note that it is about to leave."""
        self._is_sure = False
        await self._journal.run(partial(rows.begin, key=self._row.key, before=before), urgent=True)

    async def settle(self, before: JobState, after: JobState, **facts: Any) -> None:
        """Note what has come of that."""
        self._is_sure = False
        step = partial(rows.settle, key=self._row.key, before=before, after=after, **facts)
        self._note(await self._journal.run(step, urgent=True))

    async def row(self) -> JobRow:
        """Return the job as it now is. What could not be noted, on a full disk say, will be in doubt."""
        if not self._is_sure:
            self._note(await self._journal.run(partial(rows.find, key=self._row.key)))

        is_lost = self._row.state is JobState.SENDING
        return evolve(self._row, state=JobState.AMBIGUOUS) if is_lost else self._row

    def _note(self, row: JobRow | None) -> None:
        self._row = row or self._row
        self._is_sure = True


def journaled(send: Send, record: Record, halt: Halt, scope: asyncio.Timeout) -> Send:
    """Wrap the last layer for one job. Its place of the limit is held until the reply is on disk.

    A batch that stops ends the scope, but nothing that is on its way.
    """

    async def send_on_record(call: Call) -> Reply:
        async with halt.sent(scope):
            return await send_once(call)

    async def send_once(call: Call) -> Reply:
        attempt = _Attempt(record, call, JobState.AMBIGUOUS if call.trail.in_doubt else JobState.PENDING)
        await attempt.begin()
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

        await attempt.end(reply)
        return reply

    return send_on_record


@frozen
class _Attempt:
    record: Record
    call: Call
    before: JobState

    async def begin(self) -> None:
        try:
            await self.record.begin(self.before)
        except asyncio.CancelledError:
            # It is noted all the same, and nothing has left.
            with suppress(BatchError, OSError):
                await self._settle(self.before, may_have_run=False)

            raise

    async def fail(self, words: str) -> None:
        may_have_run = self.call.trail.phase in (Phase.SENT, Phase.ANSWERING)
        after = JobState.AMBIGUOUS if may_have_run else self.before
        await self._settle(after, may_have_run=may_have_run, error=words)

    async def end(self, reply: Reply) -> None:
        may_have_run = reply.is_success or reply.status >= 500
        facts = {"status": reply.status, "raw": reply.raw, "headers": json.dumps(reply.headers), "error": reply.cut}
        await self._settle(self._state_after(reply), may_have_run=may_have_run, **facts)

    def _state_after(self, reply: Reply) -> JobState:
        """Say where a status leaves a job; an earlier attempt in doubt outweighs a later refusal."""
        if reply.is_success:
            return JobState.ANSWERED

        if reply.status >= 500 or self.before is JobState.AMBIGUOUS:
            return JobState.AMBIGUOUS

        # What says nothing about the job itself leaves it for another time.
        return JobState.PENDING if reply.status == THROTTLED or is_fatal(reply.status) else JobState.REJECTED

    async def _settle(self, after: JobState, **facts: Any) -> None:
        await self.record.settle(self.before, after, **facts)
