"""From a request to its answer: check, copy what can be read once only, encode, send, decode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from ideogram_async.download.images import ImageStream, Opening
from ideogram_async.endpoint import Request
from ideogram_async.errors import (
    AmbiguousError,
    DownloadError,
    IdeogramError,
    InvalidRequestError,
    NotSentError,
    Phase,
    TransportError,
)
from ideogram_async.exchange.detached import Detached, OnDone
from ideogram_async.exchange.sessions import Local
from ideogram_async.exchange.spool import has_files, spooled
from ideogram_async.exchange.stack import Stack
from ideogram_async.files import HasLink
from ideogram_async.models.reply import Reply
from ideogram_async.transport.threads import in_thread
from ideogram_async.transport.told import tell_failure
from ideogram_async.wire.call import Call
from ideogram_async.wire.decode import check, decode
from ideogram_async.wire.encode import encode

__all__ = ["Exchange"]

T = TypeVar("T")
MOST_PER_PLACE = 10
"""Detached calls for each place of the limiter: more would wait for minutes, and nobody for them."""


class Exchange:
    """One view's way to the service."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._sessions = stack.shared.sessions
        self.downloads = stack.downloads

    async def send(self, request: Request[T]) -> T:
        """Send any request, and return its answer."""
        async with self._encoded(request) as call:
            return await self._run(call, _reading(call, request))

    async def detach(self, request: Request[T], on_done: OnDone[T] | None) -> Detached[T]:
        """Send any request in a task of the loop's own, once it is checked and its files are copied."""
        if on_done is not None and not callable(on_done):
            raise TypeError(f"on_done must be a function, not {type(on_done).__name__}")

        async with AsyncExitStack() as files:
            call = await files.enter_async_context(self._encoded(request))
            local = await self._sessions.open()
            self._admit(call, len(local.detached))
            detached = Detached(request)
            work = partial(self._finish, call, _reading(call, request), local, files)
            task = local.detached.start(detached.run(work, partial(_closed, call), on_done))
            try:
                # The first step of the task takes the files over; in its second something may be sent.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task.cancel()
                raise

        return detached

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

    @asynccontextmanager
    async def _encoded(self, request: Request[Any]) -> AsyncGenerator[Call]:
        """Check a request, copy what can be read once only, and make a call of it."""
        if isinstance(request, type) or not hasattr(request, "endpoint"):
            raise TypeError(f"send takes a request such as Generate(...), not {type(request).__name__}")

        await self._check(request)
        async with spooled(request, self.stream, max_bytes=self.stack.shared.max_upload_bytes) as ready:
            if ready is not request:
                await self._check(ready)

            yield encode(ready)

    def _admit(self, call: Call, others: int) -> None:
        most = MOST_PER_PLACE * int(self.stack.shared.limiter.statistics().limit)
        if others >= most:
            words = f"{call.operation}: {others} detached calls are on their way or in line; nothing was sent"
            raise NotSentError(words, phase=Phase.QUEUED)

    async def _finish(self, call: Call, read: Callable[[Reply], T], local: Local, files: AsyncExitStack) -> T:
        """Run a detached call, from the moment when whoever has detached it can only leave it alone."""
        async with files.pop_all():
            await asyncio.sleep(0)
            return await self._run(call, read, local)

    async def _check(self, request: Request[Any]) -> None:
        def problems() -> list[tuple[str, str]]:
            return request.problems(
                max_upload_bytes=self.stack.shared.max_upload_bytes,
                loopback=self.stack.shared.hosts.loopback,
                validate=self.stack.view.validate,
            )

        # Files are looked into, and a disk may be slow.
        found = await in_thread(problems) if has_files(request) else problems()
        if found:
            raise InvalidRequestError(found, subject=type(request).__name__)

    async def _run(self, call: Call, read: Callable[[Reply], T], local: Local | None = None) -> T:
        try:
            return read(await self._unless_closed(lambda: self.stack.send(call), lambda: _closed(call), local))
        except BaseException as error:
            tell_failure(self.stack.emit, call, error)
            raise

    async def _unless_closed(
        self, work: Callable[[], Awaitable[T]], closed: Callable[[], IdeogramError], local: Local | None = None
    ) -> T:
        """Run it in the caller's task, where `Sessions.close` can end it. What belongs to a `Local` ends with that."""
        local = local or await self._sessions.open()
        if local.is_closing:
            raise closed()

        scope = asyncio.timeout(None)
        try:
            async with local.call(scope):
                return await work()
        except TimeoutError:
            if not scope.expired():
                raise

        raise closed()


def _reading(call: Call, request: Request[T]) -> Callable[[Reply], T]:
    return lambda reply: decode(call, reply, request.endpoint.answer)


def _closed(call: Call) -> TransportError:
    phase = call.trail.phase
    words = f"{call.operation}: the client was closed"
    if call.trail.may_have_run():
        return (AmbiguousError if call.charged else TransportError)(words, phase=phase)

    return NotSentError(words, phase=phase if phase is not Phase.SENT else Phase.QUEUED)
