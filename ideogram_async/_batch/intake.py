"""Validation and registration of jobs before they run."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from attrs import evolve

from ideogram_async._batch.identity import id_problems, job_key
from ideogram_async._batch.job import Job, JobState
from ideogram_async._batch.journal import meta, queries
from ideogram_async._batch.journal.rows import ImageRow, JobRow
from ideogram_async._batch.registration import RegisteredJob, images_on_disk, register_jobs, reload_job
from ideogram_async._batch.report import InputSize
from ideogram_async._batch.source import CountedJobs, InputReader, Jobs
from ideogram_async._batch.workspace import Workspace
from ideogram_async._ledger.serialization import deserialize, fingerprint_of, serialize
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import Transport, check_request
from ideogram_async._pipeline.uploads import copy_file, has_files, map_files
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.encode import weight_of
from ideogram_async.errors import InvalidRequestError, JobConflictError
from ideogram_async.files import FromJob, ImageFile, as_tuple


class InputJobs:
    """The jobs of the caller, registered as they are read."""

    def __init__(self, workspace: Workspace, intake: Intake, jobs: Jobs) -> None:
        self._workspace = workspace
        self._intake = intake
        self._reader = InputReader(jobs)
        # Other objects may compute their length by reading all jobs, or raise an error.
        self._size = InputSize(len(jobs) if isinstance(jobs, list | tuple | CountedJobs) else None, is_complete=False)
        self._repeats = 0
        self._buffer: deque[Job] = deque()
        self._index = 0
        self._conflict: JobConflictError | None = None

    async def read(self, limit: int) -> list[RegisteredJob]:
        """Wait for a job, and return it with the others that are available; an empty list at the end.

        Raises:
            JobConflictError: If the journal has another request under an id that may have been billed, or two jobs of
                the input have the same id. Raised after the jobs before it were returned.
        """
        if self._conflict is not None:
            raise self._conflict

        if not self._buffer:
            self._buffer += await self._reader.read(limit)

        group = self._next_group(limit)
        await self._record_size(is_over=not group)
        registered, self._conflict = await self._intake.register(group, self._index)
        self._index += len(registered)
        self._repeats += sum(job.is_repeat for job in registered)
        if self._conflict is not None and not registered:
            raise self._conflict

        return registered

    async def aclose(self) -> None:
        await self._reader.aclose()

    async def _record_size(self, *, is_over: bool) -> None:
        """Record the size of the input before its first job and after its last one. An empty input has no size."""
        if is_over == bool(self._index):
            size = InputSize(self._index - self._repeats, is_complete=True) if is_over else self._size
            await self._workspace.journal.run(partial(meta.write_input, size=size))

    def _next_group(self, limit: int) -> list[Job]:
        """Remove jobs that are quick to register from the buffer. A job with files may take long, so it is alone."""
        group: list[Job] = []
        while self._buffer and len(group) < limit:
            if has_files(self._buffer[0].request):
                return group or [self._buffer.popleft()]

            group.append(self._buffer.popleft())

        return group


class PendingJobs:
    """The jobs of earlier runs that may be sent."""

    def __init__(self, workspace: Workspace, intake: Intake) -> None:
        self._workspace = workspace
        self._intake = intake
        self._index = 0
        self._number = -1

    async def read(self, limit: int) -> list[RegisteredJob]:
        """Return the next jobs; an empty list at the end."""
        if self._number < 0:
            await self._intake.renew_rejected()

        states = (JobState.PENDING, JobState.AMBIGUOUS)
        step = partial(queries.jobs_after, states=states, number=self._number, limit=limit)
        rows = await self._workspace.journal.run(step)
        registered = [self._intake.recall(row, self._index + offset) for offset, row in enumerate(rows)]
        self._index += len(rows)
        self._number = rows[-1].number if rows else self._number
        return registered

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


class Intake:
    """Validates jobs, and registers them in the journal."""

    def __init__(
        self, workspace: Workspace, prices: PriceTable, transport: Transport, *, retry_rejected: bool = False
    ) -> None:
        self._workspace = workspace
        self._retry_rejected = retry_rejected
        self._prices = prices
        self._transport = transport
        self.unrecorded: dict[str, RegisteredJob] = {}
        """Jobs by key whose outcome this run could not record: the journal has them as SENDING."""

    async def register(self, jobs: Sequence[Job], index: int) -> tuple[list[RegisteredJob], JobConflictError | None]:
        """Find jobs in the journal, or add them as pending. An invalid job is not added.

        Returns:
            The jobs before the first one whose id is used by a different request, and the error of that job.

        Raises:
            OSError: If the folder cannot be written.
        """
        drafts = [await self._draft(job, index + offset) for offset, job in enumerate(jobs)]
        if all(draft.problem is not None for draft in drafts):
            return drafts, None

        workspace, retry_rejected = self._workspace, self._retry_rejected
        step = partial(register_jobs, drafts=drafts, folder=workspace.held, retry_rejected=retry_rejected)
        registered, conflict = await workspace.journal.run(step)
        return registered, JobConflictError(f"{conflict}, in {workspace.folder}") if conflict else None

    async def renew_rejected(self) -> None:
        """Make all rejected jobs of the folder pending, if `retry_rejected` is set."""
        if self._retry_rejected:
            await self._workspace.journal.run(queries.renew_rejected_jobs)

    async def check(self, request: Request[object]) -> None:
        """Check a request against the rules of the service.

        Raises:
            InvalidRequestError: If it breaks one.
        """
        await check_request(request, self._transport.config, validate=self._transport.options.validate)

    def recall(self, row: JobRow, index: int, images: Sequence[ImageRow] = ()) -> RegisteredJob:
        """Return a job of an earlier run."""
        return RegisteredJob(row, deserialize(row.request, self._workspace.inputs, row.key), index, images)

    async def images_of(self, keys: Sequence[str]) -> dict[str, list[ImageRow]]:
        """Return the images of jobs by key. One whose file was deleted is linked again."""
        return await self._workspace.journal.run(partial(images_on_disk, keys=keys, folder=self._workspace.held))

    def reload(self, job: RegisteredJob) -> asyncio.Future[RegisteredJob]:
        """Return the future of a job that ended in this run, with its current row and images."""
        if (known := self.unrecorded.get(job.row.key)) is None:
            return self._workspace.journal.submit(partial(reload_job, job=job, folder=self._workspace.held))

        reloaded: asyncio.Future[RegisteredJob] = asyncio.get_running_loop().create_future()
        reloaded.set_result(evolve(job, row=known.row, images=known.images, is_repeat=True))
        return reloaded

    async def _draft(self, job: Job, index: int) -> RegisteredJob:
        try:
            if problems := id_problems(job.id):
                raise InvalidRequestError(problems, subject="job")

            await self.check(job.request)
            request = await self._copy_one_shot_files(job.request)
            if request is not job.request:
                await self.check(request)

            build_row = partial(self._build_row, job, request, index)
            return RegisteredJob(await in_thread(build_row) if has_files(request) else build_row(), request, index)
        except InvalidRequestError as error:
            return _invalid(job, index, error)
        except UnicodeEncodeError:
            # A lone surrogate can be neither stored nor sent.
            problem = InvalidRequestError([("request", "contains text that cannot be encoded")], subject="job")
            return _invalid(job, index, problem)

    async def _copy_one_shot_files(self, request: Request[object]) -> Request[object]:
        """Return the request with copies in the folder in place of files that can be read only once."""
        if not has_files(request):
            return request

        config = self._transport.config

        async def copy(field: str, file: ImageFile) -> ImageFile:
            if not _is_one_shot(file):
                return file

            async with AsyncExitStack() as copies:
                open_link = self._transport.downloads.stream
                spooled = await copy_file(field, file, open_link, max_bytes=config.max_upload_bytes, copies=copies)
                return await in_thread(partial(self._workspace.inputs.store, spooled))

        return await map_files(request, copy)

    def _build_row(self, job: Job, request: Request[object], index: int) -> JobRow:
        serialized = serialize(request, self._workspace.inputs)
        fingerprint = fingerprint_of(serialized)
        return JobRow(
            key=job_key(fingerprint, id=job.id, occurrence=0),
            number=index,
            id=job.id,
            operation=str(request.endpoint),
            request=serialized,
            fingerprint=fingerprint,
            weight=weight_of(request),
            usd=self._prices.estimate(request).usd,
            state=JobState.PENDING,
            carried=_to_json(job.carried),
        )


def has_one_shot_files(request: Request[object]) -> bool:
    """Return whether a request has a file that can be read only once."""
    return any(_is_one_shot(item) for value in vars(request).values() for item in as_tuple(value))


def _is_one_shot(value: object) -> bool:
    return isinstance(value, ImageFile) and not value.is_reopenable and not isinstance(value.source, FromJob)


def _invalid(job: Job, index: int, error: InvalidRequestError) -> RegisteredJob:
    row = JobRow(
        key=job_key(f"invalid {index} {job.id!a}", id=None, occurrence=0),
        number=index,
        id=job.id,
        operation=str(job.request.endpoint),
        request="{}",
        fingerprint="",
        weight=0,
        usd=None,
        state=JobState.PENDING,
        carried=_to_json(job.carried),
    )
    return RegisteredJob(row, job.request, index, problem=error)


def _to_json(carried: Mapping[str, str]) -> str | None:
    # As ASCII: a lone surrogate in a column that is not sent rejects no job.
    return json.dumps(dict(carried)) if carried else None
