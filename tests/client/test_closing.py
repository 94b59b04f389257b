"""Closing a client while it is used: sent calls are ambiguous, unsent ones are not, and nothing hangs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.clients import Events, connected, fast_limiter
from support.pictures import picture
from support.rawserver import OK, RawServer, Script, answer, page, raw_response, refused, stall, whole

from ideogram_async import AmbiguousError, Billed, DownloadError, Ideogram, IdeogramError, NotSentError, Retry
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._pipeline import sessions
from ideogram_async.errors import Phase
from ideogram_async.events import Event, Failed

LONG = Retry(base=1000.0, cap=1000.0)


async def queued(server: RawServer, client: Ideogram) -> None:
    while client.limiter.statistics().waiting == 0:
        await asyncio.sleep(0)


def at_the_gate() -> ImageLimiter:
    limiter = ImageLimiter(10)
    limiter.note_rejected(None, 100.0)
    return limiter


CLOSED: dict[str, tuple[Any, dict[str, Any], Any, type[IdeogramError], Phase]] = {
    "in flight": ((whole, stall), {}, lambda server, _: server.wait_for_requests(1), AmbiguousError, Phase.SENT),
    "answering": (
        (whole, answer(raw_response(200, b"{", {"Content-Length": "9"})), stall),
        {},
        None,
        AmbiguousError,
        Phase.ANSWERING,
    ),
    "at the gate": (OK, {"limiter": at_the_gate}, queued, NotSentError, Phase.QUEUED),
    "after a 429": (refused(429, retry_after="100"), {"retry": LONG}, "Throttled", NotSentError, Phase.QUEUED),
    "in back-off, ambiguous": (
        page(500),
        {"retry": Retry(base=1000.0, cap=1000.0, ambiguous=True)},
        "Retrying",
        AmbiguousError,
        Phase.QUEUED,
    ),
}


@pytest.mark.parametrize("name", CLOSED)
async def test_closed_during_a_call(name: str) -> None:
    """Closing ends a call: ambiguous if it was sent, else not sent."""
    script, options, reached, kind, phase = CLOSED[name]
    events, emitted = Events(), asyncio.Event()

    def on_event(event: Event) -> None:
        events(event)
        if type(event).__name__ == reached:
            emitted.set()

    options = options | ({"limiter": options["limiter"]()} if "limiter" in options else {})
    async with RawServer(script, OK) as server:
        async with connected(server.url, on_event=on_event, **options) as client:
            task = asyncio.create_task(client.generate("a fox"))
            if callable(reached):
                await reached(server, client)
            elif reached:
                await emitted.wait()
            else:
                await server.wait_for_requests(1)
                await asyncio.wait([task], timeout=0.1)

            async with asyncio.timeout(30):
                await client.aclose()
                with pytest.raises(IdeogramError, match="the client was closed") as caught:
                    await task

        error = caught.value
        assert (kind, phase) == (type(error), error.phase)  # type: ignore[attr-defined]
        assert [error.billed] == [event.billed for event in events.of(Failed)]
        assert server.connections <= 1


async def test_closed_while_queued() -> None:
    """Calls that hold a slot are ambiguous, queued calls are not sent."""
    async with RawServer((whole, stall)) as server:
        async with connected(server.url, limiter=fast_limiter(2)) as client:
            tasks = [asyncio.create_task(client.generate("a fox")) for _ in range(5)]
            await server.wait_for_requests(2)
            await client.aclose()
            errors = await asyncio.gather(*tasks, return_exceptions=True)

        assert [AmbiguousError] * 2 + [NotSentError] * 3 == [type(error) for error in errors]
        assert 2 == server.posts


async def test_closed_during_a_free_call() -> None:
    """A free call was not billed, whether it was sent or not."""
    async with RawServer((whole, stall)) as server, connected(server.url) as client:
        task = asyncio.create_task(client.models.list())
        await server.wait_for_requests(1)
        await client.aclose()
        with pytest.raises(IdeogramError, match="the client was closed") as caught:
            await task

        assert (Billed.NO, True) == (caught.value.billed, caught.value.retryable)


def half_an_image() -> Script:
    """Return a script that sends half of an image, then stalls."""
    return (whole, answer(raw_response(200, picture()[:100], {"Content-Length": "1000"})), stall)


async def test_closed_while_downloading(tmp_path: Path) -> None:
    """A download raises `DownloadError`, and leaves no file."""
    async with RawServer(half_an_image()) as server, connected(server.url) as client:
        task = asyncio.create_task(client.download(f"{server.url}/fox.png", tmp_path / "fox.png"))
        await server.wait_for_requests(1)
        await client.aclose()
        with pytest.raises(DownloadError, match="the client was closed"):
            await task

    assert [] == list(tmp_path.iterdir())


async def test_closed_while_streaming() -> None:
    """An open stream raises `DownloadError` at its next chunk."""
    async with (
        RawServer(half_an_image()) as server,
        connected(server.url) as client,
        client.stream(f"{server.url}/fox.png") as stream,
    ):
        await anext(stream)
        await client.aclose()
        with pytest.raises(DownloadError):
            await anext(stream)


async def test_closed_by_several_tasks() -> None:
    """Several tasks can close the client at the same time."""
    async with RawServer((whole, stall)) as server, connected(server.url) as client:
        task = asyncio.create_task(client.generate("a fox"))
        await server.wait_for_requests(1)
        async with asyncio.timeout(30):
            await asyncio.gather(*(client.aclose() for _ in range(5)))

        with pytest.raises(AmbiguousError):
            await task


async def test_closed_by_a_listener() -> None:
    """An async listener can close the client, several times, and while another task closes it."""
    begun, ended = Events(), Events()

    async def on_event(event: Event) -> None:
        begun(event)
        await client.aclose()
        ended(event)

    async with RawServer((whole, stall)) as server:
        client = Ideogram("key", base_url=server.url, on_event=on_event)
        async with asyncio.timeout(30):
            with pytest.raises(IdeogramError, match="the client was closed"):
                await client.generate("a fox")

            await client.aclose()
            while len(ended) < len(begun):
                await asyncio.sleep(0)

    assert "Failed" in ended.names


async def test_a_call_while_closing() -> None:
    """A call that starts while the client closes opens it again, and is not ended."""
    gate = asyncio.Event()

    async def on_event(event: Event) -> None:
        if isinstance(event, Failed):
            await gate.wait()

    async with RawServer((whole, stall), OK) as server:
        client = Ideogram("key", base_url=server.url, on_event=on_event)
        first = asyncio.create_task(client.generate("a fox"))
        await server.wait_for_requests(1)
        closing = asyncio.create_task(client.aclose())
        with pytest.raises(AmbiguousError):
            await first

        images = await client.generate("a hen")
        gate.set()
        await closing
        await client.aclose()

        assert (1, 2) == (len(images.data), server.posts)


async def test_closed_with_a_listener_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that hangs is cancelled after a timeout, and closing ends."""
    monkeypatch.setattr(sessions, "SHUTDOWN_TIMEOUT", 0.01)
    ended = asyncio.Event()

    async def on_event(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with RawServer(OK) as server:
        client = Ideogram("key", base_url=server.url, on_event=on_event)
        await client.generate("a fox")
        async with asyncio.timeout(30):
            await client.aclose()
            await ended.wait()

    assert ended.is_set()
