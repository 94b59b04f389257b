"""Calls without cost, which are retried after every transient failure, and charged calls, which are not."""

from __future__ import annotations

import math

import pytest
from support.clients import AT_ONCE, Events, connected
from support.rawserver import RawServer, Script, answer, page, raw_response, read, refused, reset, stall, status, whole

from ideogram_async import (
    AmbiguousError,
    BadRequestError,
    Billed,
    DecodeError,
    Ideogram,
    IdeogramError,
    NotSentError,
    RateLimitError,
    Retry,
    ServerError,
    Timeout,
    TransportError,
)
from ideogram_async.events import Sending

MODELS: Script = status(200, b'{"models": []}')
PASSING: dict[str, Script] = {
    "reset": (whole, reset),
    "closed": (whole,),
    "reset within the head": (read(10), reset),
    "500": page(500),
    "503": refused(503, retry_after="0"),
    "524": page(524),
    "408": refused(408),
    "425": refused(425),
    "429": refused(429),
    "cut": (whole, answer(raw_response(200, b"{", {"Content-Length": "10"}))),
    "no HTTP": (whole, answer(b"what?\r\n\r\n")),
    "silence": (whole, stall),
}


@pytest.mark.parametrize("script", PASSING.values(), ids=PASSING)
async def test_get(script: Script) -> None:
    """A GET is retried until it has a response."""
    async with RawServer(script, script, script, MODELS) as server:
        async with connected(server.url, timeout=1.0) as client:
            reply = await client.raw("GET", "/models")

        assert b'{"models": []}' == reply.raw
        assert not reply.in_doubt
        assert 4 == server.connections


@pytest.mark.parametrize("script", PASSING.values(), ids=PASSING)
async def test_uncharged_post(script: Script) -> None:
    """A POST that the caller marks as free is retried too."""
    async with RawServer(script, script, MODELS) as server:
        async with connected(server.url, timeout=1.0) as client:
            reply = await client.raw("POST", "/free", json={}, charged=False)

        assert (3, 3) == (server.connections, reply.attempts)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("reuse_connections", [False, True])
@pytest.mark.parametrize("name", ["reset", "closed", "reset within the head", "no HTTP", "silence", "500", "cut"])
async def test_charged(name: str, method: str, reuse_connections: bool) -> None:
    """A charged call is sent once, also with a method that aiohttp would repeat."""
    async with RawServer(PASSING[name], MODELS) as server:
        async with connected(server.url, timeout=1.0, reuse_connections=reuse_connections) as client:
            with pytest.raises((AmbiguousError, ServerError, DecodeError)) as caught:
                await client.raw(method, "/paid")

        assert caught.value.billed is not Billed.NO
        assert len(server.requests) <= 1
        assert server.connections <= 2


@pytest.mark.parametrize(("script", "kind"), [((whole,), TransportError), (page(502), ServerError)])
async def test_attempts_used_up(script: Script, kind: type[IdeogramError]) -> None:
    """After the last attempt, a free call has cost nothing and may be repeated."""
    async with RawServer(script) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            with pytest.raises(kind) as caught:
                await client.models.list()

        assert (kind, Billed.NO, True) == (type(caught.value), caught.value.billed, caught.value.retryable)
        assert 5 == len(events.of(Sending))


async def test_always_truncated() -> None:
    """A free success that is always truncated raises `DecodeError`, and may be repeated."""
    async with RawServer(PASSING["cut"]) as server:
        async with connected(server.url) as client:
            with pytest.raises(DecodeError) as caught:
                await client.models.list()

        assert (Billed.NO, True, 5) == (caught.value.billed, caught.value.retryable, server.connections)


async def test_refused() -> None:
    """A refusal is final for free calls too."""
    async with RawServer(refused(400), MODELS) as server:
        async with connected(server.url) as client:
            with pytest.raises(BadRequestError):
                await client.models.list()

        assert 1 == server.connections


async def test_deadline() -> None:
    """The deadline bounds all attempts together."""
    async with RawServer((whole, stall)) as server:
        policy = Retry(base=0.0, attempts=1000, deadline=1.5)
        async with connected(server.url, timeout=0.4, retry=policy) as client:
            with pytest.raises(TransportError) as caught:
                await client.models.list()

        assert Billed.NO is caught.value.billed
        assert 2 <= server.connections <= 4


@pytest.mark.parametrize("method", ["GET", "get", "HEAD"])
async def test_reading_is_free(method: str) -> None:
    """GET and HEAD cost nothing and need no slot, even if the caller says otherwise."""
    async with RawServer(status(200)) as server, Ideogram("key", base_url=server.url, retry=AT_ONCE) as client:
        await client.raw(method, "/models", charged=True, weight=99)

        assert 1 == server.connections


async def test_always_throttled() -> None:
    """A free call that is always rejected with 429 ends with that error."""
    async with RawServer(refused(429)) as server:
        async with connected(server.url, retry=Retry(base=0.0, throttle_wait=0.05)) as client:
            with pytest.raises(RateLimitError) as caught:
                await client.models.list()

        assert (Billed.NO, True) == (caught.value.billed, caught.value.retryable)


async def test_many_attempts() -> None:
    """The pause after a late attempt is still within its cap."""
    assert 0.0 <= Retry(attempts=10_000, base=1.0, cap=2.0).backoff(9_999) <= 2.0


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
@pytest.mark.parametrize("name", ["total", "connect"])
def test_times_are_numbers(name: str, value: float) -> None:
    """`None` means no limit. Zero, negative, infinite and undefined times are refused."""
    with pytest.raises(ValueError, match=name):
        Timeout(**{name: value})


async def test_never_sent() -> None:
    """A free call that was never sent raises `NotSentError` too."""
    async with RawServer(MODELS, is_listening=False) as server, connected(server.url) as client:
        with pytest.raises(NotSentError):
            await client.models.list()
