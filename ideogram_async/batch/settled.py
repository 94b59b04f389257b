"""What the journal tells of jobs, in the words of results and reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from ideogram_async.batch.identity import unpack
from ideogram_async.batch.inputs import Inputs
from ideogram_async.batch.job import ImageState, JobResult, JobState, StoredImage
from ideogram_async.batch.office import HIDDEN
from ideogram_async.batch.report import LOST, Report
from ideogram_async.batch.rows import Entry, ImageRow, JobRow, Sum
from ideogram_async.endpoint import Request
from ideogram_async.errors import AmbiguousError, IdeogramError, Phase
from ideogram_async.errors.batch import JournalError

__all__ = ["Settled", "certain_of", "cost_of", "summed"]

FREE = (JobState.PENDING, JobState.REJECTED)
DOUBTFUL = (JobState.AMBIGUOUS, JobState.SENDING)
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


def cost_of(state: JobState, usd: Decimal | None, resends: int) -> Decimal | None:
    """Return what a job has cost at most: every attempt that may have run counts."""
    times = resends + (state not in FREE)
    return Decimal(0) if not times else None if usd is None else usd * times


def certain_of(state: JobState, usd: Decimal | None) -> Decimal:
    """Return how much of that is certain: the attempt that was answered. The earlier ones stay in doubt."""
    return Decimal(0) if usd is None or state in (*FREE, *DOUBTFUL) else usd


def summed(jobs: Iterable[Sum], images: dict[ImageState, int], told: Iterable[JobResult]) -> Report:
    """Sum up a folder: what is counted, and the jobs that are told one by one."""
    by_state: Counter[JobState] = Counter()
    spent = most = Decimal(0)
    for group in jobs:
        by_state[group.state] += group.jobs
        spent += certain_of(group.state, group.usd) * group.jobs
        most += (cost_of(group.state, group.usd, group.resends) or 0) * group.jobs

    results = list(told)
    return Report(
        jobs=by_state.total(),
        by_state=dict(by_state),
        images_stored=images.get(ImageState.STORED, 0),
        images_withheld=images.get(ImageState.WITHHELD, 0),
        images_lost=sum(images.get(state, 0) for state in LOST),
        spent_usd=spent,
        in_doubt_usd=most - spent,
        throttled=0,
        elapsed=0.0,
        stopped=None,
        failures=tuple(result for result in results if result.state is not JobState.AMBIGUOUS),
        ambiguous=tuple(result for result in results if result.state is JobState.AMBIGUOUS),
    )


def _error(job: JobRow, request: Request[Any]) -> IdeogramError | None:
    if job.state in (JobState.REJECTED, JobState.AMBIGUOUS) and job.status is not None and job.status >= 300:
        return _refusal(job, request)

    if job.state is JobState.AMBIGUOUS:
        return AmbiguousError(job.error or NO_ANSWER, phase=Phase.SENT)

    return IdeogramError(job.error) if job.error and job.state is not JobState.DONE else None


def _refusal(job: JobRow, request: Request[Any]) -> IdeogramError:
    # What reads answers is heavy, and few jobs need it.
    from ideogram_async.models.reply import Reply
    from ideogram_async.wire.decode import status_error
    from ideogram_async.wire.encode import encode

    is_in_doubt = job.state is JobState.AMBIGUOUS
    headers = json.loads(job.headers or "{}")
    reply = Reply(status=job.status or 0, headers=headers, raw=job.raw or b"", in_doubt=is_in_doubt)
    return status_error(encode(request), reply)
