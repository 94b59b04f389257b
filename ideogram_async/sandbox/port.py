"""A loopback port that serves, and can really refuse connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

__all__ = ["Port"]

_HOST = "127.0.0.1"
_BACKLOG = 512
_SHUTDOWN_SECONDS = 1.0

Handler = Callable[["BaseRequest"], Awaitable["StreamResponse"]]


class Port:
    """Listens on one port of the loopback interface.

    While it refuses, the port stays bound without anybody listening, so that nobody else can take it. Opening and
    refusing take effect at once, which `asyncio.Server` does not offer, so connections are accepted here.
    """

    def __init__(self, handler: Handler, number: int = 0) -> None:
        self._handler = handler
        self._number = number
        self._is_accepting = False
        self._accepted: set[asyncio.Task[Any]] = set()
        self._answering: dict[asyncio.Task[Any], RequestHandler | None] = {}
        self._loop = asyncio.get_running_loop()
        self._socket = self._bound()
        self._server = self._new_server()
        self.accept()

    @property
    def url(self) -> str:
        """Give the origin."""
        return f"http://{_HOST}:{self._number}"

    def accept(self) -> None:
        """Listen, if the port does not do so already."""
        if self._is_accepting:
            return

        self._is_accepting = True
        self._socket.listen(_BACKLOG)
        self._loop.add_reader(self._socket, self._take_connections)

    def refuse(self) -> None:
        """Stop listening, so that the system refuses connections; idle ones are closed."""
        if not self._is_accepting:
            return

        self._stop()
        self._socket = self._bound()
        answering = set(self._answering.values())

        for connection in self._server.connections:
            if connection not in answering:
                connection.force_close()

    async def aclose(self) -> None:
        """Stop listening and end every connection, whatever it waits for."""
        self._stop()
        await asyncio.gather(*self._accepted, return_exceptions=True)
        answering = list(self._answering)

        for task in answering:
            task.cancel()

        await asyncio.gather(*answering, return_exceptions=True)
        self._abort_writing()
        self._server.pre_shutdown()
        await self._server.shutdown(_SHUTDOWN_SECONDS)
        # Transports close their sockets in the turn after they are told to.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _bound(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)

        try:
            bound.bind((_HOST, self._number))
        except OSError:
            bound.close()
            raise

        self._number = bound.getsockname()[1]
        return bound

    def _new_server(self) -> Server:
        from aiohttp.web import Server

        return Server(self._tracked, access_log=None)

    def _stop(self) -> None:
        if self._is_accepting:
            self._loop.remove_reader(self._socket)

        self._is_accepting = False
        self._socket.close()

    def _take_connections(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                # Nobody is waiting any more, or the one who was has left.
                return

            connection.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._server, connection))
            self._accepted.add(task)
            task.add_done_callback(self._accepted.discard)

    async def _tracked(self, request: BaseRequest) -> StreamResponse:
        """Answer a request, known to `aclose` and `refuse` as long as it takes."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._answering[task] = request.protocol

        try:
            return await self._handler(request)
        finally:
            del self._answering[task]

    def _abort_writing(self) -> None:
        """Give up what a client does not read, for a transport closes only when it has written everything."""
        for connection in self._server.connections:
            transport = connection.transport

            if isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size():
                transport.abort()
