"""Proxy in front of Postgres that ends a connection at a chosen commit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

__all__ = ["CuttingProxy", "Moment"]

Moment = Literal["before", "after"]


class CuttingProxy:
    """A proxy on a port of this machine, and a context manager that closes it.

    Args:
        port: The port of the server.
        number: The commit that is cut, from 0.
        moment: Whether the connection ends before the server receives the commit, or after it has committed.
    """

    def __init__(self, port: int, number: int, moment: Moment) -> None:
        self.commits = 0
        """Commits so far."""
        self._server_port = port
        self._number = number
        self._moment = moment
        self._tasks: set[asyncio.Task[object]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> CuttingProxy:
        self._listener = await asyncio.start_server(self._start, "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()

        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._writers.append(server_writer)
        is_cut = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_requests(reader, server_writer, is_cut))
                group.create_task(self._pass_replies(server_reader, writer, is_cut))
        except* (ConnectionError, EOFError):
            pass
        finally:
            for each in (writer, server_writer):
                each.transport.abort()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_cut: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if b"COMMIT\0" in data:
                self.commits += 1
                if self.commits == self._number + 1:
                    if self._moment == "before":
                        raise EOFError

                    # The reply is not passed on.
                    is_cut.set()

            writer.write(data)
            await writer.drain()

        raise EOFError

    async def _pass_replies(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_cut: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if is_cut.is_set():
                raise EOFError

            writer.write(data)
            await writer.drain()

        raise EOFError
