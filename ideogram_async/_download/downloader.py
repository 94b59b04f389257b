"""Download of images: retried, verified while they arrive, stored by a sink.

    link ─▶ check ─▶ GET, redirect by redirect ─▶ verify ─▶ sink

Sends only GET requests.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import aiohttp
from anyio import CancelScope
from attrs import evolve

from ideogram_async._download.attempts import DownloadAttempts
from ideogram_async._download.hosts import Hosts
from ideogram_async._download.incoming import Incoming, Received
from ideogram_async._download.rejected import RejectedFile
from ideogram_async._download.stream import HttpFailure, ImageStream, StreamContext, open_image
from ideogram_async._download.target import DownloadTarget
from ideogram_async._formats import Format
from ideogram_async._sinks.folder import FolderSink
from ideogram_async._sinks.sink import Facts, Sink, Stored, check_name, is_adopted
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.policy import Retry
from ideogram_async._transport.tasks import Tasks, gather_all, in_thread
from ideogram_async.errors import (
    DownloadError,
    ImageTooLargeError,
    LinkExpiredError,
    WithheldImageError,
)
from ideogram_async.events import Downloaded, Retrying
from ideogram_async.files import HasUrl
from ideogram_async.models.images import ImageAnswer

T = TypeVar("T")
logger = logging.getLogger("ideogram_async")
OPERATION = "download"
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
"""Endings of file names that state a format."""

_ids = count(1)


class Downloads:
    """The downloads of a client or of a batch.

    Args:
        session: Returns the running loop's session for images.
        hosts: Hosts that links may lead to.
        max_image_bytes: Maximum size of an image.
        retry: The retry policy. Unlike in a call, a 429 uses an attempt.
        emit: Event delivery.
        tasks: Returns the running loop's tasks, for steps that a cancellation must not interrupt.
        slots: Returns the running loop's download slots. A download that waits for one has no open file, and its
            timeout has not started.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        hosts: Hosts,
        max_image_bytes: int,
        retry: Retry,
        emit: Emitter,
        tasks: Callable[[], Tasks],
        slots: Callable[[], asyncio.Semaphore],
    ) -> None:
        self.hosts = hosts
        self.max_image_bytes = max_image_bytes
        self._session = session
        self._retry = retry
        self._emit = emit
        self._tasks = tasks
        self._slots = slots

    async def download(self, image_or_url: str | HasUrl, target: str | os.PathLike[str]) -> Path:
        """Store an image and return its path.

        A file path is used exactly, and its folder has to exist. A folder (an existing one, or a string that ends in
        `/`) is created, and the file in it is named `<link id>.<extension>`, with the extension of the image's format.
        A file with the same bytes is kept; one with other bytes is never overwritten.

        A cancellation leaves nothing behind, or the complete image if it was just being linked.

        Raises:
            WithheldImageError: If the image has no link.
            HostRefusedError: If the link leads to a host that is not allowed.
            LinkExpiredError: If the host returns 403, 404 or 410.
            TruncatedImageError: If the image is truncated or damaged in every attempt.
            NotAnImageError: If the response is not an image.
            ImageTooLargeError: If it has too many bytes or pixels.
            FileConflictError: If the target exists with different content.
            DownloadError: If the host cannot be reached, or fails.
            OSError: If the target cannot be written.
        """
        link = self._link_of(image_or_url)
        resolved = await self._tasks().finish(in_thread(partial(DownloadTarget.of, target, link)))
        async with self._slots():
            stored = await self._run(self._new_attempts(link), resolved)

        return resolved.path_of(stored) or Path(stored.name)

    async def keep(self, image: str | HasUrl | ImageAnswer, sink: Sink, name: str) -> tuple[Stored, ...]:
        """Store an image, or those of an answer, in a sink; see `Ideogram.keep`."""
        check_name(name)
        if not isinstance(image, ImageAnswer):
            return (await self.store(self._link_of(image), DownloadTarget(sink, name)),)

        links = [(f"{name}-{number}", self._link_of(each)) for number, each in enumerate(image.images) if each.url]
        work = [self.store(link, DownloadTarget(sink, each)) for each, link in links]
        return tuple(await gather_all(work))

    async def store(
        self,
        link: str,
        target: DownloadTarget,
        *,
        expires_at: float | None = None,
        rejected: RejectedFile | None = None,
    ) -> Stored:
        """Store an image, and return its name, size and hash.

        Args:
            link: The image's link.
            target: The sink, and the name in it.
            expires_at: Expiry of the link, in seconds since the epoch. Once it has passed, the link is requested once.
            rejected: Keeps the received bytes if they are not accepted.

        Raises:
            PastExpiryError: If the host returns 403, 404 or 410 after the expiry.
            UnknownSizeError: If the image is too large, and the host does not declare its size.
            DownloadError: What `download` raises.
            Exception: What the sink raises: `OSError` if it cannot be written.
        """
        self.hosts.check(link)
        async with self._slots():
            attempts = self._new_attempts(link, expires_at)
            try:
                return await self._run(attempts, target, rejected)
            except LinkExpiredError as error:
                if expires_at is None or not attempts.is_past(expires_at):
                    raise

                raise PastExpiryError(str(error), url=error.url, status=error.status) from None
            except ImageTooLargeError as error:
                # A host that declares the size is refused before a byte is read.
                if not attempts.received.rest:
                    raise

                raise UnknownSizeError(str(error), url=error.url) from None

    async def fetch(self, image_or_url: str | HasUrl) -> bytes:
        """Return an image's bytes. Raises what `download` raises, except errors of files."""
        link = self._link_of(image_or_url)
        async with self._slots():
            return await self._retry_download(self._new_attempts(link), _new_id(), self._read)

    async def open(self, image_or_url: str | HasUrl) -> ImageStream:
        """Open an image stream, which the caller closes. Raises what `fetch` raises.

        Opening is retried like a download. Errors after the first chunk are raised by the iteration.
        """
        link = self._link_of(image_or_url)
        return await self._retry_download(self._new_attempts(link), _new_id(), self._open)

    def stream(self, image_or_url: str | HasUrl) -> StreamContext:
        """Open an image stream for a block. Leaving the block closes the connection."""
        return StreamContext(partial(self.open, image_or_url))

    def _link_of(self, image_or_url: str | HasUrl) -> str:
        if not isinstance(image_or_url, str | HasUrl):
            raise TypeError(f"expected a URL or an image such as answer.data[0], not {type(image_or_url).__name__}")

        link = image_or_url if isinstance(image_or_url, str) else image_or_url.url
        if not link:
            raise WithheldImageError("the image has no URL: the service withheld it as unsafe")

        self.hosts.check(link)
        return link

    def _new_attempts(self, link: str, expires_at: float | None = None) -> DownloadAttempts:
        is_past = expires_at is not None and expires_at <= time.time()
        policy = evolve(self._retry, attempts=1) if is_past else self._retry
        return DownloadAttempts(link, policy, asyncio.get_running_loop().time)

    async def _retry_download(
        self, attempts: DownloadAttempts, call_id: str, work: Callable[[DownloadAttempts], Awaitable[T]]
    ) -> T:
        """Run `work` until it succeeds or its error is final, and raise that error."""
        while True:
            attempts.begin()
            try:
                return await work(attempts)
            except DownloadError as error:
                if not attempts.may_retry(error):
                    raise

                self._emit_retrying(call_id, attempts, error)

            await asyncio.sleep(attempts.pause)

    def _emit_retrying(self, call_id: str, attempts: DownloadAttempts, error: DownloadError) -> None:
        if self._emit.enabled:
            number, pause = attempts.attempt, attempts.pause
            event = Retrying(call_id=call_id, operation=OPERATION, attempt=number, pause=pause, reason=str(error))
            self._emit(event)

    async def _open(self, attempts: DownloadAttempts) -> ImageStream:
        result = await open_image(
            self._session(),
            attempts.link,
            hosts=self.hosts,
            max_bytes=self.max_image_bytes,
            rejected=attempts.received.rest,
            seconds=attempts.remaining_seconds(),
        )
        if isinstance(result, HttpFailure):
            attempts.retry_after, attempts.date = result.retry_after, result.date
            raise result.error

        return result

    async def _read(self, attempts: DownloadAttempts) -> bytes:
        with closing(await self._open(attempts)) as stream:
            image = bytearray()
            async for chunk in stream:
                image += chunk

        return bytes(image)

    async def _run(
        self, attempts: DownloadAttempts, target: DownloadTarget, rejected: RejectedFile | None = None
    ) -> Stored:
        """Run a download in a task of the client's. A cancellation ends it, unless a folder is storing the image."""
        work = self._tasks().start(self._store(attempts, target, rejected))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # A folder takes a moment; a request to an object store may take minutes.
            if not (attempts.is_complete and isinstance(target.sink, FolderSink)):
                work.cancel()
                with CancelScope(shield=True):
                    await asyncio.wait({work})

            raise

    async def _store(self, attempts: DownloadAttempts, target: DownloadTarget, rejected: RejectedFile | None) -> Stored:
        call_id = _new_id()
        try:
            image_format, stored = await self._retry_download(attempts, call_id, partial(self._put, target))
        except DownloadError:
            if rejected is not None:
                await in_thread(partial(rejected.keep, attempts.received))

            raise
        finally:
            if attempts.received.part is not None:
                await in_thread(attempts.received.discard)

        path = target.path_of(stored)
        self._emit_downloaded(call_id, path, stored)
        if path is not None:
            _warn_if_misnamed(path, image_format, stored)

        return stored

    async def _put(self, target: DownloadTarget, attempts: DownloadAttempts) -> tuple[Format, Stored]:
        if attempts.received.part is not None:
            await in_thread(attempts.received.discard)

        attempts.received = Received()
        with closing(await self._open(attempts)) as stream:
            image = attempts.image = Incoming(stream, attempts.received)
            facts = Facts(content_type=stream.content_type, length=stream.length, max_bytes=self.max_image_bytes)
            return stream.format, await target.sink.put(target.file_name(stream.format), image, facts)

    def _emit_downloaded(self, call_id: str, path: Path | None, stored: Stored) -> None:
        if self._emit.enabled:
            event = Downloaded(
                call_id=call_id,
                operation=OPERATION,
                path=path,
                uri=stored.uri,
                size=stored.size,
                sha256=stored.sha256,
                adopted=is_adopted(stored),
            )
            self._emit(event)


class PastExpiryError(LinkExpiredError):
    """The host refused a link whose expiry has passed by the host's own clock."""


class UnknownSizeError(ImageTooLargeError):
    """A response without a declared size exceeded the maximum. It may have been endless."""


def _warn_if_misnamed(path: Path, image_format: Format, stored: Stored) -> None:
    """Log that a file has the name of another format. A path is used exactly, so programs may take it for that."""
    suffix, expected = path.suffix.lower().replace(".jpeg", ".jpg"), f".{image_format.extension}"
    if suffix in IMAGE_SUFFIXES and suffix != expected and not is_adopted(stored):
        message = "%s is a %s file, although its name ends in %s; for a fitting name, download it to a folder"
        logger.warning(message, path, image_format.name, path.suffix)


def _new_id() -> str:
    return f"download-{next(_ids)}"
