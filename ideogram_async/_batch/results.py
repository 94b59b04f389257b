"""What the journal tells of jobs, in the words of results and reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ideogram_async._batch.costs import cost_of
from ideogram_async._batch.identity import unpack
from ideogram_async._batch.inputs import Inputs
from ideogram_async._batch.job import JobResult, JobState, StoredImage
from ideogram_async._batch.journal.queries import Entry, ImageRow, JobRow
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._operations import Request
from ideogram_async.errors import AmbiguousError, IdeogramError, InvalidRequestError, JournalError, Phase

if TYPE_CHECKING:
    from ideogram_async._batch.intake import Noted

NO_ANSWER = "the process ended before an answer came"


class Settled:
    """Makes results of what a folder's journal holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inputs = Inputs(folder / HIDDEN / "inputs")

    def result(self, entry: Entry) -> JobResult:
        """Return a job as a result.

        Raises:
            JournalError: If its request cannot be read.
        """
        job = entry.job
        request = self._request(job)
        return JobResult(
            id=job.id or job.key,
            key=job.key,
            index=job.number,
            request=request,
            state=job.state,
            images=tuple(map(self.image, entry.images)),
            error=_error(job, request),
            cost_usd=cost_of(job.state, job.usd, job.resends),
            from_journal=True,
        )

    def _request(self, job: JobRow) -> Request[Any]:
        try:
            return unpack(job.request, self._inputs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise JournalError(f"the request of job {job.key} cannot be read: {error}") from None

    def image(self, image: ImageRow) -> StoredImage:
        """Return an image as a result has it."""
        return StoredImage(
            path=None if image.path is None else self._folder / image.path,
            state=image.state,
            url=image.url,
            seed=image.seed,
            prompt=image.prompt,
            resolution=image.resolution,
            sha256=image.sha256,
            size=image.size,
        )


def _error(job: JobRow, request: Request[Any]) -> IdeogramError | None:
    if job.state in (JobState.REJECTED, JobState.AMBIGUOUS) and job.status is not None and job.status >= 300:
        return _refusal(job, request)

    if job.state is JobState.AMBIGUOUS:
        return AmbiguousError(job.error or NO_ANSWER, phase=Phase.SENT)

    return IdeogramError(job.error) if job.error and job.state is not JobState.DONE else None


def _refusal(job: JobRow, request: Request[Any]) -> IdeogramError:
    # What reads answers is heavy, and few jobs need it.
    from ideogram_async._wire.decode import status_error
    from ideogram_async._wire.encode import encode
    from ideogram_async.models.base import Reply

    is_in_doubt = job.state is JobState.AMBIGUOUS
    headers = json.loads(job.headers or "{}")
    reply = Reply(status=job.status or 0, headers=headers, raw=job.raw or b"", in_doubt=is_in_doubt)
    return status_error(encode(request), reply)


class ResultQueue:
    """Keeps results until they are taken. Each job holds a place until then, which bounds what may be kept.

    Args:
        places: What the jobs hold.
        is_ordered: Whether results wait for those of earlier jobs.
    """

    def __init__(self, places: asyncio.Semaphore, *, is_ordered: bool) -> None:
        self._places = places
        self._is_ordered = is_ordered
        self._results: asyncio.Queue[JobResult | None] = asyncio.Queue()
        self._held: dict[int, JobResult | None] = {}
        self._next = 0
        self._is_left = False

    async def take(self) -> JobResult | None:
        """Wait for the next result; `None` at the end, for everybody who asks."""
        result = await self._results.get()
        if result is None:
            self._results.put_nowait(None)
        else:
            self._places.release()

        return result

    def put(self, index: int, result: JobResult | None) -> None:
        """Hand on what became of a job; `None` if it is left for another run."""
        if not self._is_ordered:
            self._hand_on(result)
            return

        self._held[index] = result
        while self._next in self._held:
            self._hand_on(self._held.pop(self._next))
            self._next += 1

    def end(self) -> None:
        """Note that nothing more will come."""
        self._results.put_nowait(None)

    def leave(self) -> None:
        """Let go of results that nobody will take; the journal has them."""
        self._is_left = True
        while not self._results.empty():
            if self._results.get_nowait() is not None:
                self._places.release()

    def _hand_on(self, result: JobResult | None) -> None:
        if result is None or self._is_left:
            self._places.release()
        else:
            self._results.put_nowait(result)


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
