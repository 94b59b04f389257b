"""What belongs to one event loop: two HTTP sessions, background tasks, and the calls on their way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
from attrs import define, field, frozen

from ideogram_async.errors import NotSentError, Phase
from ideogram_async.transport.http import tracing
from ideogram_async.transport.resolver import PublicResolver
from ideogram_async.transport.tasks import Tasks

__all__ = ["Local", "Purpose", "SessionFactory", "SessionOptions", "Sessions"]

Purpose: TypeAlias = Literal["api", "images"]
SessionFactory: TypeAlias = Callable[..., aiohttp.ClientSession]
USER_AGENT = "ideogram_async"
IMAGE_CONNECTIONS = 16


@frozen(kw_only=True)
class SessionOptions:
    """How sessions are made."""

    factory: SessionFactory | None
    proxy: str | None
    trust_env: bool
    reuse_connections: bool
    loopback: bool


@define(eq=False)
class Local:
    """The parts of one event loop."""

    api: aiohttp.ClientSession
    images: aiohttp.ClientSession
    tasks: Tasks = field(factory=Tasks)
    keeper: AsyncGenerator[None, None] | None = None
    _scopes: set[asyncio.Timeout] = field(factory=set, init=False)
    _ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[asyncio.Timeout]:
        """Let `close` end what happens inside: it then raises `TimeoutError`, and the scope has expired."""
        try:
            async with asyncio.timeout(None) as scope:
                self._scopes.add(scope)
                yield scope
        finally:
            self._scopes.discard(scope)
            self._ended.set()

    async def close(self) -> None:
        """End the calls, finish the tasks, close the sessions."""
        for scope in self._scopes:
            scope.reschedule(asyncio.get_running_loop().time())

        while self._scopes:
            self._ended.clear()
            await self._ended.wait()

        await self.tasks.join()
        await self.api.close()
        await self.images.close()

    def abandon(self) -> None:
        """Let go of the sessions of a loop that has ended and can run nothing any more, without a complaint."""
        self.api.detach()
        self.images.detach()


class Sessions:
    """Keeps one `Local` for each event loop, opened at its first call."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._locals: dict[asyncio.AbstractEventLoop, Local] = {}

    def here(self) -> Local:
        """Return the running loop's parts, which `open` has made.

        Raises:
            NotSentError: If they were closed meanwhile.
        """
        local = self._locals.get(asyncio.get_running_loop())
        if local is None:
            raise NotSentError("the client was closed", phase=Phase.QUEUED, retryable=False)

        return local

    async def open(self) -> Local:
        """Return the running loop's parts, made if there are none yet."""
        loop = asyncio.get_running_loop()
        local = self._locals.get(loop)
        if local is None:
            self._forget_dead()
            local = self._locals[loop] = self._make()
            # A generator that is suspended when its loop ends is closed by the loop, and closes the sessions.
            local.keeper = self._keep(loop, local)
            await anext(local.keeper)

        return local

    async def close(self) -> None:
        """Close the running loop's parts. A later call opens new ones."""
        local = self._locals.get(asyncio.get_running_loop())
        if local is not None and local.keeper is not None:
            await local.keeper.aclose()

    async def _keep(self, loop: asyncio.AbstractEventLoop, local: Local) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._locals.pop(loop, None)
            await local.close()

    def _forget_dead(self) -> None:
        for loop in [loop for loop in self._locals if loop.is_closed()]:
            self._locals.pop(loop).abandon()

    def _make(self) -> Local:
        api = self._session("api")
        try:
            return Local(api, self._session("images"))
        except BaseException:
            api.detach()
            raise

    def _session(self, purpose: Purpose) -> aiohttp.ClientSession:
        make = self._options.factory or _plain_session
        session = make(purpose, **self._settings(purpose))
        if not isinstance(session, aiohttp.ClientSession):
            raise TypeError(f"session_factory must return an aiohttp.ClientSession, not {type(session).__name__}")

        if purpose == "api":
            # Added here, not passed on: a factory that loses it would make every sent call look unsent.
            trace = tracing()
            trace.freeze()
            session.trace_configs.append(trace)

        return session

    def _settings(self, purpose: Purpose) -> dict[str, Any]:
        options = self._options
        return {
            "connector": _api_connector(options) if purpose == "api" else _image_connector(options),
            "cookie_jar": aiohttp.DummyCookieJar(),
            "headers": {"User-Agent": USER_AGENT},
            "trust_env": options.trust_env,
            "proxy": options.proxy,
        }


def _plain_session(_: Purpose, **settings: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(**settings)


def _api_connector(options: SessionOptions) -> aiohttp.TCPConnector:
    # The limiter bounds the calls. A kept connection may be dead when it is used, which leaves the outcome in doubt.
    if options.reuse_connections:
        return aiohttp.TCPConnector(limit=0, socket_factory=_live_socket)

    return aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_live_socket)


def _image_connector(options: SessionOptions) -> aiohttp.TCPConnector:
    resolver = PublicResolver(loopback=options.loopback, exempt=_proxy_hosts(options))
    return aiohttp.TCPConnector(limit=IMAGE_CONNECTIONS, resolver=resolver)


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
