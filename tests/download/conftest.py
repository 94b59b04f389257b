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
    """Where images go. Afterwards no part file is left, and no open file."""
    place = tmp_path / "images"
    place.mkdir()
    yield place
    assert [] == [path.name for path in tmp_path.rglob("*.part")]
    assert [] == open_below(tmp_path)


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(path.name for path in folder.iterdir())


def open_below(folder: Path) -> list[str]:
    """Return this process's open files and folders there."""
    found: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(entry.readlink()))

    return [path for path in found if path.startswith(f"{folder}/")]


@pytest.fixture
async def origin() -> AsyncGenerator[Origin]:
    """A host for images."""
    async with serve() as host:
        yield host


@pytest.fixture
async def other() -> AsyncGenerator[Origin]:
    """A second origin."""
    async with serve() as host:
        yield host


@asynccontextmanager
async def serve() -> AsyncGenerator[Origin]:
    """Run a host; afterwards every connection is closed."""
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
class Wired:
    """A download layer and what hangs on it."""

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
    """What looks names up; a test may put its own here."""
    return None


@pytest.fixture
async def wired(inner: AbstractResolver | None) -> AsyncGenerator[Wired]:
    """A session as the client makes it; afterwards the tasks have ended."""
    connector = aiohttp.TCPConnector(resolver=PublicResolver(loopback=True, inner=inner))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        made = Wired(session, Tasks())
        yield made
        await made.tasks.join()


@pytest.fixture
def downloads(wired: Wired) -> Downloads:
    """The download layer, without pauses."""
    return wired.downloads()


@define(eq=False)
class Stop:
    """A place where a thread waits until it is released."""

    reached: asyncio.Event
    gate: Gate = field(factory=Gate)

    def release(self) -> None:
        self.gate.set()


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[str], Stop]]:
    """Make the next call of a function of `os` wait in its thread."""
    stops: list[Stop] = []

    def patch(name: str) -> Stop:
        loop, real = asyncio.get_running_loop(), getattr(os, name)
        stop = Stop(asyncio.Event())
        stops.append(stop)

        def waiting(*args: Any, **options: Any) -> Any:
            loop.call_soon_threadsafe(stop.reached.set)
            assert stop.gate.wait(10), "nobody released it"
            return real(*args, **options)

        monkeypatch.setattr(os, name, waiting)
        return stop

    yield patch
    for stop in stops:
        stop.release()
