"""Image host on loopback whose responses are exact bytes."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import TypeAlias

from attrs import define, field, frozen
from PIL import Image

Answer: TypeAlias = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@frozen
class Request:
    """A request that the host received."""

    method: str
    target: str
    headers: dict[str, str]


@define(eq=False)
class Origin:
    """A host that sends the next answer to each connection, and repeats the last one."""

    answers: list[Answer] = field(factory=list)
    requests: list[Request] = field(factory=list)
    port: int = 0
    released: asyncio.Event = field(factory=asyncio.Event)
    """Set at the end of a test, to end all waiting answers."""

    def url(self, path: str = "/api/images/ephemeral/fox.png", query: str = "exp=9999999999&sig=secret") -> str:
        return f"http://127.0.0.1:{self.port}{path}?{query}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
            self.requests.append(Request(method, target, headers))
            if callable(answer):
                await answer(writer)
            else:
                writer.write(answer)
                await writer.drain()

        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def held(self, *parts: bytes, reached: asyncio.Event | None = None) -> Answer:
        """Return an answer that sends the parts, sets `reached`, and then waits for the end of the test."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(parts))
            await writer.drain()
            if reached is not None:
                reached.set()

            await self.released.wait()

        return answer


def ok(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """Return a response with status 200. `length` replaces its Content-Length."""
    return status(200, *headers, body=body, length=length)


def status(code: int, *headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    """Return a response with a status."""
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def unsized(body: bytes, *headers: str) -> bytes:
    """Return a response without a length, whose body ends with the connection."""
    return "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", *headers, "", ""]).encode() + body


def redirect(location: str, code: int = 302) -> bytes:
    """Return a redirect."""
    return status(code, f"Location: {location}")


@cache
def picture(kind: str, *, side: int = 96, **options: bool | int) -> bytes:
    """Return an image of noise, the same each time."""
    noise = random.Random(side).randbytes(side * side * 3)
    file = BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(file, kind, **options)
    return file.getvalue()


def png(width: int = 8, height: int = 8, *, body: bytes = b"", blocks: int = 1) -> bytes:
    """Return a PNG with a valid structure and invalid pixels, but as much data as its size needs, and some blocks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"").ljust(width * height * 3 // 1032 + 1, b"x")
    data = chunk(b"IDAT", pixels) + chunk(b"IDAT", body) * blocks
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
