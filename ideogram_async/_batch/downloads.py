"""From an answer to images on disk. Nothing here ever asks for a new image."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from ideogram_async._batch.job import ImageState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import ImageRow, JobRow
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.options import Names
from ideogram_async._batch.stopping import Halt
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
from ideogram_async.models.images import ImageAnswer

STATES: dict[type[DownloadError], ImageState] = {
    FileConflictError: ImageState.CONFLICT,
    HostRefusedError: ImageState.REFUSED,
    ImageTooLargeError: ImageState.TOO_LARGE,
    NotAnImageError: ImageState.CORRUPT,
    TruncatedImageError: ImageState.CORRUPT,
}

LARGEST = 2**63

"""SQLite's whole numbers are smaller."""


def images_in(key: str, answer: ImageAnswer | None, raw: bytes) -> list[ImageRow]:
    """List the images of an answer; of one that cannot be read, whatever links are in its bytes."""
    if answer is None:
        found: list[dict[str, Any]] = [{"url": link} for link in links_in(raw)]
    else:
        found = [dict(_told(image)) for image in answer.images]

    return [
        ImageRow(key=key, number=number, state=ImageState.LINKED if facts["url"] else ImageState.WITHHELD, **facts)
        for number, facts in enumerate({name: _kept(value) for name, value in facts.items()} for facts in found)
    ]


class Collector:
    """Downloads the images of jobs, and notes what became of each."""

    def __init__(self, journal: Journal, downloads: Downloads, folder: Path, names: Names, halt: Halt) -> None:
        self._halt = halt
        self._journal = journal
        self._downloads = downloads
        self._folder = folder
        self._names = names

    async def collect(self, job: JobRow, images: Sequence[ImageRow]) -> tuple[list[ImageRow], ImageRow | None]:
        """Store what is linked. What a full disk keeps from being stored stays linked, and the batch stops.

        Returns:
            All images as they then are, and the one that came last, if it is not noted yet: that is done with the job,
            in one step.
        """
        linked = [image for image in images if image.state is ImageState.LINKED and image.url]
        found = {image.number: image for image in images}
        left, last = len(linked), None

        async def store(image: ImageRow) -> None:
            nonlocal left, last
            after = await self._fetch(image, self._target(job, image))
            left -= 1
            if after is not image and not left:
                found[image.number] = last = after
            elif after is not image and await self._is_noted(after, images):
                found[image.number] = after

        if left == 1:
            await store(linked[0])
        else:
            async with asyncio.TaskGroup() as group:
                for image in linked:
                    group.create_task(store(image))

        return list(found.values()), last

    def _target(self, job: JobRow, image: ImageRow) -> DownloadTarget:
        names, index = self._names, image.number
        stem = names.stem(id=job.id, key=job.key, number=job.number, index=index, prompt=image.prompt, seed=image.seed)
        return DownloadTarget(self._folder, stem)

    async def _is_noted(self, after: ImageRow, images: Sequence[ImageRow]) -> bool:
        try:
            await self._journal.run(partial(queries.keep, images=images, row=after))
        except OSError as error:
            # It may stand there all the same; the next run will find it.
            self._halt.stop(f"{error.strerror or error}: {self._folder}")
            return False

        return True

    async def _fetch(self, image: ImageRow, target: DownloadTarget) -> ImageRow:
        url = image.url or ""
        try:
            stored = await self._downloads.store(url, target)
        except LinkExpiredError:
            return attrs.evolve(image, state=ImageState.EXPIRED if is_expired(url) else ImageState.LOST)
        except DownloadError as error:
            # What is not listed may work another time: the link stays.
            state = STATES.get(type(error))
            return image if state is None else attrs.evolve(image, state=state)
        except NotSentError as error:
            # The client was closed: there is nothing to collect with.
            self._halt.stop(str(error))
            return image
        except OSError as error:
            self._halt.stop(f"{error.strerror or error}: {self._folder}")
            return image

        path = stored.path.relative_to(self._folder)
        return attrs.evolve(image, state=ImageState.STORED, path=str(path), sha256=stored.sha256, size=stored.size)


def _told(image: Any) -> Iterator[tuple[str, Any]]:
    yield "url", image.url
    for name in ("seed", "prompt"):
        yield name, getattr(image, name, None)

    size = getattr(image, "upscaled_resolution", None) or getattr(image, "resolution", None)
    yield "resolution", None if size is None else str(size)


def _kept(value: Any) -> Any:
    """Return what the journal can hold of a value; the raw reply has it as it came."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()

    return None if isinstance(value, int) and not -LARGEST <= value < LARGEST else value


def write_sidecars(folder: Path, job: JobRow, images: list[ImageRow]) -> None:
    """Write `<image>.json` for every image that is stored. Blocks; each file appears whole."""
    for image in images:
        if image.path is not None:
            _write(folder / f"{image.path}.json", _sidecar_fields(job, image))


def _sidecar_fields(job: JobRow, image: ImageRow) -> dict[str, object]:
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


def _write(path: Path, told: dict[str, object]) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode())
