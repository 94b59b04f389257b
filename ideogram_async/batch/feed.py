"""Jobs as they are pulled from the input, one after the other, and noted before they are anybody's business."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

from attrs import frozen

from ideogram_async.batch import rows
from ideogram_async.batch.identity import fingerprint_of, key_of, pack, unpack
from ideogram_async.batch.job import Job, JobState
from ideogram_async.batch.office import Office
from ideogram_async.batch.rows import JobRow
from ideogram_async.batch.sources import Keeper, has_files
from ideogram_async.endpoint import Request
from ideogram_async.errors import InvalidRequestError
from ideogram_async.errors.batch import JobConflictError
from ideogram_async.exchange.stack import Stack
from ideogram_async.models.images import (
    GenerateImageResponse,
    ImageGenerationResponseV3,
    LayerizeTextResponse,
    RemoveBackgroundResponse,
    V1EditImagesResponse,
)
from ideogram_async.prices import PriceTable
from ideogram_async.transport.threads import in_thread
from ideogram_async.wire.encode import weight_of

__all__ = ["Feed", "Jobs", "Noted", "pulled"]

PAGE = 64
"""Jobs of an earlier run that are taken up at once."""
DRAWN = (
    GenerateImageResponse,
    ImageGenerationResponseV3,
    LayerizeTextResponse,
    RemoveBackgroundResponse,
    V1EditImagesResponse,
)
Jobs: TypeAlias = Iterable[Job | Request[Any]] | AsyncIterable[Job | Request[Any]]


@frozen
class Noted:
    """A job that the journal knows; or one that breaks rules, which it never learns of."""

    row: JobRow
    request: Request[Any]
    index: int
    """Its place in the input."""
    problem: InvalidRequestError | None = None
    is_repeat: bool = False
    """Whether the same job came before in this run."""


class Feed:
    """Notes jobs in the journal, and finds those that it knows already."""

    def __init__(self, office: Office, prices: PriceTable, stack: Stack) -> None:
        self._office = office
        self._prices = prices
        self._stack = stack
        self._keeper = Keeper(office.inputs, stack.downloads.stream, stack.shared.max_upload_bytes)
        # Eight bytes stand for a content: the count is per run, and a million jobs cost some megabytes.
        self._seen: Counter[int] = Counter()

    async def note(self, job: Job, index: int) -> Noted:
        """Find the job in the journal, or add it as pending. One that breaks rules is not added.

        Raises:
            JobConflictError: If its id stands for another request.
            OSError: If the folder cannot be written.
        """
        try:
            await self.check(job.request)
            request = await self._keeper.keep(job.request)
            if request is not job.request:
                await self.check(request)

            row = await self._row(job, request, index)
        except InvalidRequestError as error:
            return _refused(job, index, error)
        except UnicodeEncodeError:
            # A lone half of a character has no form in which it could be kept or sent.
            problem = InvalidRequestError([("request", "holds text that cannot be encoded")], subject="job")
            return _refused(job, index, problem)

        known = await self._office.journal.run(partial(rows.find_or_add, row=row))
        if known.fingerprint != row.fingerprint:
            raise JobConflictError(f"the id {job.id!r} stands for another request in {self._office.folder}")

        return Noted(known, request, index)

    async def check(self, request: Request[Any]) -> None:
        """Ask the rules of the service.

        Raises:
            InvalidRequestError: If one is broken.
        """
        ask = partial(
            request.problems,
            max_upload_bytes=self._stack.shared.max_upload_bytes,
            loopback=self._stack.shared.hosts.loopback,
            validate=self._stack.view.validate,
        )
        problems = await in_thread(ask) if has_files(request) else ask()
        if problems:
            raise InvalidRequestError(problems, subject=type(request).__name__)

    def recall(self, row: JobRow, index: int) -> Noted:
        """Take up a job of an earlier run."""
        return Noted(row, unpack(row.request, self._office.inputs), index)

    async def noted(self, jobs: AsyncGenerator[Job]) -> AsyncGenerator[Noted]:
        """Note one job after the other."""
        index = 0
        async with aclosing(jobs):
            async for job in jobs:
                yield await self.note(job, index)
                index += 1

    async def left(self) -> AsyncGenerator[Noted]:
        """Go over what earlier runs have left to be sent."""
        index, after, states = 0, -1, (JobState.PENDING, JobState.AMBIGUOUS)
        while found := await self._office.journal.run(partial(rows.next_in, states=states, after=after, size=PAGE)):
            for row in found:
                yield self.recall(row, index)
                index += 1

            after = found[-1].number

    async def _row(self, job: Job, request: Request[Any], index: int) -> JobRow:
        write = partial(pack, request, self._office.inputs)
        packed = await in_thread(write) if has_files(request) else write()
        fingerprint = fingerprint_of(packed)
        occurrence = self._count(fingerprint) if job.id is None else 0
        return JobRow(
            key=key_of(fingerprint, id=job.id, occurrence=occurrence),
            number=index,
            id=job.id,
            operation=str(request.endpoint),
            request=packed,
            fingerprint=fingerprint,
            weight=weight_of(request),
            usd=self._prices.estimate(request).usd,
            state=JobState.PENDING,
        )

    def _count(self, fingerprint: str) -> int:
        brief = int(fingerprint[:16], 16)
        self._seen[brief] += 1
        return self._seen[brief] - 1


async def pulled(jobs: Jobs) -> AsyncGenerator[Job]:
    """Go over the input lazily. A plain iterable is asked in a thread, for it may block."""
    if isinstance(jobs, AsyncIterable):
        async for item in jobs:
            yield _as_job(item)

        return

    source, end = iter(jobs), object()
    if isinstance(jobs, list | tuple):
        for item in jobs:
            yield _as_job(item)

        return

    while (item := await in_thread(partial(next, source, end))) is not end:
        yield _as_job(item)


def _refused(job: Job, index: int, error: InvalidRequestError) -> Noted:
    name = f"refused {index} {job.id!a}"
    row = JobRow(
        key=key_of(name, id=None, occurrence=0),
        number=index,
        id=job.id,
        operation=str(job.request.endpoint),
        request="{}",
        fingerprint="",
        weight=0,
        usd=None,
        state=JobState.PENDING,
    )
    return Noted(row, job.request, index, problem=error)


def _as_job(item: Any) -> Job:
    request = item.request if isinstance(item, Job) else item
    if not hasattr(request, "endpoint"):
        raise TypeError(f"a batch takes jobs and requests, not {type(request).__name__}")

    if request.endpoint.answer not in DRAWN:
        raise TypeError(f"a batch takes requests that make images, not {type(request).__name__}")

    return item if isinstance(item, Job) else Job(item)
