"""What belongs to one event loop: two HTTP sessions, background tasks, and the calls on their way."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies
from weakref import WeakSet

import aiohttp
from attrs import define, field, frozen

from ideogram_async._download.resolver import PublicResolver
from ideogram_async._download.stream import ImageStream
from ideogram_async._transport.http import tracing
from ideogram_async._transport.tasks import Tasks
from ideogram_async.errors import NotSentError, Phase

Purpose: TypeAlias = Literal["api", "images"]

SessionFactory: TypeAlias = Callable[..., aiohttp.ClientSession]

USER_AGENT = "ideogram_async"

IMAGE_CONNECTIONS = 16

PATIENCE = 5.0

"""Seconds that a listener, or whoever takes the result of a detached call, has to end when the client is closed."""


@frozen(kw_only=True)
class SessionOptions:
    """How sessions are made."""

    factory: SessionFactory | None
    proxy: str | None = field(repr=False)
    trust_env: bool
    reuse_connections: bool
    loopback: bool


@define(eq=False)
class LoopState:
    """The parts of one event loop."""

    api: aiohttp.ClientSession
    images: aiohttp.ClientSession
    tasks: Tasks = field(factory=Tasks)
    """Work that has to be finished."""
    detached: Tasks = field(factory=Tasks)
    """Calls that nobody has to wait for."""
    listeners: Tasks = field(factory=Tasks)
    """Listeners that are still at it."""
    collecting: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(IMAGE_CONNECTIONS))
    """Places of the images that are being collected: more would only wait for a connection, with open files."""
    streams: WeakSet[ImageStream] = field(factory=WeakSet)
    """Images that are open."""
    pools: set[aiohttp.ClientSession] = field(factory=set)
    """Sessions of batches, which download as many images at once as each was told."""
    is_closing: bool = field(default=False, init=False)
    _scopes: set[asyncio.Timeout] = field(factory=set, init=False)
    _ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def call(self, scope: asyncio.Timeout) -> AsyncGenerator[None]:
        """Let `close` end what happens inside: it then raises `TimeoutError`, and the scope has expired."""
        async with scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
                self._ended.set()

    async def close(self) -> None:
        """End the calls, finish the tasks, close the sessions. Nothing is left to do for a second caller."""
        if self.is_closing:
            return

        self.is_closing = True
        try:
            for scope in self._scopes:
                scope.reschedule(asyncio.get_running_loop().time())

            while self._scopes:
                self._ended.clear()
                await self._ended.wait()

            for stream in list(self.streams):
                stream.close()

            await self.tasks.join()
            await self.detached.end(PATIENCE)
            await self.listeners.end(PATIENCE)
        finally:
            # Also when whoever closes is cancelled.
            try:
                await self.api.close()
            finally:
                for session in (self.images, *self.pools):
                    await session.close()

    async def drop(self, pool: aiohttp.ClientSession) -> None:
        """Close a session for images that nobody needs any more."""
        self.pools.discard(pool)
        await pool.close()

    def abandon(self) -> None:
        """Let go of the sessions of a loop that has ended and can run nothing any more, without a complaint."""
        for session in (self.api, self.images, *self.pools):
            session.detach()


class Sessions:
    """Keeps one `LoopState` for each event loop, opened at its first call."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._locals: dict[asyncio.AbstractEventLoop, LoopState] = {}
        # Apart from what they keep: a client that is dropped must not be a circle, whose parts would go in any order.
        self._keepers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
        self._strays = Tasks()

    def here(self) -> LoopState:
        """Return the running loop's parts, which `open` has made.

        Raises:
            NotSentError: If they were closed meanwhile.
        """
        local = self._locals.get(asyncio.get_running_loop())
        if local is None or local.is_closing:
            raise NotSentError("the client was closed", phase=Phase.QUEUED, retryable=False)

        return local

    def listeners(self) -> Tasks:
        """Return where the running loop's listeners run, also while it closes; without sessions, nobody waits there."""
        local = self._locals.get(asyncio.get_running_loop())
        return self._strays if local is None else local.listeners

    async def open(self) -> LoopState:
        """Return the running loop's parts, made if there are none yet."""
        loop = asyncio.get_running_loop()
        local = self._locals.get(loop)
        if local is None or local.is_closing:
            self._forget_dead()
            local = self._locals[loop] = self._make()
            # A generator that is suspended when its loop ends is closed by the loop, and closes the sessions.
            keeper = self._keepers[loop] = _keep(self._locals, loop, local)
            await anext(keeper)

        return local

    def pool(self, local: LoopState, connections: int) -> aiohttp.ClientSession:
        """Make another session for images, with so many connections. `LoopState.drop` closes it."""
        session = self._session("images", connections)
        local.pools.add(session)
        return session

    async def close(self, grace: float) -> None:
        """Close the running loop's parts, detached calls after so many seconds. A later call opens new ones."""
        loop = asyncio.get_running_loop()
        local = self._locals.get(loop)
        if local is None or local.is_closing:
            return

        try:
            await local.detached.wait(grace)
        finally:
            # Also when whoever closes is cancelled.
            await self._close(loop, local)

    async def _close(self, loop: asyncio.AbstractEventLoop, local: LoopState) -> None:
        if local.is_closing:
            return

        keeper = self._keepers.pop(loop)
        try:
            await local.close()
        finally:
            await keeper.aclose()

    def _forget_dead(self) -> None:
        # Copies, and pops that may find nothing: loops in other threads come and go.
        for loop in [loop for loop in list(self._keepers) if loop.is_closed()]:
            self._keepers.pop(loop, None)
            if (local := self._locals.pop(loop, None)) is not None:
                local.abandon()

    def _make(self) -> LoopState:
        api = self._session("api", 0)
        try:
            # Added here, not passed on: a factory that loses it would make every sent call look unsent.
            if tracing() not in api.trace_configs:
                api.trace_configs.append(tracing())

            return LoopState(api, self._session("images", IMAGE_CONNECTIONS))
        except BaseException:
            api.detach()
            raise

    def _session(self, purpose: Purpose, connections: int) -> aiohttp.ClientSession:
        make = self._options.factory or _plain_session
        session = make(purpose, **self._settings(purpose, connections))
        if not isinstance(session, aiohttp.ClientSession):
            if inspect.iscoroutine(session):
                session.close()

            raise TypeError(f"session_factory must return an aiohttp.ClientSession, not {type(session).__name__}")

        return session

    def _settings(self, purpose: Purpose, connections: int) -> dict[str, Any]:
        options = self._options
        return {
            "connector": _api_connector(options) if purpose == "api" else _image_connector(options, connections),
            "cookie_jar": aiohttp.DummyCookieJar(),
            "headers": {"User-Agent": USER_AGENT},
            "trust_env": options.trust_env,
            "proxy": options.proxy,
        }


