"""A server on a bare socket that does what its scripts say: the i-th connection plays the i-th, later ones the last.

A script is a tuple of steps:

    async with RawServer((whole, reset), (whole, answer(say(200, b"{}")))) as server:
        ...

        assert 2 == server.connections

At the end of its script a connection is closed in good order.
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
    "read",
    "refused",
    "reset",
    "say",
    "stall",
    "status",
    "whole",
]

Step: TypeAlias = "Callable[[Connection], Awaitable[None]]"
Script: TypeAlias = "tuple[Step, ...]"


@frozen
class Request:
    """A request that arrived whole."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def method(self) -> str:
        return self.line.split()[0]


@define(eq=False)
class Connection:
    """One connection, and what it said."""

    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> Request:
        """Read a whole request."""
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
    """Listens on loopback and counts.

    Args:
        scripts: What the connections do.
        tls: The server's side of TLS.
        is_listening: Whether it listens at once; before `listen` connections are refused.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, is_listening: bool = True) -> None:
        self.connections = 0
        self.requests: list[Request] = []
        """Those that arrived whole."""
        self.released = asyncio.Event()
        """Ends every `stall`."""
        self.bytes = 0
        """What `read` steps have read."""
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
        """Whole requests that are POSTs."""
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
        """Begin to take connections."""
        self._socket.listen(16)
        self._starting = asyncio.ensure_future(self._server.start_serving())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the counts are as wanted."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def arrived(self, count: int) -> None:
        """Wait for so many whole requests."""
        await self.until(lambda: len(self.requests) >= count)

    async def note(self) -> None:
        """Tell those who wait."""
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            await self.note()
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
    await connection.server.note()


def read(count: int) -> Step:
    """Read so many bytes and no more."""

    async def step(connection: Connection) -> None:
        await connection.reader.readexactly(count)
        connection.server.bytes += count
        await connection.server.note()

    return step


async def reset(connection: Connection) -> None:
    """End the connection by RST."""
    own: socket.socket = connection.writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()
    raise ConnectionResetError


async def stall(connection: Connection) -> None:
    """Do nothing until the server is told to go on."""
    await connection.server.released.wait()


def answer(data: bytes) -> Step:
    """Send these bytes."""

    async def step(connection: Connection) -> None:
        connection.writer.write(data)
        await connection.writer.drain()

    return step


def drip(data: bytes, interval: float = 0.02) -> Step:
    """Send these bytes one by one, with a pause of so many seconds after each."""

    async def step(connection: Connection) -> None:
        for byte in data:
            connection.writer.write(bytes([byte]))
            await asyncio.sleep(interval)

    return step


def say(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Return an answer as bytes; its length is announced unless the headers say how it ends."""
    lines = {"Content-Type": "application/json", "Connection": "close"} | dict(headers or {})
    if not {"Content-Length", "Transfer-Encoding"} & lines.keys():
        lines["Content-Length"] = str(len(body))

    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


def page(code: int) -> Script:
    """Read the request, and answer with a gateway's page."""
    html = b"<html><head><title>Bad</title></head><body><h1>Bad</h1></body></html>"
    return (whole, answer(say(code, html, {"Content-Type": "text/html"})))


def refused(code: int, **headers: str) -> Script:
    """Read the request, and answer with this status."""
    return (whole, answer(say(code, b'{"error": "no"}', {name.replace("_", "-"): v for name, v in headers.items()})))


def status(code: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Script:
    """Read the request, and give this answer."""
    return (whole, answer(say(code, body, headers)))


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

OK: Script = (whole, answer(say(200, GOOD)))
"""Read the request, and answer it."""
