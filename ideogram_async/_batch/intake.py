"""Validation and registration of jobs before they run."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from ideogram_async._batch.identity import deserialize, fingerprint_of, job_key, serialize
from ideogram_async._batch.job import ImageState, Job, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import ImageRow, JobRow
from ideogram_async._batch.source import InputReader, Jobs
from ideogram_async._batch.workspace import Workspace
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import Transport, check_request
from ideogram_async._pipeline.uploads import copy_file, has_files, map_files
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.encode import weight_of
from ideogram_async.errors import InvalidRequestError, JobConflictError
from ideogram_async.files import FromJob, ImageFile, as_tuple


@frozen(slots=False)
class RegisteredJob:
    """A job that the journal records, or an invalid one, which is never recorded."""

    row: JobRow
    request: Request[object]
    index: int
    """Position in the input."""
    images: Sequence[ImageRow] = ()
    """Images of an earlier run, or of the same job earlier in the input."""
    problem: InvalidRequestError | None = None
    is_repeat: bool = False
    """Whether the same job came earlier in this run."""


class InputJobs:
    """The jobs of the caller, registered as they are read."""

    def __init__(self, workspace: Workspace, intake: Intake, jobs: Jobs) -> None:
        self._workspace = workspace
        self._intake = intake
        self._reader = InputReader(jobs)
        self._buffer: deque[Job] = deque()
        self._index = 0
        self._conflict: JobConflictError | None = None

    async def read(self, limit: int) -> list[RegisteredJob]:
        """Wait for a job, and return it with the others that are available; an empty list at the end.

        Raises:
            JobConflictError: If an id is already used by a different request, after the jobs before it were returned.
        """
        if self._conflict is not None:
            raise self._conflict

        if not self._buffer:
            self._buffer += await self._reader.read(limit)

        group = self._next_group(limit)
        registered = await self._intake.register(group, self._index)
        self._index += len(registered)
        if len(registered) < len(group):
            conflict = f"the id {group[len(registered)].id!r} is already used by a different request"
            self._conflict = JobConflictError(f"{conflict} in {self._workspace.folder}")
            if not registered:
                raise self._conflict

        return registered

    async def aclose(self) -> None:
        await self._reader.aclose()

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

    def __init__(self, workspace: Workspace, prices: PriceTable, transport: Transport) -> None:
        self._workspace = workspace
        self._prices = prices
        self._transport = transport

    async def register(self, jobs: Sequence[Job], index: int) -> list[RegisteredJob]:
        """Find jobs in the journal, or add them as pending. An invalid job is not added.

        Returns:
            The jobs before the first one whose id is already used by a different request.

        Raises:
            OSError: If the folder cannot be written.
        """
        drafts = [await self._draft(job, index + offset) for offset, job in enumerate(jobs)]
        if all(draft.problem is not None for draft in drafts):
            return drafts

        step = partial(register_jobs, drafts=drafts, folder=self._workspace.folder)
        return await self._workspace.journal.run(step)

    async def check(self, request: Request[object]) -> None:
        """Check a request against the rules of the service.

        Raises:
            InvalidRequestError: If it breaks one.
        """
        await check_request(request, self._transport.config, validate=self._transport.options.validate)

    def recall(self, row: JobRow, index: int, images: Sequence[ImageRow] = ()) -> RegisteredJob:
        """Return a job of an earlier run."""
        return RegisteredJob(row, deserialize(row.request, self._workspace.inputs), index, images)

    async def images_of(self, row: JobRow) -> list[ImageRow]:
        """Return a job's images. One whose file was deleted is linked again."""
        step = partial(images_on_disk, keys=[row.key], folder=self._workspace.folder)
        return (await self._workspace.journal.run(step))[row.key]

    async def reload(self, job: RegisteredJob) -> RegisteredJob:
        """Return the current row and images of a job that ended in this run. One that is still SENDING is ambiguous."""
        row = await self._workspace.journal.run(partial(queries.find_job, key=job.row.key)) or job.row
        images = await self.images_of(row)
        if row.state is JobState.SENDING:
            row = evolve(row, state=JobState.AMBIGUOUS)

        return evolve(job, row=row, images=images, is_repeat=True)

    async def _draft(self, job: Job, index: int) -> RegisteredJob:
        try:
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
        )