async def _keep(
    places: dict[asyncio.AbstractEventLoop, LoopState], loop: asyncio.AbstractEventLoop, local: LoopState
) -> AsyncGenerator[None, None]:
    """Wait for the end, of the loop or of the client, and close then."""
    try:
        yield
    finally:
        await local.close()
        if places.get(loop) is local:
            del places[loop]


def _plain_session(_: Purpose, **settings: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(**settings)


def _api_connector(options: SessionOptions) -> aiohttp.TCPConnector:
    # The limiter bounds the calls. A kept connection may be dead when it is used, which leaves the outcome in doubt.
    if options.reuse_connections:
        return aiohttp.TCPConnector(limit=0, socket_factory=_live_socket)

    return aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_live_socket)


def _image_connector(options: SessionOptions, connections: int) -> aiohttp.TCPConnector:
    resolver = PublicResolver(loopback=options.loopback, exempt=_proxy_hosts(options))
    return aiohttp.TCPConnector(limit=connections, resolver=resolver)


def _proxy_hosts(options: SessionOptions) -> frozenset[str]:
    # A proxy looks the image host up itself, and may well have a private address.
    proxies = [options.proxy, *(getproxies().values() if options.trust_env else ())]
    return frozenset(host for proxy in proxies if proxy and (host := urlsplit(proxy).hostname))


def _live_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket that stays alive while the service works: some routers cut a silent one after a minute."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

    return made
