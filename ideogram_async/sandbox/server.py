"""Loopback server that can refuse connections, reading of requests, and delivery of intact and faulty replies."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias, cast

from attrs import evolve

from ideogram_async.sandbox.contract import match
from ideogram_async.sandbox.faults import Fault, corrupted
from ideogram_async.sandbox.parsing import parse_json, parse_parts
from ideogram_async.sandbox.records import RecordedRequest, Reply

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

HOST = "127.0.0.1"
BACKLOG = 512
SHUTDOWN_TIMEOUT = 1.0  # seconds
ENDLESS_CHUNK = bytes(64 * 1024)
LOG = logging.getLogger("aiohttp.server.ideogram_sandbox")
Handler: TypeAlias = "Callable[[BaseRequest], Awaitable[StreamResponse]]"


def _is_server_error(record: logging.LogRecord) -> bool:
    """Return whether a record is about more than a malformed request, which is answered with 400."""
    from aiohttp.http_exceptions import HttpProcessingError
    from aiohttp.web import RequestPayloadError

    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | RequestPayloadError))


LOG.addFilter(_is_server_error)


class Listener:
    """A server on one port of the loopback interface.

    While it refuses connections, the port stays bound without listening, so that no other program can take it.
    Listening and refusing take effect at once. `asyncio.Server` cannot do that, so connections are accepted here.
    """

    def __init__(self, handler: Handler, port: int = 0) -> None:
        from aiohttp.web import Server

        self._handler = handler
        self._port = port
        self._is_listening = False
        self._accepting: set[asyncio.Task[object]] = set()
        self._answering: dict[asyncio.Task[object], RequestHandler | None] = {}
        self._loop = asyncio.get_running_loop()
        self._socket = self._bind()
        self._server: Server = Server(self._handle, access_log=None, logger=LOG, auto_decompress=False)
        self.listen()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def listen(self) -> None:
        """Accept connections. Does nothing if the port is already listening."""
        if self._is_listening:
            return

        self._is_listening = True
        self._socket.listen(BACKLOG)
        self._loop.add_reader(self._socket, self._accept)

    def refuse(self) -> None:
        """Stop listening, so that the system refuses connections, and close idle ones."""
        if not self._is_listening:
            return

        self._stop()
        self._socket = self._bind()
        answering = set(self._answering.values())
        for connection in self._server.connections:
            if connection not in answering:
                connection.force_close()

    async def aclose(self) -> None:
        """Stop listening and end every connection, including those that wait."""
        self._stop()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        answering = list(self._answering)
        for task in answering:
            task.cancel()

        await asyncio.gather(*answering, return_exceptions=True)
        self._abort_writing()
        self._server.pre_shutdown()
        await self._server.shutdown(SHUTDOWN_TIMEOUT)
        # Transports close their sockets within the next two iterations of the loop.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        try:
            bound.bind((HOST, self._port))
        except OSError:
            bound.close()
            raise

        self._port = bound.getsockname()[1]
        return bound

    def _stop(self) -> None:
        if self._is_listening:
            self._loop.remove_reader(self._socket)

        self._is_listening = False
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                # No connection is waiting, or the one that was has been closed.
                return

            connection.setblocking(False)
            task: asyncio.Task[object] = self._loop.create_task(
                self._loop.connect_accepted_socket(self._server, connection)
            )
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._answering[task] = request.protocol
        try:
            return await self._handler(request)
        finally:
            del self._answering[task]

    def _abort_writing(self) -> None:
        """Abort connections whose client does not read, since a transport closes only after writing everything."""
        for connection in self._server.connections:
            transport = connection.transport
            if isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size():
                transport.abort()


async def read_body(request: BaseRequest) -> bytes | None:
    """Read the body of a request completely; return `None` if it is malformed or the client disconnects before."""
    from aiohttp.web import RequestPayloadError

    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    try:
        return await request.content.read()
    except (ConnectionError, RequestPayloadError):
        return None


async def receive(request: BaseRequest) -> RecordedRequest | None:
    """Read a request completely; return `None` if its body is malformed or the client disconnects before."""
    body = await read_body(request)
    if body is None:
        return None

    matched = match(request.method, request.path)
    received = RecordedRequest(
        operation=matched[0].operation if matched else f"{request.method} {request.path}",
        method=request.method,
        path=request.path,
        headers=request.headers,
        query=list(request.query.items()),
    )
    if received.media_type.startswith("multipart/"):
        return evolve(received, parts=parse_parts(body, request.headers["Content-Type"]))

    return evolve(received, json=parse_json(body) if body else None)


async def deliver(
    request: BaseRequest, reply: Reply, fault: Fault | None, released: Callable[[], Awaitable[None]]
) -> StreamResponse:
    """Send a reply, modified by the fault.

    Args:
        request: The request to answer.
        reply: The reply without the fault.
        fault: The fault, if any.
        released: Waits until the sandbox releases hanging replies.
    """
    from aiohttp.web import Response

    if fault is not None:
        reply = corrupted(reply, fault)
        if fault.kind == "hang":
            await released()
        elif fault.kind == "endless":
            return await _send_endless(request, reply)
        elif request.transport is not None:
            # Some faults end the connection here; aiohttp notices that when it sends the response.
            await RawConnection(request.transport).break_off(reply, fault)

    return Response(status=reply.status, body=reply.body, headers=reply.headers)


async def _send_endless(request: BaseRequest, reply: Reply) -> StreamResponse:
    from aiohttp.web import StreamResponse

    response = StreamResponse(status=reply.status, headers=reply.headers)
    try:
        await response.prepare(request)
        await response.write(reply.body)
        while True:
            await response.write(ENDLESS_CHUNK)
            # Writing to a fast reader never suspends, so let other tasks run.
            await asyncio.sleep(0)
    except ConnectionError:
        return response


class RawConnection:
    """The connection of a request, for replies that aiohttp would not send."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    async def break_off(self, reply: Reply, fault: Fault) -> None:
        """Send the part of a reply that the fault allows, and end the connection; other faults do nothing."""
        match fault.kind:
            case "reset_before_headers":
                await self._reset()
            case "reset_after_headers":
                self._write_head(reply, length=len(reply.body))
                await self._reset()
            case "close_after_body":
                self._transport.close()
            case "cut_with_length" | "cut":
                self._write_half(reply, length=len(reply.body))
            case "cut_without_length":
                self._write_half(reply, length=None)
            case "drip":
                await self._drip(reply, fault.interval)
            case _:
                pass

    def _write_head(self, reply: Reply, *, length: int | None) -> None:
        announced = {} if length is None else {"Content-Length": str(length)}
        headers = {**reply.headers, **announced, "Connection": "close"}
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._transport.write("\r\n".join([*lines, "", ""]).encode())

    def _write_half(self, reply: Reply, *, length: int | None) -> None:
        self._write_head(reply, length=length)
        self._transport.write(reply.body[: len(reply.body) // 2])
        self._transport.close()

    async def _drip(self, reply: Reply, interval: float) -> None:
        self._write_head(reply, length=len(reply.body))
        for byte in reply.body:
            if self._transport.is_closing():
                break

            self._transport.write(bytes((byte,)))
            await asyncio.sleep(interval)

        self._transport.close()

    async def _reset(self) -> None:
        """Close the connection at once, so that the client receives a reset."""
        if self._transport.is_closing():
            return

        # With a linger time of zero the system sends RST instead of FIN.
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        # The socket is closed in the next iteration of the loop.
        await asyncio.sleep(0)
