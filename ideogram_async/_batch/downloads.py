"""Download of a job's images. Never triggers a generation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from attrs import evolve

from ideogram_async._batch.job import ImageProblem, ImageState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import ImageRow, JobRow, read_texts, timestamp
from ideogram_async._batch.options import FileNames
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.uncollected import UncollectedImages
from ideogram_async._batch.workspace import Workspace
from ideogram_async._download.atomic import atomic_write
from ideogram_async._download.downloader import Downloads, PastExpiryError, UnknownSizeError
from ideogram_async._download.held import HeldFolder
from ideogram_async._download.hosts import expiry_of
from ideogram_async._download.rejected import RejectedFile
from ideogram_async._download.target import DownloadTarget
from ideogram_async._operations import Request
from ideogram_async._sinks.sink import Stored
from ideogram_async._transport.tasks import unlisted
from ideogram_async._wire.decode import links_in
from ideogram_async._wire.encode import image_count
from ideogram_async.errors import (
    DownloadError,
    FileConflictError,
    HostRefusedError,
    ImageTooLargeError,
    InvalidRequestError,
    LinkExpiredError,
    NotAnImageError,
    NotSentError,
    Phase,
    TruncatedImageError,
)
from ideogram_async.models.images import ImageAnswer, RemoveBackgroundImageObject

logger = logging.getLogger("ideogram_async")
PROBLEM_OF: dict[type[DownloadError], ImageProblem] = {
    FileConflictError: "name_taken",
    HostRefusedError: "refused",
    ImageTooLargeError: "too_large",
    LinkExpiredError: "gone",
    NotAnImageError: "not_an_image",
    TruncatedImageError: "cut",
    UnknownSizeError: "too_large",
}
MAX_UNSTORED = 5
"""Images in a row that a sink does not store; then the batch stops."""

MAX_INTEGER = 2**63
"""SQLite's integers are smaller."""
LINK_LIFETIME = timedelta(hours=24)
"""Lifetime of a link that does not contain its expiry."""


class ImageDownloads:
    """Downloads the images of jobs, and records the state of each."""

    def __init__(
        self,
        workspace: Workspace,
        downloads: Downloads,
        names: FileNames,
        stopping: StopPolicy,
        uncollected: UncollectedImages,
    ) -> None:
        self._workspace = workspace
        self._downloads = downloads
        self._names = names
        self._stopping = stopping
        self._uncollected = uncollected
        self._unstored = 0

    async def check_names(self, job: JobRow, request: Request[object]) -> None:
        """Check that nothing has the name of an image that a job is going to make, as far as the names are known.

        Raises:
            InvalidRequestError: If a name is taken.
            NotSentError: If the sink cannot be read.
        """
        if not self._names.depend_on_answer:
            numbers = range(image_count(request))
            targets = [self._target(job, ImageRow(job.key, number, ImageState.LINKED)) for number in numbers]
            for target in targets:
                await self._check_name(target)

    async def download(self, job: JobRow, images: Sequence[ImageRow], *, is_new: bool) -> list[ImageRow]:
        """Download the images that are linked, and return all images in their new states.

        If the disk is full, the image stays linked and the batch stops.

        Args:
            job: The job.
            images: Its images.
            is_new: Whether the job was answered in this run.

        Raises:
            JournalError: If the journal cannot be written.
        """
        updated = {image.number: image for image in images}

        async def download_one(image: ImageRow) -> None:
            after = updated[image.number] = await self._download(job, image, images)
            if after.state is ImageState.STORED:
                self._uncollected.record_stored()
            elif is_new:
                self._uncollected.record_failed(after.problem)

        async with asyncio.TaskGroup() as group:
            for image in images:
                if image.state is ImageState.LINKED and image.url:
                    unlisted(group.create_task(download_one(image)))

        return list(updated.values())

    async def _download(self, job: JobRow, image: ImageRow, images: Sequence[ImageRow]) -> ImageRow:
        target = self._target(job, image)
        try:
            after = await self._store(job, image, target)
            if after is not image:
                await self._workspace.journal.run(partial(queries.finish_download, images=images, row=after))
        except OSError as error:
            # The file may exist anyway; the next run finds it.
            self._stopping.stop(f"{error.strerror or error}: {self._workspace.folder}")
            return image

        return after

    async def _is_still_blocked(self, image: ImageRow, target: DownloadTarget) -> bool:
        """Return whether the last download's problem remains, if that is known without a request."""
        match image.problem:
            case "name_taken":
                return await target.find_taken() is not None
            case "refused":
                return not self._downloads.hosts.allows(image.url or "")
            case "too_large":
                return image.max_bytes is not None and image.max_bytes >= self._downloads.max_image_bytes
            case _:
                return False

    async def _store(self, job: JobRow, image: ImageRow, target: DownloadTarget) -> ImageRow:
        url = image.url or ""
        rejected = RejectedFile(self._workspace.hidden, f"{image.key}-{image.number}")
        try:
            if await self._is_still_blocked(image, target):
                return image

            stored = await self._downloads.store(
                url, target, expires_at=_expiry(url, job.answered_at), rejected=rejected
            )
        except PastExpiryError:
            return evolve(image, state=ImageState.EXPIRED, problem=None, tried_at=timestamp(), max_bytes=None)
        except DownloadError as error:
            problem = PROBLEM_OF.get(type(error), "unreachable")
            max_bytes = self._downloads.max_image_bytes if type(error) is ImageTooLargeError else None
            return _failed(image, problem, max_bytes)
        except NotSentError as error:
            # The client was closed: nothing can be downloaded.
            self._stopping.stop(str(error))
            return image
        except Exception as error:
            if self._workspace.sink_uri is None:
                raise

            return self._leave_linked(image, error)

        self._unstored = 0
        return _stored(image, stored, None if self._workspace.sink_uri is None else stored.uri)

    def _leave_linked(self, image: ImageRow, error: Exception) -> ImageRow:
        """Count an image that the sink did not store, and stop the batch after some in a row."""
        reason = f"{self._workspace.sink_uri} does not store images: {error or type(error).__name__}"
        logger.warning("image %d of job %s: %s", image.number, image.key, reason)
        self._unstored += 1
        if self._unstored >= MAX_UNSTORED:
            self._stopping.stop(reason)

        return _failed(image, "unreachable")

    async def _check_name(self, target: DownloadTarget) -> None:
        place = self._workspace.sink_uri
        try:
            taken = await target.find_taken()
        except Exception as error:
            if place is None:
                raise

            raise NotSentError(f"{place} cannot be read: {error}", phase=Phase.QUEUED) from error

        if taken is not None:
            raise _name_error(f"{place or self._workspace.folder}/{taken}")

    def _target(self, job: JobRow, image: ImageRow) -> DownloadTarget:
        stem = self._names.stem(
            id=job.id, key=job.key, number=job.number, index=image.number, prompt=image.prompt, seed=image.seed
        )
        return DownloadTarget(self._workspace.sink, stem)


