"""A real server for an app of a test, and a browser of few words."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

__all__ = ["Visitor", "serving"]


class Server(uvicorn.Server):
    """A server that leaves the signals to the tests.

    uvicorn takes them while it serves and puts back what was there. Two that overlap put back each other's handlers,
    and whoever wants to end the tests is not heard any more.
    """

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[str]:
    """Serve an app in this event loop, and give its address. Afterwards the app has ended in good order."""
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


class Visitor:
    """Asks for a page over a socket of its own, and leaves when told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def asking(cls, url: str, path: str, *, method: str = "GET") -> Visitor:
        """Send a request, and go on without waiting for the answer."""
        host, port = url.removeprefix("http://").split(":")
        # A small buffer, so that a server cannot push a whole image to a visitor who does not read.
        reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        return cls(reader, writer)

    async def leave(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()
