"""A server on a bare socket that follows scripts: each connection plays the next one, and the last is repeated.

A script is a tuple of steps:

    async with RawServer((whole, reset), (whole, answer(raw_response(200, b"{}")))) as server:
        ...

        assert 2 == server.connections

At the end of its script a connection is closed cleanly.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias

from attrs import define, field, frozen

__all__ = [
    "GOOD",
    "OK",
    "Connection",
    "RawServer",
    "Request",
    "Script",
    "Step",
    "answer",
    "drip",
    "page",
    "raw_response",
    "read",
    "refused",
    "reset",
    "stall",
    "status",
    "whole",
]

Step: TypeAlias = "Callable[[Connection], Awaitable[None]]"
Script: TypeAlias = "tuple[Step, ...]"


@frozen
class Request:
    """A request that was received completely."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def method(self) -> str:
        return self.line.split()[0]


@define(eq=False)
class Connection:
    """A connection of the server."""

    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> Request:
        """Read a complete request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            return Request(line, headers, await self._chunks())

        return Request(line, headers, await self.reader.readexactly(int(headers.get("content-length", "0"))))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]

        await self.reader.readuntil(b"\r\n")
        return body


class RawServer:
    """A server on loopback that counts its connections and requests.

    Args:
        scripts: The steps of each connection.
        tls: The server's side of TLS.
        is_listening: Whether it listens at once; before `listen` connections are refused.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, is_listening: bool = True) -> None:
        self.connections = 0
        self.requests: list[Request] = []
        """The requests that were received completely."""
        self.released = asyncio.Event()
        """Ends every `stall`."""
        self.bytes = 0
        """Bytes that `read` steps have read."""
        self._scripts = scripts
        self._tls = tls
        self._is_listening = is_listening
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._starting: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()
        return f"{'https' if self._tls else 'http'}://{host}:{port}"

    @property
    def posts(self) -> int:
        """The number of complete POST requests."""
        return sum(request.method == "POST" for request in self.requests)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, sock=self._socket, ssl=self._tls, start_serving=self._is_listening
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.close()
        for task in self._tasks:
            task.cancel()

        if self._tasks:
            await asyncio.wait(self._tasks)

    def listen(self) -> None:
        """Begin to accept connections."""
        self._socket.listen(16)
        self._starting = asyncio.ensure_future(self._server.start_serving())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the counts holds."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(condition)

    async def wait_for_requests(self, count: int) -> None:
        """Wait for a number of complete requests."""
        await self.until(lambda: len(self.requests) >= count)

    async def notify(self) -> None:
        """Wake the tasks that wait for a change."""
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            await self.notify()
            connection = Connection(self, reader, writer)
            for step in script:
                await step(connection)

            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)


async def whole(connection: Connection) -> None:
    """Read a request to its end."""
    connection.server.requests.append(await connection.request())
    await connection.server.notify()


def read(count: int) -> Step:
    """Read a number of bytes, and no more."""

    async def step(connection: Connection) -> None:
        await connection.reader.readexactly(count)
        connection.server.bytes += count
        await connection.server.notify()

    return step


async def reset(connection: Connection) -> None:
    """End the connection by RST."""
    own: socket.socket = connection.writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()
    raise ConnectionResetError


async def stall(connection: Connection) -> None:
    """Do nothing until the server is released."""
    await connection.server.released.wait()


def answer(data: bytes) -> Step:
    """Send these bytes."""

    async def step(connection: Connection) -> None:
        connection.writer.write(data)
        await connection.writer.drain()

    return step


def drip(data: bytes, interval: float = 0.02) -> Step:
    """Send these bytes one by one, with a pause in seconds after each."""

    async def step(connection: Connection) -> None:
        for byte in data:
            connection.writer.write(bytes([byte]))
            await asyncio.sleep(interval)

    return step


def raw_response(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a response as bytes; it has a length unless the headers define its end."""
    lines = {"Content-Type": "application/json", "Connection": "close"} | dict(headers or {})
    if not {"Content-Length", "Transfer-Encoding"} & lines.keys():
        lines["Content-Length"] = str(len(body))

    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


def page(code: int) -> Script:
    """Read the request, and respond with a gateway's page."""
    html = b"<html><head><title>Bad</title></head><body><h1>Bad</h1></body></html>"
    return (whole, answer(raw_response(code, html, {"Content-Type": "text/html"})))


def refused(code: int, **headers: str) -> Script:
    """Read the request, and respond with this status."""
    return (
        whole,
        answer(raw_response(code, b'{"error": "no"}', {name.replace("_", "-"): v for name, v in headers.items()})),
    )


def status(code: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Script:
    """Read the request, and respond with this status, body and headers."""
    return (whole, answer(raw_response(code, body, headers)))


GOOD = json.dumps(
    {
        "created": "2026-01-02T03:04:05Z",
        "data": [
            {
                "url": "https://ideogram.ai/api/images/ephemeral/abc.png?exp=1&sig=x",
                "prompt": "a fox",
                "resolution": "1024x1024",
                "seed": 7,
                "is_image_safe": True,
                "style_type": "GENERAL",
            }
        ],
    }
).encode()
"""The answer of a generation with one image."""

OK: Script = (whole, answer(raw_response(200, GOOD)))
"""Read the request, and answer it."""