def list_images(key: str, answer: ImageAnswer | None, raw: bytes) -> list[ImageRow]:
    """Return the images of an answer; if it cannot be read, the links in its bytes."""
    if answer is None:
        return [ImageRow(key, number, ImageState.LINKED, url=url) for number, url in enumerate(links_in(raw))]

    return [_image_row(key, number, image) for number, image in enumerate(answer.images)]


def write_sidecars(folder: HeldFolder, job: JobRow, images: Sequence[ImageRow]) -> None:
    """Write `<image>.json` into the folder for every image that is stored. Blocks; each file appears complete."""
    for image in images:
        if image.path is not None:
            name = f"{image.path.rpartition('/')[2]}.json"
            with atomic_write(folder.path / name, folder=folder) as file:
                file.write((json.dumps(_sidecar(job, image), ensure_ascii=False, indent=2) + "\n").encode())


def _stored(image: ImageRow, stored: Stored, uri: str | None) -> ImageRow:
    return evolve(
        image,
        state=ImageState.STORED,
        path=stored.name,
        uri=uri,
        sha256=stored.sha256,
        size=stored.size,
        problem=None,
        tried_at=None,
        max_bytes=None,
    )


def _failed(image: ImageRow, problem: ImageProblem, max_bytes: int | None = None) -> ImageRow:
    """Return a linked image after a download that failed now."""
    return evolve(image, problem=problem, tried_at=timestamp(), max_bytes=max_bytes)


def _expiry(url: str, answered_at: str | None) -> float | None:
    """Return the expiry of a link, in seconds since the epoch."""
    expires_at = expiry_of(url)
    if expires_at is not None or answered_at is None:
        return expires_at

    return (datetime.fromisoformat(answered_at) + LINK_LIFETIME).timestamp()


def _name_error(place: str) -> InvalidRequestError:
    error = InvalidRequestError(
        [("names", f"an image would be stored as {place}, which exists already")], subject="job"
    )
    error.advice = "Move the file, or choose another id, template of names or folder. Then run the batch again."
    return error


def _image_row(key: str, number: int, image: RemoveBackgroundImageObject) -> ImageRow:
    # A value that SQLite cannot store is kept in the raw reply only.
    seed = getattr(image, "seed", None)
    resolution = getattr(image, "upscaled_resolution", None) or getattr(image, "resolution", None)
    return ImageRow(
        key=key,
        number=number,
        state=ImageState.LINKED if image.url else ImageState.WITHHELD,
        url=_storable(image.url),
        seed=seed if seed is not None and -MAX_INTEGER <= seed < MAX_INTEGER else None,
        prompt=_storable(getattr(image, "prompt", None)),
        resolution=_storable(resolution),
    )


def _storable(text: object) -> str | None:
    return None if text is None else str(text).encode(errors="replace").decode()


def _sidecar(job: JobRow, image: ImageRow) -> Mapping[str, object]:
    return {
        "job": job.id or job.key,
        "key": job.key,
        "index": image.number,
        **json.loads(job.request),
        "prompt": image.prompt,
        "seed": image.seed,
        "resolution": image.resolution,
        **({} if image.uri is None else {"uri": image.uri}),
        "job_usd": None if job.usd is None else str(job.usd),
        "sha256": image.sha256,
        "size": image.size,
        "carried": read_texts(job, "carried"),
    }
