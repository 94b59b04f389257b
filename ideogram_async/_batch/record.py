"""Record of a job in the journal while it is sent."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from functools import partial

from attrs import evolve

from ideogram_async._accepted import Accepted
from ideogram_async._batch.job import UNRECORDED, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.counter import UncountedSendError
from ideogram_async._batch.journal.rows import JobRow, timestamp
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.stopping import is_fatal
from ideogram_async._ledger import rules
from ideogram_async._ledger.outcome import Outcome
from ideogram_async._transport.emitter import logger
from ideogram_async._transport.policy import THROTTLED
from ideogram_async._transport.tasks import outlast
from ideogram_async._wire.decode import failure_of, links_in
from ideogram_async.models.base import Reply

MAX_FAILURES = 2
"""Generations of a job that may fail: after the first one it is sent once more."""


class JobRecord:
    """The journal row of a job while it is sent. Its steps finish, however often the caller is cancelled."""

    def __init__(self, journal: Journal, row: JobRow) -> None:
        self.failure: BaseException | None = None
        """The error that kept a step of this job from the journal."""
        self.is_unrecorded = False
        """Whether the outcome is not on record: the journal has the job as SENDING."""
        self.row = row
        """The row. It includes an outcome that is not on record: AMBIGUOUS, unless that is an answer or a refusal."""
        self._journal = journal
        self._has_begun = row.state is JobState.ACCEPTED
        self._is_in_doubt = row.state is JobState.AMBIGUOUS or (self._has_begun and row.resends > 0)
        """Whether an earlier attempt is in doubt."""
        self._recorded_state = row.state if self._has_begun else JobState.SENDING
        """The state in the journal during the attempt."""

    @property
    def is_accepted(self) -> bool:
        """Return whether the journal has the id of the generation, so that a later run asks for it."""
        return self._recorded_state is JobState.ACCEPTED

    async def begin(self) -> None:
        """Commit SENDING and count the call.

        Raises:
            OSError: If the disk is full, the folder was replaced, or an earlier outcome could not be committed.
            JournalError: If the journal cannot be written.
        """

        def step(database: sqlite3.Connection) -> None:
            if self._journal.failure is not None:
                raise self._journal.failure

            queries.begin_attempt(database, self.row)

        beginning = self._journal.submit(step, urgent=True, is_send=True)
        cancellation = await outlast(beginning)
        error = self.failure = beginning.exception()
        self._has_begun = error is None or isinstance(error, UncountedSendError)
        if isinstance(error, UncountedSendError):
            await self.fail(error, may_have_run=False)
            self.failure = self.failure or error

        if failure := cancellation or self.failure:
            raise failure

    async def accept(self, accepted: Accepted) -> None:
        """Commit ACCEPTED. An id that cannot be committed is logged, and the caller may still wait for the answer."""
        self.row = _accepted_row(self.row, accepted)
        if cancellation := await self._commit_accepted():
            raise cancellation

        if self.failure is not None:
            name = self.row.id or self.row.key
            logger.critical("job %s: the generation %s could not be recorded: %s", name, accepted, self.failure)

    async def answer(self, reply: Reply) -> None:
        """Commit the reply and the job's resulting state. A reply that cannot be committed is logged with its links.

        Raises:
            OSError: If the disk is full.
            JournalError: If the journal cannot be written.
        """
        cancellation = await self._finish(Outcome.of_reply(self.row.operation, reply))
        if self.is_unrecorded:
            self._log_unrecorded(reply)

        if error := cancellation or self.failure:
            raise error

    async def fail(self, error: BaseException, *, may_have_run: bool) -> None:
        """Commit that there was no usable reply. An error of the journal is logged and kept in `failure`."""
        if not self._has_begun:
            return

        if self.row.state is JobState.ACCEPTED:
            # The answer can still be had.
            cancellation = None if self.is_accepted else await self._commit_accepted()
            self.is_unrecorded = self.failure is not None
        else:
            cancellation = await self._finish(Outcome.of_error(error, may_have_run=may_have_run))

        if self.is_unrecorded:
            logger.warning("job %s: the outcome could not be recorded: %s", self.row.key, self.failure)

        if cancellation is not None:
            raise cancellation

    async def _finish(self, outcome: Outcome) -> asyncio.CancelledError | None:
        before, self._has_begun = self.row, False
        after = _row_after(before, outcome, in_doubt=self._is_in_doubt)
        step = partial(queries.finish_attempt, row=after, before=self._recorded_state)
        finishing = self._journal.submit(step, urgent=True)
        cancellation = await outlast(finishing)
        self.failure = finishing.exception()
        self.is_unrecorded = self.failure is not None
        self.row = _unrecorded_row(before, after, self.failure) if self.failure else after
        return cancellation

    async def _commit_accepted(self) -> asyncio.CancelledError | None:
        accepting = self._journal.submit(partial(queries.finish_attempt, row=self.row), urgent=True)
        cancellation = await outlast(accepting)
        self.failure = accepting.exception()
        if self.failure is None:
            self._recorded_state = JobState.ACCEPTED

        return cancellation

    def _log_unrecorded(self, reply: Reply) -> None:
        """Log what is not on record. Links are complete: they may be all that is left of images that were billed."""
        name, links = self.row.id or self.row.key, links_in(reply.raw) if reply.is_success else []
        is_answer = self.row.state is JobState.ANSWERED
        may_be_billed = reply.is_success or reply.status >= 500 or reply.in_doubt
        billed = "billed" if is_answer else "may have been billed" if may_be_billed else "not billed"
        logger.log(
            logging.CRITICAL if reply.is_success else logging.ERROR,
            "job %s: the reply (status %s, %s) could not be recorded: %s%s",
            *(name, reply.status, billed, self.failure, "".join(f"\n  {link}" for link in links)),
        )


def _unrecorded_row(row: JobRow, after: JobRow, failure: BaseException) -> JobRow:
    """Return the row of a job whose outcome is not on record. A later run finds it ambiguous."""
    if after.state in (JobState.ANSWERED, JobState.REJECTED) or row.state is JobState.ACCEPTED:
        return after

    resends = row.doubts
    reason = after.error or f"status {after.status}"
    return evolve(row, state=JobState.AMBIGUOUS, resends=resends, error=f"{reason}; {UNRECORDED}: {failure}")


def _accepted_row(row: JobRow, accepted: Accepted) -> JobRow:
    """Return the row of a job that the service has accepted."""
    return evolve(
        row,
        state=JobState.ACCEPTED,
        status=None,
        raw=accepted.raw,
        headers=None,
        error=None,
        resends=row.doubts,
        generation_id=accepted.generation_id,
        poll=accepted.poll,
    )


def _row_after(row: JobRow, outcome: Outcome, *, in_doubt: bool) -> JobRow:
    """Return the row of a job after an attempt."""
    if row.state is JobState.ACCEPTED and outcome.verdict is rules.Verdict.UNKNOWN:
        # Whatever the poll has returned, the generation can be asked for again.
        return row

    failures, error = row.failures, outcome.error
    if _is_failure(outcome):
        failure = failure_of(Reply(status=200, raw=outcome.raw or b""))
        failures, error = failures + 1 if failure.retryable else MAX_FAILURES, str(failure)

    state = _state_after(outcome, failures, in_doubt=in_doubt)
    # An attempt that did not run leaves the earlier one in doubt, and does not count.
    resends = row.doubts - (in_doubt and not outcome.may_have_run)
    return evolve(
        row,
        state=state,
        status=outcome.status,
        raw=outcome.raw,
        headers=outcome.headers,
        error=error,
        answered_at=timestamp() if state is JobState.ANSWERED else None,
        resends=resends,
        failures=failures,
    )


def _state_after(outcome: Outcome, failures: int, *, in_doubt: bool) -> JobState:
    state = rules.after(outcome.verdict, in_doubt=in_doubt)
    if state is not None:
        return JobState(state)

    # A refusal that does not concern the job itself leaves it for a later attempt, and so does the first failure.
    status = outcome.status
    if _is_failure(outcome):
        return JobState.REJECTED if failures >= MAX_FAILURES else JobState.PENDING

    return JobState.PENDING if status is None or status == THROTTLED or is_fatal(status) else JobState.REJECTED


def _is_failure(outcome: Outcome) -> bool:
    """Return whether the service accepted the call, and its generation failed."""
    return outcome.status is not None and outcome.status < 300 and not outcome.may_have_run
