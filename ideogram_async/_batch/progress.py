"""Progress of one run: its counts, costs and events."""

from __future__ import annotations

import time
from decimal import Decimal

from attrs import frozen

from ideogram_async._batch.costs import Budget, confirmed_cost
from ideogram_async._batch.job import ImageState, JobResult
from ideogram_async._batch.journal.rows import JobRow
from ideogram_async._batch.report import Report, Tally
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async.events import BatchFinished, BatchStopped, JobFinished


@frozen
class PreviousRuns:
    """The cost of earlier runs, and the jobs that they left ambiguous or accepted."""

    spent: Decimal
    """Confirmed or in doubt."""
    in_doubt: Decimal
    unfinished: list[JobResult]


class Progress:
    """Counts the jobs, images, cost and time of a run, and emits its events."""

    def __init__(self, transport: Transport, stopping: StopPolicy, cap: Decimal | None) -> None:
        self.budget = Budget(cap)
        self._transport = transport
        self._stopping = stopping
        self._tally = Tally()
        self._throttled_before = 0
        self._began_at = time.monotonic()
        self._ended_at: float | None = None

    def begin(self) -> None:
        """Start the clock."""
        self._began_at, self._throttled_before = time.monotonic(), self._throttled()

    def add_previous(self, previous: PreviousRuns) -> None:
        """Start from the totals of earlier runs."""
        self._tally = Tally(previous.unfinished)
        self.budget = Budget(self.budget.cap, previous.spent, previous.in_doubt)

    def add(self, result: JobResult, row: JobRow, *, is_repeat: bool = False) -> None:
        """Count a job that is finished for this run. A repeat counts if the job was not done."""
        is_new = self._tally.add(result, confirmed=confirmed_cost(row.state, row.usd), is_repeat=is_repeat)
        if is_new and self._transport.emit.enabled:
            event = JobFinished(
                call_id=result.key,
                operation=str(result.request.endpoint),
                job_id=result.id,
                state=str(result.state),
                stored=sum(image.state is ImageState.STORED for image in result.images),
                cost_usd=result.cost_usd,
            )
            self._transport.emit(event)

    def emit_stopped(self) -> None:
        if self._transport.emit.enabled:
            self._transport.emit(BatchStopped(call_id="batch", operation="batch", reason=self._stopping.reason or ""))

    def end(self) -> None:
        """Stop the clock and emit `BatchFinished`."""
        self._ended_at = time.monotonic()
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
        """Return the report so far. It includes the cost that earlier runs left in doubt."""
        return self._tally.report(
            in_doubt=self.budget.in_doubt,
            throttled=self._throttled() - self._throttled_before,
            elapsed=(self._ended_at or time.monotonic()) - self._began_at,
            stopped=self._stopping.reason,
        )

    def _throttled(self) -> int:
        return self._transport.config.limiter.statistics().rejected
