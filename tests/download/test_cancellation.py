"""Cancellation of downloads: the target has the complete image or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from download.conftest import DownloadContext, Stop, names
from support.origin import Origin, ok, picture, status

from ideogram_async._download.downloader import Downloads
from ideogram_async._sinks import folder as sink
from ideogram_async._transport.policy import Retry
from ideogram_async.events import Downloaded

IMAGE = picture("PNG", side=900)
HALF = IMAGE[: len(IMAGE) // 2]
Cancel: TypeAlias = Callable[[Coroutine[Any, Any, Any], Awaitable[Any], Callable[[], None]], Awaitable[None]]


async def turn() -> None:
    """Let the event loop run ready callbacks."""
    for _ in range(5):
        await asyncio.sleep(0)


async def by_task(work: Coroutine[Any, Any, Any], reached: Awaitable[Any], release: Callable[[], None]) -> None:
    """Cancel the task."""
    task = asyncio.create_task(work)
    await reached
    task.cancel()
    await turn()
    release()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(work: Coroutine[Any, Any, Any], reached: Awaitable[Any], release: Callable[[], None]) -> None:
    """Let a timeout expire."""
    limit = asyncio.timeout(None)

    async def limited() -> None:
        async with limit:
            await work

    task = asyncio.create_task(limited())
    await reached
    limit.reschedule(0.0)
    await turn()
    release()
    with pytest.raises(TimeoutError):
        await task


async def by_scope(work: Coroutine[Any, Any, Any], reached: Awaitable[Any], release: Callable[[], None]) -> None:
    """Cancel an anyio scope around the work."""
    scope = anyio.CancelScope()

    async def scoped() -> None:
        with scope:
            await work

    task = asyncio.create_task(scoped())
    await reached
    scope.cancel()
    await turn()
    release()
    await task

    assert scope.cancelled_caught


async def by_two_cancels(work: Coroutine[Any, Any, Any], reached: Awaitable[Any], release: Callable[[], None]) -> None:
    """Cancel the task again during its cleanup."""
    task = asyncio.create_task(work)
    await reached
    task.cancel()
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    release()


every_way = pytest.mark.parametrize("cancel", [by_task, by_timeout, by_scope, by_two_cancels])


def nothing() -> None:
    """Do nothing."""


@every_way
@pytest.mark.parametrize("sent", [b"", ok(b"", length=len(IMAGE)), ok(HALF, length=len(IMAGE))])
async def test_while_the_host_is_silent(
    context: DownloadContext, origin: Origin, folder: Path, cancel: Cancel, sent: bytes
) -> None:
    """A download cancelled before, at or within the response leaves nothing and sends nothing more."""
    reached = asyncio.Event()
    origin.answers = [origin.held(sent, reached=reached)]
    await cancel(context.downloads().download(origin.url(), folder), reached.wait(), nothing)
    await context.tasks.join()

    assert [] == names(folder)
    assert 1 == len(origin.requests)


@every_way
@pytest.mark.parametrize("step", ["mkdir", "open", "write"])
async def test_while_a_thread_works(
    context: DownloadContext,
    origin: Origin,
    folder: Path,
    hold: Callable[[str], Stop],
    cancel: Cancel,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A download cancelled while a thread prepares or writes leaves nothing, although the thread continues."""
    # Several blocks: the last one is written at the commit.
    monkeypatch.setattr(sink, "WRITE_BYTES", 1)
    origin.answers = [ok(IMAGE)]
    stop = hold(step)
    await cancel(context.downloads().download(origin.url(), f"{folder}/new/"), stop.reached.wait(), stop.release)
    await context.tasks.join()

    assert [] == [path for path in folder.rglob("*") if path.is_file()]


@every_way
@pytest.mark.parametrize("step", ["fsync", "link", "unlink"])
async def test_during_commit(
    context: DownloadContext, origin: Origin, folder: Path, hold: Callable[[str], Stop], cancel: Cancel, step: str
) -> None:
    """A download cancelled during the commit has stored the complete image and emits its event."""
    origin.answers = [ok(IMAGE)]
    stop = hold(step)
    await cancel(context.downloads().download(origin.url(), folder), stop.reached.wait(), stop.release)
    await context.tasks.join()

    assert IMAGE == (folder / "fox.png").read_bytes()
    assert ["fox.png"] == names(folder)
    assert [Downloaded] == [type(event) for event in context.events]


async def test_before_commit(
    context: DownloadContext, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download cancelled at any iteration of the event loop leaves the complete image or nothing."""
    origin.answers = [ok(IMAGE)]
    outcomes = set()
    for turns in range(0, 120, 3):
        task = asyncio.create_task(context.downloads().download(origin.url(), folder / f"{turns}.png"))
        for _ in range(turns):
            await asyncio.sleep(0)

        task.cancel()
        await asyncio.wait([task])
        await context.tasks.join()
        path = folder / f"{turns}.png"
        outcomes.add(path.read_bytes() if path.exists() else b"")

        assert [] == list(folder.glob(".*"))

    assert outcomes <= {b"", IMAGE}


async def test_during_pause(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """A download cancelled between two attempts does not retry."""
    origin.answers = [status(500, "Retry-After: 60")]
    task = asyncio.create_task(context.downloads(retry=Retry(base=0.0)).download(origin.url(), folder))
    while not context.events:
        await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (1, []) == (len(origin.requests), names(folder))


@every_way
async def test_fetch(downloads: Downloads, origin: Origin, cancel: Cancel) -> None:
    """A cancelled fetch ends at once."""
    reached = asyncio.Event()
    origin.answers = [origin.held(ok(HALF, length=len(IMAGE)), reached=reached)]
    await cancel(downloads.fetch(origin.url()), reached.wait(), nothing)

    assert 1 == len(origin.requests)


@every_way
async def test_stream(context: DownloadContext, origin: Origin, cancel: Cancel) -> None:
    """A cancelled stream closes its connection."""
    reached = asyncio.Event()
    origin.answers = [origin.held(ok(HALF, length=len(IMAGE)))]

    async def read() -> None:
        async with context.downloads().stream(origin.url()) as stream:
            async for _ in stream:
                reached.set()

    await cancel(read(), reached.wait(), nothing)

    assert context.session.connector is not None
    assert not context.session.connector._acquired


async def test_crowd(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """A task group of downloads in which one fails leaves only complete images."""
    origin.answers = [*[ok(IMAGE)] * 6, status(418), ok(IMAGE)]
    downloads = context.downloads()

    async def crowd() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(downloads.download(origin.url(), folder / f"{number}.png"))

    with pytest.raises(BaseExceptionGroup):
        await crowd()

    await context.tasks.join()

    assert {IMAGE} >= {path.read_bytes() for path in folder.iterdir()}
