"""Download of images: retried, verified while they arrive, stored atomically.

    link ─▶ check ─▶ part file ─▶ GET, redirect by redirect ─▶ verify ─▶ fsync ─▶ hard link ─▶ fsync of the folder

Sends only GET requests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import aiohttp
from anyio import CancelScope
from attrs import define, field, frozen

from ideogram_async._download.atomic import PartFile, Stored
from ideogram_async._download.disk import check_folder, make_folder
from ideogram_async._download.hosts import Hosts, is_expired, link_id
from ideogram_async._download.stream import HttpFailure, ImageStream, StreamContext, open_image
from ideogram_async._formats import Format
from ideogram_async._limiter.congestion import MAX_RETRY_AFTER
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.policy import Retry
from ideogram_async._transport.tasks import Tasks, in_thread
from ideogram_async.errors import (
    DownloadError,
    LinkExpiredError,
    NotAnImageError,
    TruncatedImageError,
    WithheldImageError,
)
from ideogram_async.events import Downloaded, Retrying
from ideogram_async.files import HasUrl

T = TypeVar("T")
OPERATION = "download"
WRITE_BYTES = 1 << 21
"""Bytes buffered before a thread writes them: switching to a thread costs as much as writing some 100 KB."""

TRANSIENT = frozenset({408, 425, 429})
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
        self._session = session
        self._hosts = hosts
        self._max_image_bytes = max_image_bytes
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
        return (await self.store(link, resolved)).path

    async def store(self, link: str, target: DownloadTarget) -> Stored:
        """Store an image in an existing folder, and return its path, size and hash. Raises what `download` raises."""
        self._hosts.check(link)
        async with self._slots():
            return await self._store(link, target)

    async def fetch(self, image_or_url: str | HasUrl) -> bytes:
        """Return an image's bytes. Raises what `download` raises, except errors of files."""
        link = self._link_of(image_or_url)
        async with self._slots():
            return await self._retry_download(link, _new_id(), self._read)

    async def open(self, image_or_url: str | HasUrl) -> ImageStream:
        """Open an image stream, which the caller closes. Raises what `fetch` raises.

        Opening is retried like a download. Errors after the first chunk are raised by the iteration.
        """
        link = self._link_of(image_or_url)
        return await self._retry_download(link, _new_id(), self._open)

    def stream(self, image_or_url: str | HasUrl) -> StreamContext:
        """Open an image stream for a block. Leaving the block closes the connection."""
        return StreamContext(partial(self.open, image_or_url))

    def _link_of(self, image_or_url: str | HasUrl) -> str:
        if not isinstance(image_or_url, str | HasUrl):
            raise TypeError(f"expected a URL or an image such as answer.data[0], not {type(image_or_url).__name__}")

        link = image_or_url if isinstance(image_or_url, str) else image_or_url.url
        if not link:
            raise WithheldImageError("the image has no URL: the service withheld it as unsafe")

        self._hosts.check(link)
        return link

    async def _retry_download(self, link: str, call_id: str, work: Callable[[DownloadAttempts], Awaitable[T]]) -> T:
        """Run `work` until it succeeds or its error is final, and raise that error."""
        attempts = DownloadAttempts(link, self._retry, asyncio.get_running_loop().time)
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
            hosts=self._hosts,
            max_bytes=self._max_image_bytes,
            seconds=attempts.remaining_seconds(),
        )
        if isinstance(result, HttpFailure):
            attempts.retry_after = result.retry_after
            raise result.error

        return result

    async def _read(self, attempts: DownloadAttempts) -> bytes:
        with closing(await self._open(attempts)) as stream:
            image = bytearray()
            async for chunk in stream:
                image += chunk

        return bytes(image)

    async def _store(self, link: str, target: DownloadTarget) -> Stored:
        call_id = _new_id()
        # Obtained now: a client that is closed meanwhile waits for these, but returns none.
        tasks = self._tasks()
        part = PartFile(target.folder, target.name)
        try:
            image_format, last = await self._retry_download(link, call_id, partial(self._write, part))
            return await tasks.finish(self._commit(part, target.file_name(image_format), last, call_id))
        finally:
            if not part.is_over:
                # In a task of its own, so that a second cancellation does not stop it.
                with CancelScope(shield=True):
                    await tasks.finish(in_thread(part.discard))

    async def _write(self, part: PartFile, attempts: DownloadAttempts) -> tuple[Format, list[bytes]]:
        """Write the image to its part file in large blocks, and return the last one: most images fit into one."""
        if attempts.attempt > 1:
            await in_thread(part.restart)

        with closing(await self._open(attempts)) as stream:
            block: list[bytes] = []
            size = 0
            async for chunk in stream:
                block.append(chunk)
                size += len(chunk)
                if size >= WRITE_BYTES:
                    await in_thread(partial(part.write, block))
                    block, size = [], 0

        return stream.format, block

    async def _commit(self, part: PartFile, name: str, last: list[bytes], call_id: str) -> Stored:
        stored = await in_thread(partial(part.commit, name, last))
        if self._emit.enabled:
            event = Downloaded(
                call_id=call_id,
                operation=OPERATION,
                path=stored.path,
                size=stored.size,
                sha256=stored.sha256,
                adopted=stored.already_present,
            )
            self._emit(event)

        return stored


