"""What a job has come to, in the words of its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.noting import Noted
from ideogram_async.batch.rows import Entry, ImageRow, JobRow
from ideogram_async.batch.settled import Settled, cost_of
from ideogram_async.errors import IdeogramError, InvalidRequestError

__all__ = ["Results"]

TOLD_BY_JOURNAL = (JobState.REJECTED, JobState.AMBIGUOUS)


class Results:
    """Makes results."""

    def __init__(self, folder: Path) -> None:
        self._settled = Settled(folder)

    def make(
        self, noted: Noted, row: JobRow, images: Sequence[ImageRow], answer: Any, error: IdeogramError | None
    ) -> JobResult:
        """Make the result of a job as it now is."""
        if error is None and row.state in TOLD_BY_JOURNAL:
            error = self._settled.result(Entry(row, [*images])).error

        is_invalid = isinstance(error, InvalidRequestError) and row.state is JobState.PENDING
        return JobResult(
            id=row.id or row.key,
            key=row.key,
            index=noted.index,
            request=noted.request,
            state=JobState.REJECTED if is_invalid else row.state,
            images=tuple(map(self._settled.image, images)),
            answer=answer,
            error=error,
            cost_usd=cost_of(row.state, row.usd, row.resends),
            from_journal=noted.row.state is row.state is not JobState.PENDING,
        )
