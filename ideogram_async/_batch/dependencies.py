"""Dependencies between jobs: images of earlier jobs, and repeated jobs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

from ideogram_async._batch.identity import job_key
from ideogram_async._batch.job import ImageState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import ImageRow, JobRow
from ideogram_async._batch.workspace import Workspace
from ideogram_async._operations import Request
from ideogram_async._pipeline.uploads import map_files
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import FromJob, ImageFile, as_tuple

R = TypeVar("R", bound=Request[object])


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

    async def resolve(self, request: R) -> R:
        """Return the request with the stored images of earlier jobs in place of their references.

        Raises:
            InvalidRequestError: If a job is not an earlier one, or its image is not stored and never will be.
        """
        return await map_files(request, self._resolve_file)

    def _pending_for(self, request: Request[object]) -> list[asyncio.Event]:
        keys = (job_key("", id=earlier.id, occurrence=0) for _, earlier in job_references(request))
        return [event for key in keys if (event := self._running.get(key)) is not None]

    async def _resolve_file(self, field: str, file: ImageFile) -> ImageFile:
        earlier = file.source
        if not isinstance(earlier, FromJob):
            return file

        job, image = await self._workspace.journal.run(partial(_find_image, earlier=earlier))
        if job is None:
            raise InvalidRequestError([(field, f"refers to job {earlier.id!r}, but no earlier job has that id")])

        name = f"image {earlier.index} of job {earlier.id!r}"
        if image is None:
            raise InvalidRequestError([(field, f"{name} does not exist; the job is {job.state}")])

        if image.state is not ImageState.STORED or image.path is None:
            raise InvalidRequestError([(field, f"{name} is {image.state}")])

        return ImageFile(self._workspace.folder / image.path, name=file.name)


def _find_image(database: sqlite3.Connection, earlier: FromJob) -> tuple[JobRow | None, ImageRow | None]:
    job = queries.find_job(database, id=earlier.id)
    images = queries.images_of(database, job.key) if job is not None else []
    return job, next((image for image in images if image.number == earlier.index), None)
