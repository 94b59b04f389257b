"""A loopback port that serves, and can really refuse connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from ideogram_async.sandbox.contract import boundary_of, match, parse_json, parse_parts
from ideogram_async.sandbox.faults import Fault, spoiled
from ideogram_async.sandbox.records import Answer, Arrival

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

__all__ = ["Port", "Wire", "deliver", "receive"]

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


class Wire:
    """The connection of a request."""

    def __init__(self, request: BaseRequest) -> None:
        self._transport: Any = request.transport

    @property
    def is_closed(self) -> bool:
        """Say whether the client has gone, or we have."""
        return self._transport is None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self.is_closed:
            self._transport.write(data)

    def write_head(self, answer: Answer, *, length: int | None) -> None:
        """Send the head of an answer, with any length or none; the connection ends after the body."""
        announced = {} if length is None else {"Content-Length": str(length)}
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            *(f"{name}: {value}" for name, value in {**answer.headers, **announced, "Connection": "close"}.items()),
        ]
        self.write("\r\n".join([*lines, "", ""]).encode())

    def close(self) -> None:
        """End the connection in good order: what was written arrives, then the end."""
        if not self.is_closed:
            self._transport.close()

    async def reset(self) -> None:
        """End the connection at once, so that the client sees a reset."""
        if self.is_closed:
            return

        # With a linger time of zero the system sends RST instead of FIN.
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        # The socket is closed in the next turn of the loop.
        await asyncio.sleep(0)


_ENDLESS_CHUNK = bytes(64 * 1024)

Broken = Callable[[Wire, Answer, Fault], Awaitable[None]]


async def deliver(
    request: BaseRequest, answer: Answer, fault: Fault | None, released: Callable[[], Awaitable[None]]
) -> StreamResponse:
    """Send an answer, or what a fault makes of it.

    Args:
        request: The request to answer.
        answer: What would be sent if nothing went wrong.
        fault: What goes wrong, if anything does.
        released: Waits for the box to release what hangs.
    """
    from aiohttp.web import Response

    if fault is not None:
        answer = spoiled(answer, fault)

        if fault.kind == "hang":
            await released()
        elif fault.kind == "endless":
            return await _endless(request, answer)
        elif fault.kind in _BROKEN:
            # The connection is over after this, and aiohttp notices that when it gets to the response.
            await _BROKEN[fault.kind](Wire(request), answer, fault)

    return Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _endless(request: BaseRequest, answer: Answer) -> StreamResponse:
    from aiohttp.web import StreamResponse

    response = StreamResponse(status=answer.status, headers=answer.headers)

    try:
        await response.prepare(request)
        await response.write(answer.body)
        while True:
            await response.write(_ENDLESS_CHUNK)
            # Writing to a fast reader never pauses, and others want their turn.
            await asyncio.sleep(0)
    except ConnectionError:
        return response


async def _reset_before_headers(wire: Wire, _answer: Answer, _fault: Fault) -> None:
    await wire.reset()


async def _reset_after_headers(wire: Wire, answer: Answer, _fault: Fault) -> None:
    wire.write_head(answer, length=len(answer.body))
    await wire.reset()


async def _close_after_body(wire: Wire, _answer: Answer, _fault: Fault) -> None:
    wire.close()


async def _cut_with_length(wire: Wire, answer: Answer, _fault: Fault) -> None:
    wire.write_head(answer, length=len(answer.body))
    wire.write(answer.body[: len(answer.body) // 2])
    wire.close()


async def _cut_without_length(wire: Wire, answer: Answer, _fault: Fault) -> None:
    wire.write_head(answer, length=None)
    wire.write(answer.body[: len(answer.body) // 2])
    wire.close()


async def _drip(wire: Wire, answer: Answer, fault: Fault) -> None:
    wire.write_head(answer, length=len(answer.body))

    for byte in answer.body:
        if wire.is_closed:
            break

        wire.write(bytes((byte,)))
        await asyncio.sleep(fault.interval)

    wire.close()


_BROKEN: dict[str, Broken] = {
    "reset_before_headers": _reset_before_headers,
    "reset_after_headers": _reset_after_headers,
    "close_after_body": _close_after_body,
    "cut_with_length": _cut_with_length,
    "cut": _cut_with_length,
    "cut_without_length": _cut_without_length,
    "drip": _drip,
}


async def receive(request: BaseRequest) -> Arrival | None:
    """Read a request to its end, or give `None` when its client leaves before that."""
    from aiohttp.web import RequestPayloadError

    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    try:
        body = await request.content.read()
    except (ConnectionError, RequestPayloadError):
        return None

    found = match(request.method, request.path)
    return Arrival(
        operation=found[0].operation if found else f"{request.method} {request.path}",
        method=request.method,
        path=request.path,
        headers=request.headers,
        query=list(request.query.items()),
        **_content(request.headers.get("Content-Type", ""), body),
    )


def _content(content_type: str, body: bytes) -> dict[str, Any]:
    if not content_type.lower().startswith("multipart/"):
        return {"json": parse_json(body) if body else None}

    try:
        return {"parts": parse_parts(body, boundary_of(content_type) or "")}
    except ValueError:
        # The contract will find every required field missing.
        return {}
