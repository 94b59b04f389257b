"""Jobs whose image another job makes: they wait until it is stored, and name earlier jobs only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import attrs

from ideogram_async._batch.identity import key_of
from ideogram_async._batch.job import ImageState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import ImageRow, JobRow
from ideogram_async._batch.workspace import Office
from ideogram_async._operations import Request
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import FromJob, ImageFile, as_tuple


def job_references(request: Request[Any]) -> Iterator[tuple[str, FromJob]]:
    """Go over the images of other jobs that a request takes, each with its field."""
    for field in attrs.fields(cast(Any, type(request))):
        for item in as_tuple(getattr(request, field.name)):
            if isinstance(item, ImageFile) and isinstance(item.source, FromJob):
                yield field.name, item.source


class Chain:
    """Knows which jobs are under way, and finds the images of those that are settled."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._under_way: dict[str, asyncio.Event] = {}

    def is_under_way(self, key: str) -> bool:
        """Say whether that job has begun, and has not ended."""
        return key in self._under_way

    def begin(self, key: str) -> asyncio.Event | None:
        """Note that a job is under way: a later one may name it. Returns the end of the same job, if it came before."""
        former = self._under_way.get(key)
        self._under_way[key] = asyncio.Event()
        return former

    def turn(self, key: str) -> asyncio.Event:
        """Return the end of the job that was begun last under that key."""
        return self._under_way[key]

    def end(self, key: str, turn: asyncio.Event) -> None:
        """Note that a job is settled, as far as this run goes."""
        turn.set()
        if self._under_way.get(key) is turn:
            del self._under_way[key]

    def awaited(self, request: Request[Any]) -> list[asyncio.Event]:
        """List the ends of the jobs under way that a request names."""
        keys = (key_of("", id=earlier.id, occurrence=0) for _, earlier in job_references(request))
        return [event for key in keys if (event := self._under_way.get(key)) is not None]

    async def resolve(self, request: Request[Any]) -> Request[Any]:
        """Put the images of earlier jobs, which are settled, in the place of their names.

        Raises:
            InvalidRequestError: If a job is not an earlier one, or its image is not stored and will not be.
        """
        changes: dict[str, Any] = {}
        for field in attrs.fields(cast(Any, type(request))):
            value = getattr(request, field.name)
            files = value if isinstance(value, tuple) else (value,)
            if any(_is_named(file) for file in files):
                found = tuple([await self._find(field.name, file) for file in files])
                changes[field.name] = found if isinstance(value, tuple) else found[0]

        return cast(Request[Any], attrs.evolve(cast(Any, request), **changes)) if changes else request

    async def _find(self, field: str, file: ImageFile) -> ImageFile:
        if not isinstance(file.source, FromJob):
            return file

        earlier = file.source
        found = await self._office.journal.run(partial(_find, earlier=earlier))
        if found is None:
            raise InvalidRequestError([(field, f"names the job {earlier.id!r}, and no earlier job has that id")])

        job, image = found
        if image is None:
            rule = f"image {earlier.index} of job {earlier.id!r} is not there, and the job is {job.state}"
            raise InvalidRequestError([(field, rule)])

        if image.state is not ImageState.STORED or image.path is None:
            raise InvalidRequestError([(field, f"image {earlier.index} of job {earlier.id!r} is {image.state}")])

        return ImageFile(self._office.folder / image.path, name=file.name)


def _is_named(value: Any) -> bool:
    return isinstance(value, ImageFile) and isinstance(value.source, FromJob)


def _find(database: Any, earlier: FromJob) -> tuple[JobRow, ImageRow | None] | None:
    job = queries.find(database, id=earlier.id)
    if job is None:
        return None

    images = {image.number: image for image in queries.images_of(database, job.key)}
    return job, images.get(earlier.index)
