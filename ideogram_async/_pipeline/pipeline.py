"""From a request to its answer: check, copy what can be read once only, encode, send, decode."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

import aiohttp
from attrs import evolve, field, frozen
from yarl import URL

from ideogram_async._download import hosts
from ideogram_async._download.downloader import Downloads
from ideogram_async._download.hosts import Hosts
from ideogram_async._download.stream import ImageStream, Opening
from ideogram_async._limiter.limiter import ImageLimiter, Limiter
from ideogram_async._operations import Request
from ideogram_async._pipeline.running_call import OnDone, RunningCall
from ideogram_async._pipeline.sessions import LoopState, SessionFactory, SessionOptions, Sessions
from ideogram_async._pipeline.uploads import has_files, spooled
from ideogram_async._redaction import HeaderSecret, Secret
from ideogram_async._transport.emitter import Emitter, Listener, emit_failure, reporting
from ideogram_async._transport.http import Http
from ideogram_async._transport.limit import limited
from ideogram_async._transport.policy import Retry, Timeout
from ideogram_async._transport.retry import retrying
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import check, decode
from ideogram_async._wire.encode import encode
from ideogram_async.errors import (
    AmbiguousError,
    AuthenticationError,
    DownloadError,
    IdeogramError,
    InvalidRequestError,
    NotSentError,
    Phase,
    TransportError,
)
from ideogram_async.files import HasUrl
from ideogram_async.models.base import Reply

OUR_HEADERS = ("api-key", "host", "content-length", "content-type", "transfer-encoding")


def _headers(given: Mapping[str, str] | None) -> dict[str, str]:
    for name, value in (given or {}).items():
        if (
            name.lower() in OUR_HEADERS
            or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name)
            or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
        ):
            raise ValueError(f"extra_headers: {name!r} cannot be sent")

    return dict(given or {})


def _timeout(given: Timeout | float | str | None) -> Timeout:
    return Timeout.of(given)


def _retry(given: Retry | None) -> Retry:
    return given or Retry()


KeySource: TypeAlias = Secret | Callable[[], str | Awaitable[str]]


@frozen(kw_only=True)
class ClientConfig:
    """What all views of a client have in common."""

    key: KeySource
    base_url: URL
    sessions: Sessions
    limiter: Limiter
    hosts: Hosts
    max_image_bytes: int
    max_upload_bytes: int

    @classmethod
    def of(
        cls,
        *,
        key: KeySource,
        base_url: str,
        limiter: Limiter | int,
        image_hosts: Sequence[str] | None,
        session_factory: SessionFactory | None,
        proxy: str | None,
        trust_env: bool,
        reuse_connections: bool,
        max_image_bytes: int,
        max_upload_bytes: int,
    ) -> ClientConfig:
        """Make it of a client's settings.

        Raises:
            ValueError: If one of them makes no sense.
        """
        url = api_url(base_url)
        loopback = is_loopback(url)
        options = SessionOptions(
            factory=session_factory,
            proxy=proxy,
            trust_env=trust_env,
            reuse_connections=reuse_connections,
            loopback=loopback,
        )
        return cls(
            key=key,
            base_url=url,
            sessions=Sessions(options),
            limiter=ImageLimiter(limiter) if isinstance(limiter, int) else limiter,
            hosts=Hosts(tuple(image_hosts) if image_hosts is not None else None, loopback=loopback),
            max_image_bytes=max_image_bytes,
            max_upload_bytes=max_upload_bytes,
        )

    async def find_key(self) -> HeaderSecret:
        """Return the key, asked for anew if it comes from a function.

        Raises:
            AuthenticationError: If there is none.
        """
        if isinstance(self.key, Secret):
            secret = self.key
        else:
            given = self.key()
            try:
                # No key is no reason to fail here: like an empty one, it is missing.
                secret = Secret((await given if inspect.isawaitable(given) else given) or "")
            finally:
                # A traceback shows the locals of this frame.
                del given

        if not secret:
            raise AuthenticationError("no API key: set IDEOGRAM_API_KEY or pass api_key; nothing was sent", status=401)

        return secret.reveal()


@frozen(kw_only=True)
class RequestOptions:
    """What each view of a client chooses for itself."""

    timeout: Timeout = field(converter=_timeout)
    retry: Retry = field(converter=_retry)
    extra_headers: dict[str, str] = field(converter=_headers, repr=False)
    validate: bool
    on_event: Listener | None

    def changed(self, options: Mapping[str, Any]) -> RequestOptions:
        """Return a copy with other options."""
        return evolve(self, **options)


class Transport:
    """The layers of one view."""

    def __init__(self, shared: ClientConfig, view: RequestOptions) -> None:
        sessions = shared.sessions
        self.shared = shared
        self.view = view
        self.emit = Emitter(view.on_event, sessions.listeners)
        self._http = Http(
            session=lambda: sessions.here().api,
            base_url=shared.base_url,
            key=shared.find_key,
            timeout=view.timeout,
            extra_headers=view.extra_headers,
            emit=self.emit,
        )
        self.send = self.layered(self._http, view.retry)
        self.downloads = self.downloads_over(lambda: sessions.here().images, lambda: sessions.here().collecting)

    def downloads_over(
        self, session: Callable[[], aiohttp.ClientSession], places: Callable[[], asyncio.Semaphore]
    ) -> Downloads:
        """Collect images over a session, so many at once as there are places."""
        # Not the stack itself: what it keeps must not lead back to it.
        sessions = self.shared.sessions
        return Downloads(
            session,
            hosts=self.shared.hosts,
            max_image_bytes=self.shared.max_image_bytes,
            retry=self.view.retry,
            emit=self.emit,
            tasks=lambda: sessions.here().tasks,
            places=places,
        )

    def layered(self, last: Send, retry: Retry) -> Send:
        """Put the layers around the last one: the whole policy in one line."""
        return retrying(limited(last, self.shared.limiter, self.emit), retry, self.emit)

    def layered_with(self, wrap: Callable[[Send], Send], retry: Retry) -> Send:
        """Put the layers around the last one and another, which is inside the limiter: a journal, say."""
        return reporting(self.layered(wrap(self._http), retry), self.emit)


def api_url(given: str) -> URL:
    """Check the base URL: https, or http to this machine; a path is welcome, a query is not.

    Raises:
        ValueError: If the key would not be safe there.
    """
    url = URL(given)
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url))
    if not is_safe or not url.host or url.user or url.query_string or url.fragment:
        raise ValueError("base_url must be https, or http to this machine, without user, query and fragment")

    return url


def is_loopback(url: URL) -> bool:
    """Say whether a URL leads to this machine."""
    # Read as an address: a name may begin with "127." too, and lead anywhere.
    host = url.host or ""
    return host == "localhost" or hosts.is_loopback(host)


T = TypeVar("T")

MAX_CALLS_PER_SLOT = 10

"""RunningCall calls for each place of the limiter: more would wait for minutes, and nobody for them."""


class Pipeline:
    """One view's way to the service."""

    def __init__(self, stack: Transport) -> None:
        self.stack = stack
        self._sessions = stack.shared.sessions
        self.downloads = stack.downloads

    async def send(self, request: Request[T]) -> T:
        """Send any request, and return its answer."""
        async with self._encoded(request) as call:
            return await self._run(call, _reading(call, request))

    async def detach(self, request: Request[T], on_done: OnDone[T] | None) -> RunningCall[T]:
        """Send any request in a task of the loop's own, once it is checked and its files are copied."""
        if on_done is not None and not callable(on_done):
            raise TypeError(f"on_done must be a function, not {type(on_done).__name__}")

        async with AsyncExitStack() as files:
            call = await files.enter_async_context(self._encoded(request))
            local = await self._sessions.open()
            self._admit(call, len(local.detached))
            detached = RunningCall(request)
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

    def stream(self, image_or_url: str | HasUrl) -> Opening:
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
        most = MAX_CALLS_PER_SLOT * int(self.stack.shared.limiter.statistics().limit)
        if others >= most:
            words = f"{call.operation}: {others} detached calls are on their way or in line; nothing was sent"
            raise NotSentError(words, phase=Phase.QUEUED)

    async def _finish(self, call: Call, read: Callable[[Reply], T], local: LoopState, files: AsyncExitStack) -> T:
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

    async def _run(self, call: Call, read: Callable[[Reply], T], local: LoopState | None = None) -> T:
        try:
            return read(await self._unless_closed(lambda: self.stack.send(call), lambda: _closed(call), local))
        except BaseException as error:
            emit_failure(self.stack.emit, call, error)
            raise

    async def _unless_closed(
        self, work: Callable[[], Awaitable[T]], closed: Callable[[], IdeogramError], local: LoopState | None = None
    ) -> T:
        """Run it in the caller's task, where `Sessions.close` can end it. It ends with its `LoopState`."""
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
    phase = call.state.phase
    words = f"{call.operation}: the client was closed"
    if call.state.may_have_run:
        return (AmbiguousError if call.charged else TransportError)(words, phase=phase)

    return NotSentError(words, phase=phase if phase is not Phase.SENT else Phase.QUEUED)
