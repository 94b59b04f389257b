from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event as Gate
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from attrs import define, field
from support.origin import Origin

from ideogram_async._download.downloader import Downloads
from ideogram_async._download.hosts import Hosts
from ideogram_async._download.resolver import PublicResolver
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.policy import Retry
from ideogram_async._transport.tasks import Tasks
from ideogram_async.events import Event

MiB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """A folder for images. At the end it contains no part file, and no file in it is open."""
    path = tmp_path / "images"
    path.mkdir()
    yield path
    assert [] == [path.name for path in tmp_path.rglob("*.part")]
    assert [] == open_below(tmp_path)


def names(folder: Path) -> list[str]:
    """Return the sorted names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def open_below(folder: Path) -> list[str]:
    """Return the open files and folders of this process below a folder."""
    paths: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            paths.append(str(entry.readlink()))

    return [path for path in paths if path.startswith(f"{folder}/")]


@pytest.fixture
async def origin() -> AsyncGenerator[Origin]:
    """An image host."""
    async with serve() as host:
        yield host


@pytest.fixture
async def other() -> AsyncGenerator[Origin]:
    """A second image host."""
    async with serve() as host:
        yield host


@asynccontextmanager
async def serve() -> AsyncGenerator[Origin]:
    """Run an image host. At the end every connection is closed."""
    host = Origin()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        host.released.set()
        server.close()
        await server.wait_closed()

    serving = [task for task in asyncio.all_tasks() if "Origin.serve" in repr(task)]
    if serving:
        await asyncio.wait(serving, timeout=5)


@define(eq=False)
class DownloadContext:
    """Downloads with their session, tasks, events and slots."""

    session: aiohttp.ClientSession
    tasks: Tasks
    events: list[Event] = field(factory=list)
    slots: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(16))

    def downloads(
        self,
        *,
        hosts: Hosts | None = None,
        max_image_bytes: int = 64 * MiB,
        retry: Retry | None = None,
    ) -> Downloads:
        return Downloads(
            lambda: self.session,
            hosts=hosts or Hosts(None, loopback=True),
            max_image_bytes=max_image_bytes,
            retry=retry or Retry(base=0.0),
            emit=Emitter(self.events.append, lambda: self.tasks),
            tasks=lambda: self.tasks,
            slots=lambda: self.slots,
        )


@pytest.fixture
def inner() -> AbstractResolver | None:
    """The inner DNS resolver; a test class may override it."""
    return None


@pytest.fixture
async def context(inner: AbstractResolver | None) -> AsyncGenerator[DownloadContext]:
    """A session like the client's. At the end all tasks have finished."""
    connector = aiohttp.TCPConnector(resolver=PublicResolver(loopback=True, inner=inner))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        parts = DownloadContext(session, Tasks())
        yield parts
        await parts.tasks.join()


@pytest.fixture
def downloads(context: DownloadContext) -> Downloads:
    """Downloads without pauses between attempts."""
    return context.downloads()


@define(eq=False)
class Stop:
    """A point where a thread waits until it is released."""

    reached: asyncio.Event
    gate: Gate = field(factory=Gate)

    def release(self) -> None:
        self.gate.set()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[str], Stop]]:
    """Make the next call of an `os` function wait in its thread."""
    stops: list[Stop] = []

    def patch(name: str) -> Stop:
        loop, real = asyncio.get_running_loop(), getattr(os, name)
        stop = Stop(asyncio.Event())
        stops.append(stop)

        def waiting(*args: Any, **options: Any) -> Any:
            loop.call_soon_threadsafe(stop.reached.set)
            assert stop.gate.wait(10), "not released"
            return real(*args, **options)

        monkeypatch.setattr(os, name, waiting)
        return stop

    yield patch
    for stop in stops:
        stop.release()
