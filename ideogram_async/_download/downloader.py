"""Brings images home: tried again while that can help, checked as they come, stored whole or not at all.

    link ─▶ checked ─▶ part file ─▶ GET, hop by hop ─▶ checked ─▶ fsync ─▶ link ─▶ fsync folder

Nothing but GETs is ever sent.
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


@frozen
class DownloadTarget:
    """Where an image goes."""

    folder: Path
    name: str
    """Without its extension, where `is_stem`."""
    is_stem: bool = True
    """Whether the extension is told by the image's first bytes."""

    @classmethod
    def of(cls, target: str | os.PathLike[str], link: str) -> DownloadTarget:
        """Read what a caller gave; blocks. A folder is created, and its image named after the link.

        Raises:
            OSError: If the folder cannot be created, or is nowhere to write.
        """
        path = Path(target)
        is_folder = os.fspath(target).endswith("/") or path.is_dir()
        if is_folder:
            make_folder(path)

        made = cls(path, link_id(link)) if is_folder else cls(path.parent, path.name, is_stem=False)
        check_folder(made.folder)
        return made

    def file_name(self, kind: Format) -> str:
        """Return the file's name, for an image of that format."""
        return f"{self.name}.{kind.extension}" if self.is_stem else self.name


T = TypeVar("T")

_PASSING = frozenset({408, 425, 429})


def max_attempts_for(error: DownloadError, *, attempts: int, is_past: bool) -> int:
    """Say after how many tries in all such an error is final.

    A refused link is tried again, for an edge server may be wrong; not so where the link says itself that its time is
    over. A page instead of an image may be an edge server's too.
    """
    if isinstance(error, LinkExpiredError):
        return 1 if is_past else min(3, attempts)

    if isinstance(error, NotAnImageError):
        return min(3, attempts)

    if isinstance(error, TruncatedImageError):
        return attempts

    # The class itself: a failed connection, a timeout, or a status. Its other subclasses are final.
    if type(error) is DownloadError and (error.status is None or error.status in _PASSING or error.status >= 500):
        return attempts

    return 1


def pause_after(
    error: DownloadError, *, attempt: int, policy: Retry, is_past: bool, retry_after: float | None = None
) -> float | None:
    """Say how many seconds to wait before the next try, or `None` to stop.

    The pause is the policy's; a Retry-After is its floor.
    """
    if attempt >= max_attempts_for(error, attempts=policy.attempts, is_past=is_past):
        return None

    return max(policy.backoff(attempt), min(retry_after or 0.0, MAX_RETRY_AFTER))


@define
class DownloadAttempts:
    """The tries of one link."""

    link: str
    policy: Retry
    clock: Callable[[], float]
    """The event loop's."""
    attempt: int = 0
    """Tries begun."""
    retry_after: float | None = None
    """What the host asked for in the try that failed."""
    pause: float = 0.0
    """Seconds until the next try."""
    _deadline: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.policy.deadline is not None:
            self._deadline = self.clock() + self.policy.deadline

    def begin(self) -> None:
        """Count a try."""
        self.attempt += 1
        self.retry_after = None

    def time_left(self) -> float | None:
        """Return the seconds until the policy's deadline, `None` without one."""
        return None if self._deadline is None else self._deadline - self.clock()

    def may_go_on(self, error: DownloadError) -> bool:
        """Decide whether to try again, and keep the pause."""
        pause = pause_after(
            error, attempt=self.attempt, policy=self.policy, is_past=is_expired(self.link), retry_after=self.retry_after
        )
        left = self.time_left()
        if pause is None or (left is not None and pause >= left):
            return False

        self.pause = pause
        return True


async def retry_download(
    attempts: DownloadAttempts,
    work: Callable[[DownloadAttempts], Awaitable[T]],
    emit_retrying: Callable[[DownloadError], None],
) -> T:
    """Do the work until it succeeds or its error is final, and hand that error on.

    `emit_retrying` hears of each error that is followed by another try. A cancellation ends it at once.
    """
    while True:
        attempts.begin()
        try:
            return await work(attempts)
        except DownloadError as error:
            if not attempts.may_go_on(error):
                raise

            emit_retrying(error)

        await asyncio.sleep(attempts.pause)


_BLOCK = 1 << 21

"""Bytes gathered before a thread writes them: a step into a thread costs as much as writing some 100 KB."""

_OPERATION = "download"

_ids = count(1)


