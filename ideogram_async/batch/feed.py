"""Jobs are noted in the journal before they are anybody's business."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from attrs import evolve

from ideogram_async.batch import rows
from ideogram_async.batch.identity import fingerprint_of, key_of, pack, unpack
from ideogram_async.batch.job import Job, JobState
from ideogram_async.batch.noting import Noted, images_to_have, note
from ideogram_async.batch.office import Office
from ideogram_async.batch.pulling import Jobs, pulled
from ideogram_async.batch.rows import ImageRow, JobRow
from ideogram_async.batch.sources import Keeper
from ideogram_async.endpoint import Request
from ideogram_async.errors import InvalidRequestError
from ideogram_async.exchange.spool import has_files
from ideogram_async.exchange.stack import Stack
from ideogram_async.prices import PriceTable
from ideogram_async.transport.threads import in_thread
from ideogram_async.wire.encode import weight_of

__all__ = ["Feed", "Jobs", "pulled"]


class Feed:
    """Notes jobs in the journal, and finds those that it knows already."""

    def __init__(self, office: Office, prices: PriceTable, stack: Stack) -> None:
        self._office = office
        self._prices = prices
        self._stack = stack
        self._keeper = Keeper(office.inputs, stack.downloads.stream, stack.shared.max_upload_bytes)

    async def note(self, jobs: list[Job], index: int) -> list[Noted]:
        """Find jobs in the journal, or add them as pending. One that breaks rules is not added.

        Returns:
            The jobs up to one whose id stands for another request, which is left out.

        Raises:
            OSError: If the folder cannot be written.
        """
        drafts = [await self._draft(job, index + number) for number, job in enumerate(jobs)]
        if all(draft.problem is not None for draft in drafts):
            return drafts

        return await self._office.journal.run(partial(note, drafts=drafts, folder=self._office.folder))

    async def check(self, request: Request[Any]) -> None:
        """Ask the rules of the service, in a thread, for they look into files.

        Raises:
            InvalidRequestError: If one is broken.
        """
        await in_thread(partial(self._check, request))

    def recall(self, row: JobRow, index: int, images: Sequence[ImageRow] = ()) -> Noted:
        """Take up a job of an earlier run."""
        return Noted(row, unpack(row.request, self._office.inputs), index, images)

    async def images_of(self, row: JobRow) -> list[ImageRow]:
        """List a job's images; those whose files are gone are to be collected again."""
        step = partial(images_to_have, jobs=[row], folder=self._office.folder)
        return (await self._office.journal.run(step))[row.key]

    async def look_again(self, noted: Noted) -> Noted:
        """See what has become of a job that came before in this run."""
        row = await self._office.journal.run(partial(rows.find, key=noted.row.key)) or noted.row
        return evolve(noted, row=row, images=await self.images_of(row), is_repeat=True)

    async def _draft(self, job: Job, index: int) -> Noted:
        try:
            if has_files(job.request):
                return await self._draft_with_files(job, index)

            self._check(job.request)
            return Noted(self._row(job, job.request, index), job.request, index)
        except InvalidRequestError as error:
            return _refused(job, index, error)
        except UnicodeEncodeError:
            # A lone half of a character has no form in which it could be kept or sent.
            problem = InvalidRequestError([("request", "holds text that cannot be encoded")], subject="job")
            return _refused(job, index, problem)

    async def _draft_with_files(self, job: Job, index: int) -> Noted:
        await self.check(job.request)
        request = await self._keeper.keep(job.request)
        if request is not job.request:
            await self.check(request)

        return Noted(await in_thread(partial(self._row, job, request, index)), request, index)

    def _check(self, request: Request[Any]) -> None:
        problems = request.problems(
            max_upload_bytes=self._stack.shared.max_upload_bytes,
            loopback=self._stack.shared.hosts.loopback,
            validate=self._stack.view.validate,
        )
        if problems:
            raise InvalidRequestError(problems, subject=type(request).__name__)

    def _row(self, job: Job, request: Request[Any], index: int) -> JobRow:
        packed = pack(request, self._office.inputs)
        fingerprint = fingerprint_of(packed)
        return JobRow(
            key=key_of(fingerprint, id=job.id, occurrence=0),
            number=index,
            id=job.id,
            operation=str(request.endpoint),
            request=packed,
            fingerprint=fingerprint,
            weight=weight_of(request),
            usd=self._prices.estimate(request).usd,
            state=JobState.PENDING,
        )


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
