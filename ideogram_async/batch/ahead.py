"""The layer that writes ahead: SENDING is on disk before the first byte leaves, the reply before anyone reads it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import frozen

from ideogram_async.batch import rows
from ideogram_async.batch.halt import Halt, is_fatal
from ideogram_async.batch.job import JobState
from ideogram_async.batch.journal import Journal
from ideogram_async.errors import BatchError, Phase
from ideogram_async.models.reply import Reply
from ideogram_async.wire.call import Call, Send

__all__ = ["journaled"]

THROTTLED = 429


def journaled(send: Send, journal: Journal, key: str, halt: Halt, scope: asyncio.Timeout) -> Send:
    """Wrap the last layer for one job. Its place of the limit is held until the reply is on disk.

    A batch that stops ends the scope, but nothing that is on its way.
    """

    async def send_on_record(call: Call) -> Reply:
        async with halt.sent(scope):
            return await send_once(call)

    async def send_once(call: Call) -> Reply:
        attempt = _Attempt(journal, key, call, JobState.AMBIGUOUS if call.trail.in_doubt else JobState.PENDING)
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
    journal: Journal
    key: str
    call: Call
    before: JobState

    async def begin(self) -> None:
        try:
            await self.journal.run(partial(rows.begin, key=self.key, before=self.before))
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
        await self.journal.run(partial(rows.settle, key=self.key, before=self.before, after=after, **facts))