class Downloads:
    """Collects images by their links.

    Args:
        session: Gives the running loop's session for images.
        hosts: Where images may be.
        max_image_bytes: The most bytes of one image.
        retry: How often a link is tried; 429 counts as a try here.
        emit: Tells what happens.
        tasks: Gives the running loop's tasks, which finish what a cancellation must not tear.
        places: Gives the running loop's places. Whoever waits for one has no file open, and no time running.
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
        places: Callable[[], asyncio.Semaphore],
    ) -> None:
        self._session = session
        self._hosts = hosts
        self._max_image_bytes = max_image_bytes
        self._retry = retry
        self._emit = emit
        self._tasks = tasks
        self._places = places

    async def download(self, image_or_url: str | HasUrl, target: str | os.PathLike[str]) -> Path:
        """Store an image, and return its path.

        A file path is kept exactly, and its folder has to exist. A folder (one that exists, or a string that ends in
        `/`) is created, and gets `<link id>.<extension>`, the extension by the image's first bytes. The same bytes at
        the target are already_present; other bytes stay as they are.

        Cancelled, it leaves nothing behind; or the whole image, if that was being put in its place.

        Raises:
            WithheldImageError: If the image has no link.
            HostRefusedError: If the link leads where this client does not go.
            LinkExpiredError: If the host says 403, 404 or 410.
            TruncatedImageError: If it came cut or damaged, time after time.
            NotAnImageError: If something else came.
            ImageTooLargeError: If it has too many bytes or pixels.
            FileConflictError: If another file stands at the target.
            DownloadError: If the host could not be reached, or failed.
            OSError: If the target cannot be written.
        """
        link = self._link_of(image_or_url)
        stored = await self.store(link, await self._tasks().finish(in_thread(partial(DownloadTarget.of, target, link))))
        return stored.path

    async def store(self, link: str, target: DownloadTarget) -> Stored:
        """Store an image in a folder that exists, and tell its size and hash. Otherwise like `download`."""
        self._hosts.check(link)
        async with self._places():
            return await self._store(link, target)

    async def _store(self, link: str, target: DownloadTarget) -> Stored:
        call_id = _new_id()
        # Taken now: a client that is closed meanwhile has none to give, and waits for these.
        tasks = self._tasks()
        part = PartFile(target.folder, target.name)
        try:
            kind, last = await self._trying(link, call_id, partial(self._fill, part))
            return await tasks.finish(self._settle(part, target.file_name(kind), last, call_id))
        finally:
            if not part.is_over:
                # In a task of its own too: a second cancellation leaves it running.
                with CancelScope(shield=True):
                    await tasks.finish(in_thread(part.discard))

    async def fetch(self, image_or_url: str | HasUrl) -> bytes:
        """Return an image's bytes.

        Raises what `download` raises, except what concerns files.
        """
        link = self._link_of(image_or_url)
        async with self._places():
            return await self._trying(link, _new_id(), self._collect)

    async def open(self, image_or_url: str | HasUrl) -> ImageStream:
        """Open an image, to pass it on while it comes; whoever opens it has to close it.

        StreamContext is tried again like a download. Once a chunk was given nothing is, and iterating raises what went
        wrong.

        Raises what `fetch` raises.
        """
        link = self._link_of(image_or_url)
        return await self._trying(link, _new_id(), self._open)

    def stream(self, image_or_url: str | HasUrl) -> StreamContext:
        """Open an image for a block: leaving it, also by a cancellation, ends the connection."""
        return StreamContext(partial(self.open, image_or_url))

    def _link_of(self, image_or_url: str | HasUrl) -> str:
        if not isinstance(image_or_url, str | HasUrl):
            raise TypeError(f"an image is a link, or one of an answer's images, not {type(image_or_url).__name__}")

        link = image_or_url if isinstance(image_or_url, str) else image_or_url.url
        if not link:
            raise WithheldImageError("this image has no link: the service withheld it as unsafe")

        self._hosts.check(link)
        return link

    async def _trying(self, link: str, call_id: str, work: Callable[[DownloadAttempts], Awaitable[T]]) -> T:
        attempts = DownloadAttempts(link, self._retry, asyncio.get_running_loop().time)

        def tell(error: DownloadError) -> None:
            if self._emit.enabled:
                self._emit(
                    Retrying(
                        call_id=call_id,
                        operation=_OPERATION,
                        attempt=attempts.attempt,
                        pause=attempts.pause,
                        reason=str(error),
                    )
                )

        return await retry_download(attempts, work, tell)

    async def _open(self, attempts: DownloadAttempts) -> ImageStream:
        answer = await open_image(
            self._session(),
            attempts.link,
            hosts=self._hosts,
            max_bytes=self._max_image_bytes,
            seconds=attempts.time_left(),
        )
        if isinstance(answer, HttpFailure):
            attempts.retry_after = answer.retry_after
            raise answer.error

        return answer

    async def _collect(self, attempts: DownloadAttempts) -> bytes:
        with closing(await self._open(attempts)) as stream:
            image = bytearray()
            async for chunk in stream:
                image += chunk

        return bytes(image)

    async def _fill(self, part: PartFile, attempts: DownloadAttempts) -> tuple[Format, list[bytes]]:
        """Write the image into its part file, in few large blocks, and return the last: an image is one as a rule."""
        if attempts.attempt > 1:
            await in_thread(part.restart)

        with closing(await self._open(attempts)) as stream:
            block: list[bytes] = []
            size = 0
            async for chunk in stream:
                block.append(chunk)
                size += len(chunk)
                if size >= _BLOCK:
                    await in_thread(partial(part.write, block))
                    block, size = [], 0

        return stream.format, block

    async def _settle(self, part: PartFile, name: str, last: list[bytes], call_id: str) -> Stored:
        stored = await in_thread(partial(part.commit, name, last))
        if self._emit.enabled:
            event = Downloaded(
                call_id=call_id,
                operation=_OPERATION,
                path=stored.path,
                size=stored.size,
                sha256=stored.sha256,
                adopted=stored.already_present,
            )
            self._emit(event)

        return stored


def _new_id() -> str:
    return f"download-{next(_ids)}"
