"""Dependencies between jobs: images of earlier jobs, and repeated jobs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

from attrs import evolve

from ideogram_async._batch.identity import job_key
from ideogram_async._batch.inputs import RecordedFile
from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import ImageRow, JobRow
from ideogram_async._batch.workspace import Workspace
from ideogram_async._operations import Request
from ideogram_async._pipeline.uploads import map_files
from ideogram_async.errors import InvalidRequestError, NotSentError, Phase
from ideogram_async.files import FromJob, ImageFile, as_tuple

R = TypeVar("R", bound=Request[object])


class SourceLostError(InvalidRequestError):
    """A job needs an image of an earlier job that will never be stored."""


def job_references(request: Request[object]) -> Iterator[tuple[str, FromJob]]:
    """Yield the images of other jobs that a request uses, each with its field."""
    for name, value in vars(request).items():
        for item in as_tuple(value):
            if isinstance(item, ImageFile) and isinstance(item.source, FromJob):
                yield name, item.source


class Dependencies:
    """The jobs that are running, and the images of those that have finished."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._running: dict[str, asyncio.Event] = {}

    def is_running(self, key: str) -> bool:
        """Return whether a job has begun and not finished."""
        return key in self._running

    def begin(self, key: str, request: Request[object]) -> tuple[asyncio.Event, list[asyncio.Event]]:
        """Register a job as running.

        Returns:
            The event to pass to `finish`, and the events of earlier jobs to wait for: those whose images the request
            uses, and the same job if it is already running.
        """
        pending = self._pending_for(request)
        if (previous := self._running.get(key)) is not None:
            pending.append(previous)

        completion = self._running[key] = asyncio.Event()
        return completion, pending

    def finish(self, key: str, completion: asyncio.Event) -> None:
        """Mark a job as finished for this run."""
        completion.set()
        if self._running.get(key) is completion:
            del self._running[key]

    async def resolve(self, request: R, number: int) -> tuple[R, list[RecordedFile]]:
        """Return the request with the stored images of earlier jobs in place of their references, and those images.

        Args:
            request: The request.
            number: The number of its job.

        Raises:
            SourceLostError: If an image is not stored and never will be.
            NotSentError: If an image is not stored yet.
            InvalidRequestError: If an image that is not stored is not one of an earlier job.
        """
        images: list[RecordedFile] = []

        async def resolve_file(field: str, file: ImageFile) -> ImageFile:
            if not isinstance(file.source, FromJob):
                return file

            image = await self._find_image(field, file.source, number)
            opened = await self._open(field, image)
            # The file of a custom request has the name of its field.
            resolved = evolve(file, source=opened.source, name=file.name or image.path)
            images.append(RecordedFile(field, resolved, image.sha256 or ""))
            return resolved

        return await map_files(request, resolve_file), images

    async def _open(self, field: str, image: ImageRow) -> ImageFile:
        """Return a stored image as a file: from the folder, or read from the sink into memory."""
        name = image.path or ""
        if image.uri is None:
            return ImageFile(self._workspace.held.absolute / name)

        try:
            return ImageFile(b"".join([chunk async for chunk in self._workspace.sink.open(name)]))
        except Exception as error:
            message = f"{field}: {image.uri} cannot be read, and this job waits for it: {error}"
            raise NotSentError(message, phase=Phase.QUEUED) from error

    def _pending_for(self, request: Request[object]) -> list[asyncio.Event]:
        keys = (job_key("", id=earlier.id, occurrence=0) for _, earlier in job_references(request))
        return [event for key in keys if (event := self._running.get(key)) is not None]

    async def _find_image(self, field: str, earlier: FromJob, number: int) -> ImageRow:
        """Return the stored image of an earlier job."""
        job, image = await self._workspace.journal.run(partial(_find_image, earlier=earlier))
        if image is not None and image.state is ImageState.STORED:
            return image

        if job is None or job.number >= number:
            problem = f"refers to job {earlier.id!r}, but no earlier valid job has that id"
            raise InvalidRequestError([(field, problem)], subject="job")

        problem = f"image {earlier.index} of job {earlier.id!r} "
        if image is None:
            problem += f"does not exist; the job is {job.state}"
            is_lost = job.state in (JobState.DONE, JobState.PARTIAL, JobState.REJECTED)
        else:
            problem += f"is {image.state}"
            is_lost = image.state is not ImageState.LINKED

        if is_lost:
            raise SourceLostError([(field, problem)], subject="job")

        raise NotSentError(f"{field}: {problem}, and this job waits for it", phase=Phase.QUEUED)


def _find_image(database: sqlite3.Connection, earlier: FromJob) -> tuple[JobRow | None, ImageRow | None]:
    job = queries.find_job(database, id=earlier.id)
    images = queries.images_of(database, job.key) if job is not None else []
    return job, next((image for image in images if image.number == earlier.index), None)
