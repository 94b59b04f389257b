"""Invalid responses of the server: a charged call ends, and reports its cost correctly."""

from __future__ import annotations

import asyncio
import copy
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.clients import Events, connected
from support.rawserver import GOOD, RawServer, answer, whole

from ideogram_async import Billed, IdeogramError, Retry
from ideogram_async.events import Failed

HANG_TIMEOUT = 2.0
"""Seconds for an attempt, which never needs them."""


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def seeded(seed: bytes) -> bytes:
    return GOOD.replace(b'"seed": 7', b'"seed": ' + seed)


BODIES = (
    GOOD,
    b"",
    b"\xef\xbb\xbf" + GOOD,
    GOOD.decode().encode("utf-16"),
    GOOD.decode().encode("utf-32"),
    b'{"created": "\xff\xfe"}',
    b"NaN",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'{"data": [null]}',
    b'{"created": "9999-12-31T23:59:59+24:00", "data": {}}',
    b'{"max_inflight_requests": 1e309, "error": {"": 0}}',
    GOOD.replace(b"a fox", b"\\ud800"),
    seeded(b"9" * 5000),
    seeded(b"1e999"),
    seeded(b'7, "seed": null'),
    *map(deep, (100, 900, 990, 100_000)),
    b"<html>",
)
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: b"\x8b\x02\x80" + body,
    "foo": bytes,
}
HEADERS = (
    "",
    "Retry-After: soon\r\n",
    "Retry-After: 1e999\r\n",
    "Retry-After: Mon, 01 Jan 0001 00:00:00 +2400\r\n",
    "Location: http://[::bad\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "Content-Type: ;;;=\r\n",
    "X-Request-Id: \xff\xfe\r\n",
    "Set-Cookie: a=b\r\n",
    f"X-Long: {'z' * 9000}\r\n",
    "".join(f"X-{number}: v\r\n" for number in range(300)),
)
FRAMINGS = ("length", "too long", "too short", "negative", "none", "chunks", "bad chunks", "both")
STATUSES = (*range(200, 207), 299, 300, 302, 304, 307, 400, 404, 408, 418, 425, 500, 503, 524, 599, 600, 999)
THOROUGH: dict[str, Any] = {"derandomize": True, "deadline": None, "phases": [Phase.generate]}


def framed(body: bytes, framing: str) -> tuple[str, bytes]:
    """Return the header that declares the length of a body, and its bytes."""
    chunks = b"%x;a=b\r\n%b\r\n" % (len(body), body) if body else b""
    length = f"Content-Length: {len(body)}\r\n"
    return {
        "length": (length, body),
        "too long": (f"Content-Length: {len(body) + 5}\r\n", body),
        "too short": (f"Content-Length: {max(0, len(body) - 5)}\r\n", body),
        "negative": ("Content-Length: -5\r\n", body),
        "none": ("", body),
        "chunks": ("Transfer-Encoding: chunked\r\n", chunks + b"0;c\r\nX-Trailer: 1\r\n\r\n"),
        "bad chunks": ("Transfer-Encoding: chunked\r\n", b"zz\r\n" + body),
        "both": (f"Transfer-Encoding: chunked\r\n{length}", chunks + b"0\r\n\r\n"),
    }[framing]


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, bytes]:
    """Draw a status, and the bytes of a response with it, sometimes truncated."""
    status, body = draw(st.sampled_from(STATUSES)), draw(st.sampled_from(BODIES))
    headers, coding = draw(st.sampled_from(HEADERS)), draw(st.sampled_from((None, *CODINGS)))
    if coding:
        body, headers = CODINGS[coding](body), f"{headers}Content-Encoding: {coding}\r\n"

    length, data = framed(body, draw(st.sampled_from(FRAMINGS)))
    version = draw(st.sampled_from(("1.1", "1.1", "1.0", "2.0")))
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n" * draw(st.sampled_from((0, 0, 1, 30)))
    head = f"HTTP/{version} {status} \xff\r\n{headers}{length}\r\n".encode("latin-1")
    whole_answer = hints + head + data
    return status, whole_answer[: draw(st.sampled_from((None, None, None, 5, len(hints + head), -1)))]


async def check_outcome(status: int, data: bytes) -> None:
    events = Events()
    async with RawServer((whole, answer(data))) as server:
        policy = Retry(base=0.0, attempts=3)
        async with connected(server.url, on_event=events, timeout=HANG_TIMEOUT, retry=policy) as client:
            error: IdeogramError | None = None
            async with asyncio.timeout(2 * HANG_TIMEOUT):
                try:
                    await client.generate("a fox")
                except IdeogramError as raised:
                    error = raised

        reported = [event.billed for event in events.of(Failed)]

        assert 1 == server.posts
        assert ([] if error is None else [error.billed]) == reported
        assert error is None or error.billed is not Billed.NO or 300 <= status < 500
        assert error is None or str(error) == str(copy.copy(error))


@settings(max_examples=250, suppress_health_check=list(HealthCheck), **THOROUGH)
@given(response=answers())
def test_invalid_response(response: tuple[int, bytes]) -> None:
    """A charged call with any response is sent once, ends, and never reports `NO` if it may be billed."""
    asyncio.run(check_outcome(*response))


@settings(max_examples=100, suppress_health_check=list(HealthCheck), **THOROUGH)
@given(data=st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    """A charged call with random bytes as a response never reports `NO`."""
    asyncio.run(check_outcome(0, data))


@pytest.mark.parametrize("status", [200, 204, 205, 206])
async def test_success_without_a_body(status: int) -> None:
    """A success without a body may be billed."""
    empty = f"HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n".encode()
    async with RawServer((whole, answer(empty))) as server, connected(server.url) as client:
        with pytest.raises(IdeogramError) as caught:
            await client.generate("a fox")

        assert (Billed.UNKNOWN, 1) == (caught.value.billed, server.posts)