@frozen
class DownloadTarget:
    """A folder and the name of an image in it."""

    folder: Path
    name: str
    """Without the extension if `is_stem`."""
    is_stem: bool = True
    """Whether the extension follows from the image's format."""

    @classmethod
    def of(cls, target: str | os.PathLike[str], link: str) -> DownloadTarget:
        """Convert a caller's target. Creates a folder, in which the image is named after the link. Blocks.

        Raises:
            OSError: If the folder cannot be created or written.
        """
        path = Path(target)
        is_folder = os.fspath(target).endswith("/") or path.is_dir()
        if is_folder:
            make_folder(path)

        resolved = cls(path, link_id(link)) if is_folder else cls(path.parent, path.name, is_stem=False)
        check_folder(resolved.folder)
        return resolved

    def file_name(self, image_format: Format) -> str:
        """Return the file name of an image of that format."""
        return f"{self.name}.{image_format.extension}" if self.is_stem else self.name


@define
class DownloadAttempts:
    """The attempts to download one link."""

    link: str
    policy: Retry
    clock: Callable[[], float]
    """The event loop's clock."""
    attempt: int = 0
    """Number of the attempt in progress."""
    retry_after: float | None = None
    """Seconds to wait after the failed attempt, if the host states them."""
    pause: float = 0.0
    """Seconds until the next attempt."""
    _deadline: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.policy.deadline is not None:
            self._deadline = self.clock() + self.policy.deadline

    def begin(self) -> None:
        self.attempt += 1
        self.retry_after = None

    def remaining_seconds(self) -> float | None:
        """Return the time until the policy's deadline, `None` without one."""
        return None if self._deadline is None else self._deadline - self.clock()

    def may_retry(self, error: DownloadError) -> bool:
        """Return whether to retry after this error, and set `pause` to the back-off, at least the Retry-After."""
        if self.attempt >= max_attempts_for(error, attempts=self.policy.attempts, is_past=is_expired(self.link)):
            return False

        self.pause = max(self.policy.backoff(self.attempt), min(self.retry_after or 0.0, MAX_RETRY_AFTER))
        remaining = self.remaining_seconds()
        return remaining is None or self.pause < remaining


def max_attempts_for(error: DownloadError, *, attempts: int, is_past: bool) -> int:
    """Return the number of attempts after which such an error is final.

    A refused link is retried, because an edge server may be wrong, unless the link's own `exp` has passed. A page
    instead of an image may come from an edge server, too.
    """
    if isinstance(error, LinkExpiredError):
        return 1 if is_past else min(3, attempts)

    if isinstance(error, NotAnImageError):
        return min(3, attempts)

    if isinstance(error, TruncatedImageError):
        return attempts

    # The class itself: a failed connection, a timeout, or a status. Its other subclasses are final.
    if type(error) is DownloadError and (error.status is None or error.status in TRANSIENT or error.status >= 500):
        return attempts

    return 1


def _new_id() -> str:
    return f"download-{next(_ids)}"
