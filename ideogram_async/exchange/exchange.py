"""From a request to its answer: check, copy what can be read once only, encode, send, decode."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from ideogram_async.download.images import ImageStream, Opening
from ideogram_async.endpoint import Request
from ideogram_async.errors import (
    AmbiguousError,
    Billed,
    DownloadError,
    IdeogramError,
    InvalidRequestError,
    NotSentError,
    Phase,
    TransportError,
)
from ideogram_async.events import Failed
from ideogram_async.exchange.spool import spooled
from ideogram_async.exchange.stack import Stack
from ideogram_async.files import HasLink, ImageFile, listed
from ideogram_async.models.reply import Reply
from ideogram_async.transport.threads import in_thread
from ideogram_async.wire.call import Call
from ideogram_async.wire.decode import check, decode
from ideogram_async.wire.encode import encode

__all__ = ["Exchange"]

T = TypeVar("T")


class Exchange:
    """One view's way to the service."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._sessions = stack.shared.sessions
        self.downloads = stack.downloads

    async def send(self, request: Request[T]) -> T:
        """Send any request, and return its answer."""
        if isinstance(request, type) or not hasattr(request, "endpoint"):
            raise TypeError(f"send takes a request such as Generate(...), not {type(request).__name__}")

        await self._check(request)
        async with spooled(request, self.stream, max_bytes=self.stack.shared.max_upload_bytes) as ready:
            if ready is not request:
                await self._check(ready)

            call = encode(ready)
            return await self._run(call, lambda reply: decode(call, reply, request.endpoint.answer))

    async def raw(self, call: Call) -> Reply:
        """Send a call that the library has no request for, and return the reply."""

        def read(reply: Reply) -> Reply:
            check(call, reply)
            return reply

        return await self._run(call, read)

    async def collect(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a download until it ends, or the client is closed."""
        return await self._unless_closed(work, lambda: DownloadError("the client was closed during a download"))

    def stream(self, image_or_url: str | HasLink) -> Opening:
        """Open an image for a block, and pass it on while it comes. Closing the client closes it."""

        async def opening() -> ImageStream:
            stream = await self.collect(lambda: self.downloads.open(image_or_url))
            self._sessions.here().streams.add(stream)
            return stream

        return Opening(opening)

    async def _check(self, request: Request[Any]) -> None:
        def problems() -> list[tuple[str, str]]:
            return request.problems(
                max_upload_bytes=self.stack.shared.max_upload_bytes,
                loopback=self.stack.shared.hosts.loopback,
                validate=self.stack.view.validate,
            )

        # Files are looked into, and a disk may be slow.
        found = await in_thread(problems) if _has_files(request) else problems()
        if found:
            raise InvalidRequestError(found, subject=type(request).__name__)

    async def _run(self, call: Call, read: Callable[[Reply], T]) -> T:
        try:
            return read(await self._unless_closed(lambda: self.stack.send(call), lambda: _closed(call)))
        except BaseException as error:
            self._tell(call, error)
            raise

    async def _unless_closed(self, work: Callable[[], Awaitable[T]], closed: Callable[[], IdeogramError]) -> T:
        """Run it in the caller's task, where `Sessions.close` can end it."""
        local = await self._sessions.open()
        scope = asyncio.timeout(None)
        try:
            async with local.call(scope):
                return await work()
        except TimeoutError:
            if not scope.expired():
                raise

        raise closed()

    def _tell(self, call: Call, error: BaseException) -> None:
        if isinstance(error, IdeogramError):
            billed, message = error.billed, str(error)
        else:
            may_have_run = call.charged and call.trail.may_have_run()
            billed, message = Billed.UNKNOWN if may_have_run else Billed.NO, ""

        self.stack.emit(
            Failed,
            call_id=call.trail.call_id,
            operation=call.operation,
            error=type(error).__name__,
            message=message,
            billed=billed,
            phase=call.trail.phase,
        )


def _has_files(request: Request[Any]) -> bool:
    values = attrs.astuple(request, recurse=False)  # type: ignore[arg-type]
    return any(isinstance(item, ImageFile) for value in values for item in listed(value))


def _closed(call: Call) -> TransportError:
    phase = call.trail.phase
    words = f"{call.operation}: the client was closed"
    if call.trail.may_have_run():
        return (AmbiguousError if call.charged else TransportError)(words, phase=phase)

    return NotSentError(words, phase=phase if phase is not Phase.SENT else Phase.QUEUED)
