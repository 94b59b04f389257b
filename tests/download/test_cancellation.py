"""Whatever is cancelled, and however: the whole image stands at the target, or nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from download.conftest import Stop, Wired, names
from support.origin import Origin, ok, picture, status

from ideogram_async._download import downloader
from ideogram_async._download.downloader import Downloads
from ideogram_async._transport.policy import Retry
from ideogram_async.events import Downloaded

IMAGE = picture("PNG", side=900)
HALF = IMAGE[: len(IMAGE) // 2]
Cancel: TypeAlias = Callable[[Coroutine[Any, Any, Any], Awaitable[Any], Callable[[], None]], Awaitable[None]]


async def turn() -> None:
    """Let the event loop run what is ready."""
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
    """Let a time limit end it."""
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
    """Cancel an anyio scope around it."""
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
    """Cancel the task again while it cleans up."""
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
    """Release nobody."""


@every_way
@pytest.mark.parametrize("sent", [b"", ok(b"", length=len(IMAGE)), ok(HALF, length=len(IMAGE))])
async def test_while_the_host_is_silent(
    wired: Wired, origin: Origin, folder: Path, cancel: Cancel, sent: bytes
) -> None:
    """Cancelled before, at and within the answer, a download leaves nothing, and asks no more."""
    reached = asyncio.Event()
    origin.answers = [origin.held(sent, reached=reached)]
    await cancel(wired.downloads().download(origin.url(), folder), reached.wait(), nothing)
    await wired.tasks.join()

    assert [] == names(folder)
    assert 1 == len(origin.requests)


@every_way
@pytest.mark.parametrize("step", ["mkdir", "open", "write"])
async def test_while_a_thread_works(
    wired: Wired,
    origin: Origin,
    folder: Path,
    hold: Callable[[str], Stop],
    cancel: Cancel,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled while a thread prepares or writes, a download leaves nothing, although the thread goes on."""
    # An image of several blocks: the last one is written when the image is put in its place.
    monkeypatch.setattr(downloader, "WRITE_BYTES", 1)
    origin.answers = [ok(IMAGE)]
    stop = hold(step)
    await cancel(wired.downloads().download(origin.url(), f"{folder}/new/"), stop.reached.wait(), stop.release)
    await wired.tasks.join()

    assert [] == [path for path in folder.rglob("*") if path.is_file()]


@every_way
@pytest.mark.parametrize("step", ["fsync", "link", "unlink"])
async def test_while_it_is_put_in_place(
    wired: Wired, origin: Origin, folder: Path, hold: Callable[[str], Stop], cancel: Cancel, step: str
) -> None:
    """Cancelled while the image is put in its place, a download has stored it whole, and says so."""
    origin.answers = [ok(IMAGE)]
    stop = hold(step)
    await cancel(wired.downloads().download(origin.url(), folder), stop.reached.wait(), stop.release)
    await wired.tasks.join()

    assert IMAGE == (folder / "fox.png").read_bytes()
    assert ["fox.png"] == names(folder)
    assert [Downloaded] == [type(event) for event in wired.events]


async def test_before_it_is_put_in_place(
    wired: Wired, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled at every turn of the event loop, a download leaves the whole image or nothing."""
    origin.answers = [ok(IMAGE)]
    outcomes = set()
    for turns in range(0, 120, 3):
        task = asyncio.create_task(wired.downloads().download(origin.url(), folder / f"{turns}.png"))
        for _ in range(turns):
            await asyncio.sleep(0)

        task.cancel()
        await asyncio.wait([task])
        await wired.tasks.join()
        path = folder / f"{turns}.png"
        outcomes.add(path.read_bytes() if path.exists() else b"")

        assert [] == list(folder.glob(".*"))

    assert outcomes <= {b"", IMAGE}


async def test_while_it_waits(wired: Wired, origin: Origin, folder: Path) -> None:
    """Cancelled between two tries, a download does not try again."""
    origin.answers = [status(500, "Retry-After: 60")]
    task = asyncio.create_task(wired.downloads(retry=Retry(base=0.0)).download(origin.url(), folder))
    while not wired.events:
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
async def test_stream(wired: Wired, origin: Origin, cancel: Cancel) -> None:
    """A cancelled stream ends its connection."""
    reached = asyncio.Event()
    origin.answers = [origin.held(ok(HALF, length=len(IMAGE)))]

    async def read() -> None:
        async with wired.downloads().stream(origin.url()) as stream:
            async for _ in stream:
                reached.set()

    await cancel(read(), reached.wait(), nothing)

    assert wired.session.connector is not None
    assert not wired.session.connector._acquired


async def test_crowd(wired: Wired, origin: Origin, folder: Path) -> None:
    """A task group of downloads that loses one member leaves whole images only."""
    origin.answers = [*[ok(IMAGE)] * 6, status(418), ok(IMAGE)]
    downloads = wired.downloads()

    async def crowd() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(downloads.download(origin.url(), folder / f"{number}.png"))

    with pytest.raises(BaseExceptionGroup):
        await crowd()

    await wired.tasks.join()

    assert {IMAGE} >= {path.read_bytes() for path in folder.iterdir()}
