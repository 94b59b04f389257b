"""HTTP server for the app of a test, and a minimal client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

__all__ = ["SocketClient", "serving"]


class Server(uvicorn.Server):
    """A server that installs no signal handlers.

    uvicorn replaces and restores them. Two overlapping servers restore each other's handlers, and the tests could not
    be interrupted.
    """

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing."""
        yield


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[str]:
    """Run an app in this event loop and return its URL. At the end its shutdown has succeeded."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, lifespan="on", log_config=None))
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            if task.done():
                await task

            await asyncio.sleep(0)

        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()

    assert not server.lifespan.shutdown_failed


class SocketClient:
    """A client that can disconnect at any time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def request(cls, url: str, path: str, *, method: str = "GET", **headers: str) -> SocketClient:
        """Send a request without waiting for the response."""
        host, port = url.removeprefix("http://").split(":")
        # A small buffer, so that a server cannot send a whole image to a client that does not read.
        reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{lines}\r\n".encode())
        await writer.drain()
        return cls(reader, writer)

    async def disconnect(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()
