"""Calls that were sent and have no usable response: their outcome is unknown, and they are never resent by default."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from support.clients import Events, connected
from support.leaks import files_below
from support.rawserver import OK, RawServer, Script, answer, drip, page, raw_response, read, reset, stall, status, whole

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
    "10,001 headers": (whole, answer(raw_response(200, b"{}", {f"X-{n}": "x" for n in range(10_001)}))),
    "a header of 3 MiB": (whole, answer(raw_response(200, b"{}", {"X": "x" * 3 * 2**20}))),
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
    "500, cut": (whole, answer(raw_response(500, b"{", {"Content-Length": "10"}))),
}


@frozen
class Failure:
    """The error and the events of a call."""

    kind: type[IdeogramError]
    billed: Billed
    retryable: bool
    phase: Phase
    reported: Billed
    """`billed` of the event."""
    attempts: int


async def failure_of(client: Ideogram, events: Events) -> Failure:
    """Generate an image and return the failure."""
    with pytest.raises(IdeogramError) as caught:
        await client.generate("a fox")

    error, failed = caught.value, events.of(Failed)[0]
    attempts = len(events.of(Sending))
    return Failure(type(error), error.billed, error.retryable, failed.phase, failed.billed, attempts)


AMBIGUOUS = Failure(AmbiguousError, Billed.UNKNOWN, False, Phase.SENT, Billed.UNKNOWN, 1)


TIMED_OUT = r"no complete response after 0\.\d s: the timeout \(Timeout\.total\)"
MESSAGES: dict[str, tuple[Script, dict[str, Any], str]] = {
    "timeout": ((whole, stall), {"timeout": 0.1}, TIMED_OUT),
    "deadline": (
        (whole, stall),
        {"timeout": 60, "retry": Retry(deadline=0.1)},
        r"no complete response after 0\.\d s: the deadline \(Retry\.deadline\)",
    ),
    "the shorter one": ((whole, stall), {"timeout": 0.1, "retry": Retry(deadline=60)}, TIMED_OUT),
    "closed": ((whole,), {}, r"the connection closed after \d\.\d s: ServerDisconnectedError"),
    "reset": ((whole, reset), {}, r"the connection closed after \d\.\d s: \w+"),
}


@pytest.mark.parametrize(("script", "options", "message"), MESSAGES.values(), ids=MESSAGES)
async def test_messages(script: Script, options: dict[str, Any], message: str) -> None:
    """The error states how long the call took, and which limit ended it."""
    async with RawServer(script) as server, connected(server.url, **options) as client:
        with pytest.raises(AmbiguousError, match=f"^POST /v1/ideogram-v3/generate: {message}"):
            await client.generate("a fox")


async def test_message_of_a_closed_client() -> None:
    """The error of a call that ends with its client states how long the call took."""
    async with RawServer((whole, stall)) as server, connected(server.url) as client:
        task = asyncio.create_task(client.generate("a fox"))
        await server.wait_for_requests(1)
        await client.aclose(grace=0)
        with pytest.raises(AmbiguousError, match=r"the client was closed \d\.\d s after the call began"):
            await task


@pytest.mark.parametrize("reuse_connections", [False, True])
@pytest.mark.parametrize("script", NO_STATUS.values(), ids=NO_STATUS)
async def test_no_status(script: Script, reuse_connections: bool) -> None:
    """A call that was sent and has no status is in doubt, and sent once."""
    async with RawServer(script, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events, reuse_connections=reuse_connections) as client:
            actual = await failure_of(client, events)

        assert AMBIGUOUS == actual
        assert 1 == server.connections


@pytest.mark.parametrize("script", SERVER_ERRORS.values(), ids=SERVER_ERRORS)
async def test_server_error(script: Script) -> None:
    """A failure of the server or of its gateway leaves the same doubt."""
    async with RawServer(script, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            actual = await failure_of(client, events)

        assert Failure(ServerError, Billed.UNKNOWN, False, Phase.ANSWERING, Billed.UNKNOWN, 1) == actual
        assert (1, 1) == (server.posts, server.connections)


async def test_stale_connection() -> None:
    """On a reused connection that was closed meanwhile, the call is in doubt too."""
    kept = (whole, answer(raw_response(200, b"{}", {"Connection": "keep-alive"})), whole)
    async with RawServer(kept, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events, reuse_connections=True) as client:
            await client.raw("POST", "/first")
            events.clear()
            actual = await failure_of(client, events)

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
    """A 413 before the whole body was read proves that nothing ran, and leaves no file open."""
    image = tmp_path / "large.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20 * 2**20))
    async with RawServer((read(100), answer(raw_response(413)), stall)) as server:
        async with connected(server.url, max_upload_bytes=2**25) as client:
            with pytest.raises(IdeogramError, match="413") as caught:
                await client.remove_background(image)

        assert (Billed.NO, []) == (caught.value.billed, files_below(tmp_path))


async def test_timeout_while_the_server_works() -> None:
    """A call that exceeds its timeout may still run at the service."""
    async with RawServer((whole, stall)) as server:
        events = Events()
        async with connected(server.url, on_event=events, timeout=1.0) as client:
            actual = await failure_of(client, events)

        assert AMBIGUOUS == actual
        assert 1 == server.posts


async def test_timeout_in_the_head() -> None:
    """Headers that arrive too slowly are not a response."""
    async with RawServer((whole, drip(raw_response(200, b"{}")))) as server:
        events = Events()
        async with connected(server.url, on_event=events, timeout=1.0) as client:
            actual = await failure_of(client, events)

        assert AMBIGUOUS == actual


async def test_timeout_while_the_body_is_sent(tmp_path: Path) -> None:
    """A server that stops reading may have received enough to run the call."""
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
        async with connected(server.url, on_event=events, retry=Retry(base=0.0, deadline=0.5)) as client:
            actual = await failure_of(client, events)

        assert AMBIGUOUS == actual
        assert 1 == server.posts


@pytest.mark.parametrize("scope", ["fail_after", "nested", "timeout", "wait_for"])
async def test_timeout_of_the_caller(scope: str) -> None:
    """A caller's own timeout raises `TimeoutError`, and nothing is resent."""

    async def limited(client: Ideogram) -> None:
        match scope:
            case "fail_after":
                with anyio.fail_after(0.5):
                    await client.generate("a fox")
            case "nested":
                with anyio.fail_after(0.5), anyio.move_on_after(10), anyio.CancelScope():
                    await client.generate("a fox")
            case "timeout":
                async with asyncio.timeout(0.5):
                    await client.generate("a fox")
            case _:
                await asyncio.wait_for(client.generate("a fox"), 0.5)

    async with RawServer((whole, stall)) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            with pytest.raises(TimeoutError) as caught:
                await limited(client)

        assert not isinstance(caught.value, IdeogramError)
        assert [(Billed.UNKNOWN, Phase.SENT)] == [(event.billed, event.phase) for event in events.of(Failed)]
        assert 1 == server.posts


async def test_timeout_starts_with_the_slots() -> None:
    """Time in the client's own queue does not count against the timeout."""
    async with RawServer((whole, stall, answer(raw_response(500))), OK) as server:
        async with connected(server.url, max_in_flight=1, limiter=None, timeout=Timeout(total=5)) as client:
            quick = client.with_options(timeout=0.8)
            first = asyncio.create_task(client.generate("a fox"))
            await server.wait_for_requests(1)
            second = asyncio.create_task(quick.generate("a hen"))
            await asyncio.wait([second], timeout=1.2)
            server.released.set()
            with pytest.raises(ServerError):
                await first

            answer_ = await second

        assert (1, 1) == (len(answer_.data), answer_.meta.attempts)
