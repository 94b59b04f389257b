"""What was sent and has no usable answer may have run: it is told so, and never sent again by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest
from attrs import frozen
from support.clients import Events, connected
from support.leaks import files_below
from support.rawserver import OK, RawServer, Script, answer, drip, page, read, reset, say, stall, status, whole

from ideogram_async import AmbiguousError, Billed, Ideogram, IdeogramError, Retry, ServerError, Timeout
from ideogram_async.errors import Phase
from ideogram_async.events import Failed, Sending

JSON_500 = status(500, b'{"error": "Internal"}')
NO_STATUS = {
    "reset after 10 bytes": (read(10), reset),
    "closed after 10 bytes": (read(10),),
    "reset after the head": (read(200), reset),
    "closed after the body": (whole,),
    "reset after the body": (whole, reset),
    "no HTTP": (whole, answer(b"what?\r\n\r\n")),
    "half a status line": (whole, answer(b"HTTP/1.1 20")),
    "half a head": (whole, answer(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "only a change of protocol": status(101, b"", {"Upgrade": "x", "Connection": "upgrade"}),
    "two lengths": (whole, answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx")),
    "5,000 headers": (whole, answer(say(200, b"{}", {f"X-{n}": "x" for n in range(5_000)}))),
    "a header of 1 MB": (whole, answer(say(200, b"{}", {"X": "x" * 2**20}))),
}
SERVER_ERRORS = {
    "500": JSON_500,
    "502": page(502),
    "503": page(503),
    "504": page(504),
    "520": page(520),
    "524": page(524),
    "599": page(599),
    "503 and when to come back": status(503, b"", {"Retry-After": "0"}),
    "500, cut": (whole, answer(say(500, b"{", {"Content-Length": "10"}))),
}


@frozen
class Ending:
    """How a call ended."""

    kind: type[IdeogramError]
    billed: Billed
    retryable: bool
    phase: Phase
    told: Billed
    """What the event said."""
    attempts: int


async def ending(client: Ideogram, events: Events) -> Ending:
    """Generate, and tell how it failed."""
    with pytest.raises(IdeogramError) as caught:
        await client.generate("a fox")

    error, failed = caught.value, events.of(Failed)[0]
    attempts = len(events.of(Sending))
    return Ending(type(error), error.billed, error.retryable, failed.phase, failed.billed, attempts)


AMBIGUOUS = Ending(AmbiguousError, Billed.UNKNOWN, False, Phase.SENT, Billed.UNKNOWN, 1)


@pytest.mark.parametrize("reuse_connections", [False, True])
@pytest.mark.parametrize("script", NO_STATUS.values(), ids=NO_STATUS)
async def test_no_status(script: Script, reuse_connections: bool) -> None:
    """A call that was sent and has no status is in doubt, and sent once."""
    async with RawServer(script, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events, reuse_connections=reuse_connections) as client:
            actual = await ending(client, events)

        assert AMBIGUOUS == actual
        assert 1 == server.connections


@pytest.mark.parametrize("script", SERVER_ERRORS.values(), ids=SERVER_ERRORS)
async def test_server_error(script: Script) -> None:
    """A failure of the server, or of a gateway before it, leaves the same doubt."""
    async with RawServer(script, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            actual = await ending(client, events)

        assert Ending(ServerError, Billed.UNKNOWN, False, Phase.ANSWERING, Billed.UNKNOWN, 1) == actual
        assert (1, 1) == (server.posts, server.connections)


async def test_dead_connection_of_before() -> None:
    """On a kept connection that has died meanwhile, the call is in doubt too."""
    kept = (whole, answer(say(200, b"{}", {"Connection": "keep-alive"})), whole)
    async with RawServer(kept, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events, reuse_connections=True) as client:
            await client.raw("POST", "/first")
            events.clear()
            actual = await ending(client, events)

        assert AMBIGUOUS == actual
        assert (2, 1) == (server.posts, server.connections)


async def test_reset_while_a_large_body_is_sent(tmp_path: Path) -> None:
    """A connection that is reset in the middle of 20 MB leaves the call in doubt, and no file open."""
    image = tmp_path / "large.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20 * 2**20))
    async with RawServer((read(2**20), reset), OK) as server:
        async with connected(server.url, max_upload_bytes=2**25) as client:
            with pytest.raises(AmbiguousError) as caught:
                await client.remove_background(image)

        assert (Billed.UNKNOWN, Phase.SENT) == (caught.value.billed, caught.value.phase)
        assert (1, 0, []) == (server.connections, server.posts, files_below(tmp_path))


async def test_refused_while_a_large_body_is_sent(tmp_path: Path) -> None:
    """A server that answers 413 without reading on has told that it did nothing, and no file stays open."""
    image = tmp_path / "large.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20 * 2**20))
    async with RawServer((read(100), answer(say(413)), stall)) as server:
        async with connected(server.url, max_upload_bytes=2**25) as client:
            with pytest.raises(IdeogramError, match="413") as caught:
                await client.remove_background(image)

        assert (Billed.NO, []) == (caught.value.billed, files_below(tmp_path))


async def test_timeout_while_the_server_works() -> None:
    """A call that takes longer than its time may still run at the service."""
    async with RawServer((whole, stall)) as server:
        events = Events()
        async with connected(server.url, on_event=events, timeout=1.0) as client:
            actual = await ending(client, events)

        assert AMBIGUOUS == actual
        assert 1 == server.posts


async def test_timeout_while_a_head_drips() -> None:
    """A head that drips in is no answer."""
    async with RawServer((whole, drip(say(200, b"{}")))) as server:
        events = Events()
        async with connected(server.url, on_event=events, timeout=1.0) as client:
            actual = await ending(client, events)

        assert AMBIGUOUS == actual


async def test_timeout_while_the_body_is_sent(tmp_path: Path) -> None:
    """A server that stops reading may have got what it needs."""
    image = tmp_path / "large.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20 * 2**20))
    async with RawServer((read(100), stall)) as server:
        async with connected(server.url, timeout=1.0, max_upload_bytes=2**25) as client:
            with pytest.raises(AmbiguousError):
                await client.remove_background(image)

        assert (1, []) == (server.connections, files_below(tmp_path))


async def test_deadline_bounds_the_answer() -> None:
    """The deadline of all attempts bounds each of them."""
    async with RawServer((whole, stall)) as server:
        events = Events()
        async with connected(server.url, on_event=events, retry=Retry(base=0.0, deadline=0.1)) as client:
            actual = await ending(client, events)

        assert AMBIGUOUS == actual
        assert 1 == server.posts


@pytest.mark.parametrize("scope", ["fail_after", "nested", "timeout", "wait_for"])
async def test_caller_gives_up(scope: str) -> None:
    """A caller's own time limit ends the call as the caller expects, and nothing is sent again."""

    async def limited(client: Ideogram) -> None:
        match scope:
            case "fail_after":
                with anyio.fail_after(0.1):
                    await client.generate("a fox")
            case "nested":
                with anyio.fail_after(0.1), anyio.move_on_after(10), anyio.CancelScope():
                    await client.generate("a fox")
            case "timeout":
                async with asyncio.timeout(0.1):
                    await client.generate("a fox")
            case _:
                await asyncio.wait_for(client.generate("a fox"), 0.1)

    async with RawServer((whole, stall)) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            with pytest.raises(TimeoutError) as caught:
                await limited(client)

        assert not isinstance(caught.value, IdeogramError)
        assert [(Billed.UNKNOWN, Phase.SENT)] == [(event.billed, event.phase) for event in events.of(Failed)]
        assert 1 == server.posts


async def test_time_for_the_call_begins_with_its_place() -> None:
    """Time in our own queue is no timeout."""
    async with RawServer((whole, stall, answer(say(500))), OK) as server:
        async with connected(server.url, max_in_flight=1, limiter=None, timeout=Timeout(total=5)) as client:
            quick = client.with_options(timeout=0.2)
            first = asyncio.create_task(client.generate("a fox"))
            await server.arrived(1)
            second = asyncio.create_task(quick.generate("a hen"))
            await asyncio.wait([second], timeout=0.4)
            server.released.set()
            with pytest.raises(ServerError):
                await first

            answer_ = await second

        assert (1, 1) == (len(answer_.data), answer_.meta.attempts)
