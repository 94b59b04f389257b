"""Pipeline of a call: validation, copies of one-shot files, encoding, sending, decoding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import aiohttp

from ideogram_async._download.downloader import Downloads
from ideogram_async._download.stream import ImageStream, StreamContext
from ideogram_async._operations import Request
from ideogram_async._pipeline.running_call import OnDone, RunningCall
from ideogram_async._pipeline.sessions import LoopState
from ideogram_async._pipeline.settings import ClientConfig, RequestOptions
from ideogram_async._pipeline.uploads import has_files, spool_uploads
from ideogram_async._transport.emitter import Emitter, emit_failure, reporting
from ideogram_async._transport.http import Http
from ideogram_async._transport.limit import limited
from ideogram_async._transport.policy import Retry
from ideogram_async._transport.retry import retrying
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import check, decode
from ideogram_async._wire.encode import encode
from ideogram_async.errors import (
    AmbiguousError,
    DownloadError,
    IdeogramError,
    InvalidRequestError,
    NotSentError,
    Phase,
    TransportError,
)
from ideogram_async.files import HasUrl
from ideogram_async.models.base import Reply

T = TypeVar("T")
MAX_CALLS_PER_SLOT = 10
"""Started calls for each slot of the limiter: more would wait for minutes."""


class Pipeline:
    """The path from a request to its answer, for one view of a client."""

    def __init__(self, config: ClientConfig, options: RequestOptions) -> None:
        self.config = config
        self.options = options
        self.transport = Transport(config, options)

    async def send(self, request: Request[T]) -> T:
        async with self._encoded(request) as call:
            return await self._run(call, _decoder(call, request))

    async def start(self, request: Request[T], on_done: OnDone[T] | None) -> RunningCall[T]:
        """Send a request in a task of the running loop, once it is checked and its files are copied."""
        if on_done is not None and not callable(on_done):
            raise TypeError(f"on_done must be a function, not {type(on_done).__name__}")

        async with AsyncExitStack() as files:
            call = await files.enter_async_context(self._encoded(request))
            state = await self.config.sessions.ensure_open()
            self._check_capacity(call, len(state.started_calls))
            running = RunningCall(request)
            work = partial(self._finish, call, _decoder(call, request), state, files)
            task = state.started_calls.start(running.run(work, partial(_closed_error, call), on_done))
            try:
                # One of two yields; `_finish` has the other. In the task's first step it takes over the files, which
                # leaving this block would delete. In its second it may send, and by then this call has returned or
                # has been cancelled: a cancellation here never leaves a sent call without an owner.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task.cancel()
                raise

        return running

    async def raw(self, call: Call) -> Reply:
        """Send a call that has no request class, and return its reply."""

        def read(reply: Reply) -> Reply:
            check(call, reply)
            return reply

        return await self._run(call, read)

    async def download(self, work: Callable[[Downloads], Awaitable[T]]) -> T:
        """Run a download until it ends or the client is closed."""
        downloads = self.transport.downloads
        return await self._unless_closed(
            lambda: work(downloads), lambda: DownloadError("the client was closed during a download")
        )

    def stream(self, image_or_url: str | HasUrl) -> StreamContext:
        """Open an image for a block. Closing the client closes it."""

        async def opening() -> ImageStream:
            stream = await self.download(lambda downloads: downloads.open(image_or_url))
            self.config.sessions.current().streams.add(stream)
            return stream

        return StreamContext(opening)

    @asynccontextmanager
    async def _encoded(self, request: Request[object]) -> AsyncGenerator[Call]:
        """Check a request, copy its one-shot files for the block, and encode it."""
        if isinstance(request, type) or not hasattr(request, "endpoint"):
            raise TypeError(f"send takes a request such as Generate(...), not {type(request).__name__}")

        await check_request(request, self.config, validate=self.options.validate)
        async with spool_uploads(request, self.stream, max_bytes=self.config.max_upload_bytes) as ready:
            if ready is not request:
                await check_request(ready, self.config, validate=self.options.validate)

            yield encode(ready)

    def _check_capacity(self, call: Call, started: int) -> None:
        maximum = MAX_CALLS_PER_SLOT * int(self.config.limiter.statistics().limit)
        if started >= maximum:
            message = f"{call.operation}: {started} started calls are in flight or queued; nothing was sent"
            raise NotSentError(message, phase=Phase.QUEUED)

    async def _finish(self, call: Call, read: Callable[[Reply], T], state: LoopState, files: AsyncExitStack) -> T:
        """Take over the files of a started call, then run it."""
        async with files.pop_all():
            # Nothing is sent before `start` has returned; see there.
            await asyncio.sleep(0)
            return await self._run(call, read, state)

    async def _run(self, call: Call, read: Callable[[Reply], T], state: LoopState | None = None) -> T:
        try:
            send = partial(self.transport.send, call)
            return read(await self._unless_closed(send, partial(_closed_error, call), state))
        except BaseException as error:
            emit_failure(self.transport.emit, call, error)
            raise

    async def _unless_closed(
        self, work: Callable[[], Awaitable[T]], closed: Callable[[], IdeogramError], state: LoopState | None = None
    ) -> T:
        """Run `work` in the caller's task; `Sessions.close` can end it."""
        state = state or await self.config.sessions.ensure_open()
        if state.is_closing:
            raise closed()

        scope = asyncio.timeout(None)
        try:
            async with state.ended_by_close(scope):
                return await work()
        except TimeoutError:
            if not scope.expired():
                raise

        raise closed()


