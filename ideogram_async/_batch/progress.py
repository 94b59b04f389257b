"""What one run has done so far: counted for its report, and told to whoever listens."""

from __future__ import annotations

import time
from decimal import Decimal

from attrs import frozen

from ideogram_async._batch.costs import Budget, certain_of
from ideogram_async._batch.job import ImageState, JobResult
from ideogram_async._batch.journal.queries import JobRow
from ideogram_async._batch.report import Report, Tally
from ideogram_async._batch.stopping import Halt
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async.events import BatchFinished, BatchStopped, JobFinished


@frozen
class Past:
    """What earlier runs have spent."""

    spent: Decimal
    """For certain, or in doubt."""
    in_doubt: Decimal
    ambiguous: list[JobResult]
    """Jobs that may have run."""


class Progress:
    """Counts jobs, images, money and time of a run."""

    def __init__(self, transport: Transport, halt: Halt, cap: Decimal | None) -> None:
        self._transport = transport
        self._halt = halt
        self._tally = Tally()
        self._doubted_before = Decimal(0)
        self._throttled_before = 0
        self._began = time.monotonic()
        self._ended: float | None = None
        self.budget = Budget(cap, Decimal(0))

    def begin(self) -> None:
        """Start the clock, in the loop where the run is."""
        self._began, self._throttled_before = time.monotonic(), self._throttled()

    def note_past(self, past: Past) -> None:
        """Begin where earlier runs have ended."""
        self._tally = Tally(past.ambiguous)
        self._doubted_before = past.in_doubt
        self.budget = Budget(self.budget.cap, past.spent)

    def add(self, result: JobResult, row: JobRow) -> None:
        """Count a job that is settled as far as this run goes."""
        self._tally.add(result, certain=certain_of(row.state, row.usd))
        if self._transport.emit.enabled:
            event = JobFinished(
                call_id=result.key,
                operation=str(result.request.endpoint),
                job_id=result.id,
                state=str(result.state),
                stored=sum(image.state is ImageState.STORED for image in result.images),
                cost_usd=result.cost_usd,
            )
            self._transport.emit(event)

    def note_stop(self) -> None:
        """Tell that nothing more is sent."""
        if self._transport.emit.enabled:
            self._transport.emit(BatchStopped(call_id="batch", operation="batch", reason=self._halt.reason or ""))

    def end(self) -> None:
        """Stop the clock, and tell the end."""
        self._ended = time.monotonic()
        if self._transport.emit.enabled:
            report = self.report()
            event = BatchFinished(
                call_id="batch",
                operation="batch",
                jobs=report.jobs,
                spent_usd=report.spent_usd,
                in_doubt_usd=report.in_doubt_usd,
            )
            self._transport.emit(event)

    def report(self) -> Report:
        """Sum up, with what earlier runs have left in doubt."""
        return self._tally.report(
            in_doubt=self._doubted_before + self.budget.in_doubt,
            throttled=self._throttled() - self._throttled_before,
            elapsed=(self._ended or time.monotonic()) - self._began,
            stopped=self._halt.reason,
        )

    def _throttled(self) -> int:
        return self._transport.config.limiter.statistics().rejected
