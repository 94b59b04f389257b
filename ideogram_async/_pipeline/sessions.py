"""HTTP sessions and tasks of each event loop.

A client works in one event loop after another. `Sessions` keeps a `LoopState` for each loop, with a suspended async
generator: when a loop ends, `shutdown_asyncgens` closes the generator, which drains the loop's batches and closes its
sessions.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies
from weakref import WeakSet

import aiohttp
from attrs import define, field, frozen

from ideogram_async._download.resolver import PublicResolver
from ideogram_async._download.stream import ImageStream
from ideogram_async._pipeline.held_slots import HeldSlots
from ideogram_async._transport.drain import Work, drain
from ideogram_async._transport.http import sent_trace
from ideogram_async._transport.tasks import Tasks, unlisted_context
from ideogram_async.errors import NotSentError, Phase

if TYPE_CHECKING:
    from ideogram_async._ledger.once import KeyedCalls

Purpose: TypeAlias = Literal["api", "images"]
SessionFactory: TypeAlias = Callable[..., aiohttp.ClientSession]
USER_AGENT = "ideogram_async"
IMAGE_CONNECTIONS = 16
SHUTDOWN_TIMEOUT = 5.0
"""Seconds for a listener, an `on_done` or a batch that was given up to end when the client is closed."""


@frozen(kw_only=True)
class SessionOptions:
    """The settings of HTTP sessions."""

    factory: SessionFactory | None
    proxy: str | None = field(repr=False)
    trust_env: bool
    reuse_connections: bool
    loopback: bool


class Sessions:
    """The `LoopState` of each event loop, opened at its first call."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._states: dict[asyncio.AbstractEventLoop, LoopState] = {}
        # Not in the state itself: a dropped client would be a cycle, which is collected in any order.
        self._finalizers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
        self._orphan_tasks = Tasks(listed=True)

    def current(self) -> LoopState:
        """Return the state of the running loop, which `ensure_open` has opened.

        Raises:
            NotSentError: If it has been closed.
        """
        state = self._states.get(asyncio.get_running_loop())
        if state is None or state.is_closing:
            raise NotSentError("the client was closed", phase=Phase.QUEUED, retryable=False)

        return state

    def listeners(self) -> Tasks:
        """Return the tasks of the running loop's listeners, also while it closes.

        Without sessions, no close waits for them.
        """
        state = self._states.get(asyncio.get_running_loop())
        return self._orphan_tasks if state is None else state.listeners

    async def ensure_open(self) -> LoopState:
        """Return the state of the running loop, opened if necessary."""
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        if state is None or state.is_closing:
            self._detach_closed_loops()
            state = self._states[loop] = self._open()
            finalizer = self._finalizers[loop] = _finalize(self._states, loop, state)
            await anext(finalizer)

        return state

    def new_image_session(self, state: LoopState, connections: int) -> aiohttp.ClientSession:
        """Open another image session with its own number of connections. `LoopState.close_session` closes it."""
        session = self._session("images", connections)
        state.image_sessions.add(session)
        return session

    async def close(self, grace: float) -> None:
        """Drain the running loop's batches and started calls for `grace` seconds, then close its sessions."""
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        if state is not None and not state.is_closing:
            stop, end = partial(state.stop_batches, "the client was closed"), partial(self._close, loop, state)
            await drain(stop, state.running, end, grace=grace, limit=grace, error=sys.exception())

    async def _close(self, loop: asyncio.AbstractEventLoop, state: LoopState) -> None:
        if state.is_closing:
            return

        finalizer = self._finalizers.pop(loop)
        try:
            await state.close()
        finally:
            await finalizer.aclose()

    def _detach_closed_loops(self) -> None:
        # Copies, and pops with a default: loops in other threads come and go.
        for loop in [loop for loop in list(self._finalizers) if loop.is_closed()]:
            self._finalizers.pop(loop, None)
            if (state := self._states.pop(loop, None)) is not None:
                state.detach()

    def _open(self) -> LoopState:
        api = self._session("api", 0)
        try:
            # Added here, not passed on: a factory that dropped it would make every sent call look unsent.
            if sent_trace() not in api.trace_configs:
                api.trace_configs.append(sent_trace())

            return LoopState(api, self._session("images", IMAGE_CONNECTIONS))
        except BaseException:
            api.detach()
            raise

    def _session(self, purpose: Purpose, connections: int) -> aiohttp.ClientSession:
        factory = self._options.factory or _plain_session
        session = factory(purpose, **self._settings(purpose, connections))
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


