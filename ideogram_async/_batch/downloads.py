"""Download of a job's images. Never triggers a generation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import evolve

from ideogram_async._batch.job import ImageState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import ImageRow, JobRow
from ideogram_async._batch.options import FileNames
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.workspace import Workspace
from ideogram_async._download.atomic import atomic_write
from ideogram_async._download.downloader import Downloads, DownloadTarget
from ideogram_async._download.hosts import is_expired
from ideogram_async._wire.decode import links_in
from ideogram_async.errors import (
    DownloadError,
    FileConflictError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    NotAnImageError,
    NotSentError,
    TruncatedImageError,
)
from ideogram_async.models.images import ImageAnswer, RemoveBackgroundImageObject

STATE_AFTER: dict[type[DownloadError], ImageState] = {
    FileConflictError: ImageState.CONFLICT,
    HostRefusedError: ImageState.REFUSED,
    ImageTooLargeError: ImageState.TOO_LARGE,
    NotAnImageError: ImageState.CORRUPT,
    TruncatedImageError: ImageState.CORRUPT,
}
MAX_INTEGER = 2**63
"""SQLite's integers are smaller."""


class ImageDownloads:
    """Downloads the images of jobs, and records the state of each."""

    def __init__(self, workspace: Workspace, downloads: Downloads, names: FileNames, stopping: StopPolicy) -> None:
        self._workspace = workspace
        self._downloads = downloads
        self._names = names
        self._stopping = stopping

    async def download(self, job: JobRow, images: Sequence[ImageRow]) -> list[ImageRow]:
        """Download the images that are linked, and return all images in their new states.

        If the disk is full, the image stays linked and the batch stops.

        Raises:
            JournalError: If the journal cannot be written.
        """
        updated = {image.number: image for image in images}

        async def download_one(image: ImageRow) -> None:
            updated[image.number] = await self._download(job, image, images)

        async with asyncio.TaskGroup() as group:
            for image in images:
                if image.state is ImageState.LINKED and image.url:
                    group.create_task(download_one(image))

        return list(updated.values())

    async def _download(self, job: JobRow, image: ImageRow, images: Sequence[ImageRow]) -> ImageRow:
        try:
            after = await self._store(image, self._target(job, image))
            if after is not image:
                await self._workspace.journal.run(partial(queries.finish_download, images=images, row=after))
        except OSError as error:
            # The file may exist anyway; the next run finds it.
            self._stopping.stop(f"{error.strerror or error}: {self._workspace.folder}")
            return image

        return after

    async def _store(self, image: ImageRow, target: DownloadTarget) -> ImageRow:
        url = image.url or ""
        try:
            stored = await self._downloads.store(url, target)
        except LinkExpiredError:
            return evolve(image, state=ImageState.EXPIRED if is_expired(url) else ImageState.LOST)
        except DownloadError as error:
            # Any other failure may be temporary: the image stays linked.
            after = STATE_AFTER.get(type(error))
            return image if after is None else evolve(image, state=after)
        except NotSentError as error:
            # The client was closed: nothing can be downloaded.
            self._stopping.stop(str(error))
            return image

        path = stored.path.relative_to(self._workspace.folder)
        return evolve(image, state=ImageState.STORED, path=str(path), sha256=stored.sha256, size=stored.size)

    def _target(self, job: JobRow, image: ImageRow) -> DownloadTarget:
        stem = self._names.stem(
            id=job.id, key=job.key, number=job.number, index=image.number, prompt=image.prompt, seed=image.seed
        )
        return DownloadTarget(self._workspace.folder, stem)


def list_images(key: str, answer: ImageAnswer | None, raw: bytes) -> list[ImageRow]:
    """Return the images of an answer; if it cannot be read, the links in its bytes."""
    if answer is None:
        return [ImageRow(key, number, ImageState.LINKED, url=url) for number, url in enumerate(links_in(raw))]

    return [_image_row(key, number, image) for number, image in enumerate(answer.images)]


def write_sidecars(folder: Path, job: JobRow, images: Sequence[ImageRow]) -> None:
    """Write `<image>.json` next to every image that is stored. Blocks; each file appears complete."""
    for image in images:
        if image.path is not None:
            with atomic_write(folder / f"{image.path}.json") as file:
                file.write((json.dumps(_sidecar(job, image), ensure_ascii=False, indent=2) + "\n").encode())


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
        "job_usd": None if job.usd is None else str(job.usd),
        "sha256": image.sha256,
        "size": image.size,
    }