def has_one_shot_files(request: Request[object]) -> bool:
    """Return whether a request has a file that can be read only once."""
    return any(_is_one_shot(item) for value in vars(request).values() for item in as_tuple(value))


def register_jobs(database: sqlite3.Connection, drafts: Sequence[RegisteredJob], folder: Path) -> list[RegisteredJob]:
    """Find jobs in the journal, or add them as pending. Stop before a job whose id is used by a different request.

    Number jobs without an id: the n-th job with the same content gets its own key. The counts are per run,
    in a temporary table: a few bytes per job. An invalid draft is returned unchanged.
    """
    valid = [draft.row for draft in drafts if draft.problem is None]
    occurrences = _count_occurrences(database, [row.key for row in valid])
    numbered = list(map(_with_occurrence, valid, occurrences))
    known = queries.find_jobs(database, [row.key for row in numbered])
    sent_keys = [row.key for row in known.values() if row.state is not JobState.PENDING]
    images = images_on_disk(database, sent_keys, folder)
    remaining = zip(numbered, occurrences, strict=True)
    registered: list[RegisteredJob] = []
    for draft in drafts:
        if draft.problem is not None:
            registered.append(draft)
            continue

        new, occurrence = next(remaining)
        row = known.get(new.key)
        row = known[new.key] = _insert(database, new) if row is None else _with_price(database, row, new)
        if row.fingerprint != new.fingerprint:
            break

        is_repeat = occurrence > 0 and row.id is not None
        registered.append(RegisteredJob(row, draft.request, draft.index, images.get(row.key, []), is_repeat=is_repeat))

    return registered


def images_on_disk(database: sqlite3.Connection, keys: Sequence[str], folder: Path) -> dict[str, list[ImageRow]]:
    """Return the images of jobs by key. A stored image whose file was deleted is linked again, if it has a link."""
    by_job = queries.images_by_job(database, keys)
    for images in by_job.values():
        for position, image in enumerate(images):
            # Not a `Path`, which takes twice as long: there may be very many images.
            if image.state is ImageState.STORED and image.url and not os.access(f"{folder}/{image.path}", os.F_OK):
                images[position] = evolve(image, state=ImageState.LINKED, path=None, sha256=None, size=None)
                queries.change_image(database, images[position], ImageState.STORED)

    return by_job


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
    )
    return RegisteredJob(row, job.request, index, problem=error)


def _with_occurrence(row: JobRow, occurrence: int) -> JobRow:
    if not occurrence or row.id is not None:
        return row

    return evolve(row, key=job_key(row.fingerprint, id=None, occurrence=occurrence))


def _count_occurrences(database: sqlite3.Connection, keys: Sequence[str]) -> list[int]:
    """Return how often each key was seen before in this run and count it."""
    marks = ", ".join("?" * len(keys))
    seen: dict[str, int] = dict(
        database.execute(f"SELECT key, times FROM seen WHERE key IN ({marks})", keys).fetchall()
    )
    occurrences: list[int] = []
    for key in keys:
        occurrences.append(seen.get(key, 0))
        seen[key] = occurrences[-1] + 1

    marks = ", ".join(["(?, 1)"] * len(keys))
    database.execute(f"INSERT INTO seen VALUES {marks} ON CONFLICT DO UPDATE SET times = times + 1", keys)
    return occurrences


def _insert(database: sqlite3.Connection, draft: JobRow) -> JobRow:
    ((number,),) = database.execute("SELECT coalesce(max(number), -1) + 1 FROM job").fetchall()
    row = evolve(draft, number=number)
    queries.insert_jobs(database, [row])
    return row


def _with_price(database: sqlite3.Connection, row: JobRow, draft: JobRow) -> JobRow:
    """Update the price of a job that was never sent."""
    if row.state is not JobState.PENDING or row.usd == draft.usd or row.fingerprint != draft.fingerprint:
        return row

    database.execute("UPDATE job SET usd = ? WHERE key = ?", (*queries.values_of(draft, "usd"), row.key))
    return evolve(row, usd=draft.usd)