@define(eq=False)
class LoopState:
    """The sessions and tasks of one event loop."""

    api: aiohttp.ClientSession
    images: aiohttp.ClientSession
    tasks: Tasks = field(factory=Tasks)
    """Work that must finish."""
    started_calls: Tasks = field(factory=Tasks)
    """Calls of `Ideogram.start`."""
    held_slots: HeldSlots = field(factory=HeldSlots)
    """Slots of submitted generations that no caller waits for."""
    keyed_calls: KeyedCalls | None = None
    """Calls of `Ideogram.once`."""
    batches: set[Work] = field(factory=set)
    """Batches whose folder is open."""
    listeners: Tasks = field(factory=lambda: Tasks(listed=True))
    """Listeners that are running."""
    download_slots: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(IMAGE_CONNECTIONS))
    """Slots of downloads: more would hold open files while they wait for a connection."""
    streams: WeakSet[ImageStream] = field(factory=WeakSet)
    """Open images."""
    image_sessions: set[aiohttp.ClientSession] = field(factory=set)
    """Sessions of batches, each with its own number of connections."""
    is_closing: bool = field(default=False, init=False)
    _stop_reason: str | None = field(default=None, init=False)
    _scopes: set[asyncio.Timeout] = field(factory=set, init=False)
    _scope_ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    @unlisted_context
    async def ended_by_close(self, scope: asyncio.Timeout) -> AsyncGenerator[None]:
        """Let `close` end the block: it then raises `TimeoutError`, and the scope has expired."""
        async with scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
                self._scope_ended.set()

    def add_batch(self, work: Work) -> None:
        """Own a batch until it ends."""
        self.batches.add(work)
        work.task.add_done_callback(lambda _: self.batches.discard(work))
        if self._stop_reason is not None:
            work.stop(self._stop_reason)

    def stop_batches(self, reason: str) -> None:
        """Stop the batches, and those that begin later."""
        self._stop_reason = reason
        for work in [*self.batches]:
            work.stop(reason)

    def running(self) -> set[asyncio.Task[object]]:
        """Return the tasks of batches, started and keyed calls, except the current one."""
        keyed = self.keyed_calls.tasks.others() if self.keyed_calls else set()
        return self.started_calls.others() | keyed | self.running_batches()

    def running_batches(self) -> set[asyncio.Task[object]]:
        """Return the tasks of batches."""
        return {work.task for work in self.batches}

    async def close(self) -> None:
        """End the batches and calls, finish the tasks, close the sessions. A second call returns at once."""
        if self.is_closing:
            return

        self.is_closing = True
        try:
            for work in self.batches:
                work.give_up()

            if self.keyed_calls is not None:
                self.keyed_calls.give_up()

            self.held_slots.release_all()
            await self._end_scopes()
            for stream in list(self.streams):
                stream.close()

            if batches := self.running_batches():
                await asyncio.wait(batches, timeout=SHUTDOWN_TIMEOUT)

            await self.tasks.join()
            await self.started_calls.end(SHUTDOWN_TIMEOUT)
            if self.keyed_calls is not None:
                await self.keyed_calls.aclose()

            await self.listeners.end(SHUTDOWN_TIMEOUT)
        finally:
            # Also when the caller is cancelled.
            try:
                await self.api.close()
            finally:
                for session in (self.images, *self.image_sessions):
                    await session.close()

    async def _end_scopes(self) -> None:
        for scope in self._scopes:
            scope.reschedule(asyncio.get_running_loop().time())

        while self._scopes:
            self._scope_ended.clear()
            await self._scope_ended.wait()

    async def close_session(self, session: aiohttp.ClientSession) -> None:
        """Close a session that `Sessions.new_image_session` has opened."""
        self.image_sessions.discard(session)
        await session.close()

    def detach(self) -> None:
        """Detach the sessions of a closed loop without warnings."""
        for session in (self.api, self.images, *self.image_sessions):
            session.detach()


async def _finalize(
    states: dict[asyncio.AbstractEventLoop, LoopState], loop: asyncio.AbstractEventLoop, state: LoopState
) -> AsyncGenerator[None, None]:
    """Wait for the end of the loop or of the client, then drain the batches and close the state."""
    try:
        yield
    finally:
        stop = partial(state.stop_batches, "the event loop has ended")
        grace = max((work.grace for work in state.batches), default=0)
        await drain(stop, state.running_batches, state.close, grace=grace, limit=grace, error=None)
        if states.get(loop) is state:
            del states[loop]


def _plain_session(_: Purpose, **settings: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(**settings)


def _api_connector(options: SessionOptions) -> aiohttp.TCPConnector:
    # The limiter bounds the calls. A reused connection may be dead, which leaves the outcome unknown.
    if options.reuse_connections:
        return aiohttp.TCPConnector(limit=0, socket_factory=_live_socket)

    return aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_live_socket)


def _image_connector(options: SessionOptions, connections: int) -> aiohttp.TCPConnector:
    resolver = PublicResolver(loopback=options.loopback, exempt=_proxy_hosts(options))
    return aiohttp.TCPConnector(limit=connections, resolver=resolver)


def _proxy_hosts(options: SessionOptions) -> frozenset[str]:
    # A proxy resolves the image host itself, and may have a private address.
    proxies = [options.proxy, *(getproxies().values() if options.trust_env else ())]
    return frozenset(host for proxy in proxies if proxy and (host := urlsplit(proxy).hostname))


def _live_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket with keep-alive probes: some routers drop an idle connection after a minute."""
    connection = socket.socket(*address[:3])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

    return connection