class Transport:
    """The layers of one view of a client, without checks, encoding and decoding."""

    def __init__(self, config: ClientConfig, options: RequestOptions) -> None:
        sessions = config.sessions
        self.config = config
        self.options = options
        self.emit: Emitter = Emitter(options.on_event, sessions.listeners)
        self._http = Http(
            session=lambda: sessions.current().api,
            base_url=config.base_url,
            key=config.resolve_key,
            timeout=options.timeout,
            extra_headers=options.extra_headers,
            emit=self.emit,
        )
        self.send: Send = self.build_stack(options.retry)
        self.downloads: Downloads = self.new_downloads(
            lambda: sessions.current().images, lambda: sessions.current().download_slots
        )

    def build_stack(self, retry: Retry, *, wrap: Callable[[Send], Send] | None = None) -> Send:
        """Build the stack of layers.

        Args:
            retry: The retry policy.
            wrap: Adds a layer inside the limiter, such as a journal. The answer is then decoded elsewhere, so the
                stack itself reports failures.
        """
        if wrap is None:
            return retrying(limited(self._http, self.config.limiter, self.emit), retry, self.emit)

        return reporting(
            retrying(limited(wrap(self._http), self.config.limiter, self.emit), retry, self.emit), self.emit
        )

    def new_downloads(
        self, session: Callable[[], aiohttp.ClientSession], slots: Callable[[], asyncio.Semaphore]
    ) -> Downloads:
        """Return downloads over a session; `slots` bounds how many run at once."""
        # Not the transport itself: a reference back to it would be a cycle.
        sessions = self.config.sessions
        return Downloads(
            session,
            hosts=self.config.hosts,
            max_image_bytes=self.config.max_image_bytes,
            retry=self.options.retry,
            emit=self.emit,
            tasks=lambda: sessions.current().tasks,
            slots=slots,
        )


async def check_request(request: Request[object], config: ClientConfig, *, validate: bool = True) -> None:
    """Check a request against its rules, in a thread if it sends files.

    Args:
        request: The request.
        config: The limits and hosts that apply.
        validate: Whether to check the service's rules as well as the types.

    Raises:
        InvalidRequestError: If it breaks rules; the error lists all of them.
    """

    def list_problems() -> list[tuple[str, str]]:
        return request.problems(
            max_upload_bytes=config.max_upload_bytes, loopback=config.hosts.loopback, validate=validate
        )

    problems = await in_thread(list_problems) if has_files(request) else list_problems()
    if problems:
        raise InvalidRequestError(problems, subject=type(request).__name__)


def _decoder(call: Call, request: Request[T]) -> Callable[[Reply], T]:
    return lambda reply: decode(call, reply, request.endpoint.answer)


def _closed_error(call: Call) -> TransportError:
    phase = call.state.phase
    message = f"{call.operation}: the client was closed"
    if call.state.may_have_run:
        return (AmbiguousError if call.charged else TransportError)(message, phase=phase)

    return NotSentError(message, phase=phase if phase is not Phase.SENT else Phase.QUEUED)
