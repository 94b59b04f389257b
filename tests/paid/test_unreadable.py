"""Successes that are truncated or cannot be read: they were billed, are never resent, and their bytes are kept."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support.batches import collect
from support.clients import Events, connected
from support.rawserver import GOOD, OK, RawServer, Script, answer, drip, raw_response, reset, stall, status, whole

from ideogram_async import Billed, DecodeError, Generate, Ideogram, JobState, Retry
from ideogram_async.events import Failed, Sending
from ideogram_async.sandbox import Fault, Sandbox

HALF = GOOD[: len(GOOD) - 20]
HTML = b"<!doctype html><title>Welcome</title><h1>Sign in</h1>"
ZIPPED = gzip.compress(GOOD)
LINK = json.loads(GOOD)["data"][0]["url"]
CHUNKED = {"Transfer-Encoding": "chunked"}

CUT: dict[str, Script] = {
    "cut inside its length": status(200, HALF),
    "shorter than announced": (whole, answer(raw_response(200, HALF, {"Content-Length": str(len(GOOD))}))),
    "a chunk is missing": (whole, answer(raw_response(200, f"{len(HALF):x}\r\n".encode() + HALF + b"\r\n", CHUNKED))),
    "no length, then closed": (whole, answer(raw_response(200, b"").replace(b"Content-Length: 0\r\n", b"") + HALF)),
    "no length, then reset": (
        whole,
        answer(raw_response(200, b"").replace(b"Content-Length: 0\r\n", b"") + HALF),
        reset,
    ),
}
UNREADABLE: dict[str, Script] = {
    **CUT,
    "no byte of its length": (whole, answer(raw_response(200, b"", {"Content-Length": "331"}))),
    "cut while compressed": status(200, ZIPPED[:-20], {"Content-Encoding": "gzip"}),
    "not compressed at all": status(200, HALF, {"Content-Encoding": "gzip"}),
    "a page with a link": status(200, HTML + b"<a href='https://x.test/'>", {"Content-Type": "text/html"}),
    "null": status(200, b"null"),
    "a list": status(200, b"[]"),
    "too deep": status(200, b"[" * 200_000),
    "no UTF-8": status(200, b'{"created": "\xff"}'),
    "drips": (whole, answer(raw_response(200, b"", {"Content-Length": "1000"})), drip(HALF)),
    "stops": (whole, answer(raw_response(200, HALF, {"Content-Length": "1000"})), stall),
}
NO_CONTENT: dict[str, Script] = {
    "a captive page": status(200, HTML, {"Content-Type": "text/html"}),
    "text of a page": status(200, b"Sign in", {"Content-Type": "text/html; charset=utf-8"}),
    "nothing": status(200),
    "nothing, compressed": status(200, gzip.compress(b""), {"Content-Encoding": "gzip"}),
    "204": status(204),
}
ENDINGS = [(script, Billed.YES) for script in UNREADABLE.values()] + [
    (script, Billed.UNKNOWN) for script in NO_CONTENT.values()
]


@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize(("script", "billed"), ENDINGS, ids=[*UNREADABLE, *NO_CONTENT])
async def test_unreadable(script: Script, billed: Billed, ambiguous: bool) -> None:
    """A success that cannot be read was billed, unless it has no content of the service, and no setting resends it."""
    async with RawServer(script, OK) as server:
        events = Events()
        policy = Retry(base=0.0, ambiguous=ambiguous)
        async with connected(server.url, on_event=events, timeout=1.0, retry=policy) as client:
            with pytest.raises(DecodeError) as caught:
                await client.generate("a fox")

        assert (billed, False) == (caught.value.billed, caught.value.retryable)
        assert [billed] == [event.billed for event in events.of(Failed)]
        assert (1, 1) == (server.connections, len(events.of(Sending)))


@pytest.mark.parametrize("script", CUT.values(), ids=CUT)
async def test_bytes_are_kept(script: Script) -> None:
    """The error contains the received bytes and the links in them."""
    async with RawServer(script) as server:
        async with connected(server.url) as client:
            with pytest.raises(DecodeError) as caught:
                await client.generate("a fox")

        assert (HALF, (LINK,)) == (caught.value.raw, caught.value.links)


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_too_large(headers: dict[str, str]) -> None:
    """A reply is read up to 8 MiB, compressed or not, and its beginning is kept."""
    body = b'{"u": "https://ideogram.ai/x", "pad": "' + b" " * (64 * 2**20)
    sent = gzip.compress(body, 1) if headers else body[: 9 * 2**20]
    async with RawServer(status(200, sent, headers), OK) as server:
        async with connected(server.url) as client:
            with pytest.raises(DecodeError, match="more than 8388608 bytes") as caught:
                await client.generate("a fox")

        assert (Billed.YES, ("https://ideogram.ai/x",)) == (caught.value.billed, caught.value.links)
        assert len(caught.value.raw) <= 8 * 2**20 + 2**17
        assert 1 == server.connections


async def generated(change: dict[str, Any]) -> Any:
    """Return the usual answer to a generation, with changes."""
    async with RawServer(status(200, json.dumps(json.loads(GOOD) | change).encode()), OK) as server:
        async with connected(server.url) as client:
            images = await client.generate("a fox", num_images=2)

        assert 1 == server.connections
        return images


async def test_additions() -> None:
    """Unknown keys and values are kept and raise no error."""
    image = json.loads(GOOD)["data"][0] | {"style_type": "BAROQUE", "mood": "calm"}
    images = await generated({"data": [image], "notice": "be kind"})

    assert {"notice": "be kind"} == images.extra
    assert ("BAROQUE", {"mood": "calm"}) == (images.data[0].style_type, images.data[0].extra)


@pytest.mark.parametrize("body", [b'{"created": "2026-01-02"}', b'{"created": "2026-01-02", "data": null}'])
async def test_no_data(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An answer without images is empty, its bytes are kept, and the log says so."""
    async with RawServer(status(200, body), OK) as server:
        async with connected(server.url) as client:
            images = await client.generate("a fox")

        assert ([], body, 1) == (list(images), images.meta.raw, server.connections)
        assert images.meta.is_empty
        assert ["POST /v1/ideogram-v3/generate: the answer has no items; request id None"] == caplog.messages


async def test_empty_in_a_batch(
    ideogram_client: Ideogram, ideogram_sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A job whose answer has no images is logged as well."""
    ideogram_sandbox.fail(fault=Fault.status(200, b'{"created": "2026-01-02", "data": []}'))
    (result,) = await collect(ideogram_client, [Generate("a fox")], tmp_path)

    assert (JobState.PARTIAL, True) == (result.state, result.answer is not None and result.answer.meta.is_empty)
    assert 1 == sum("no items" in message for message in caplog.messages)


async def test_not_empty(caplog: pytest.LogCaptureFixture) -> None:
    """An answer with images is not empty, nor is an empty list that costs nothing."""
    async with RawServer(OK, status(200, b'{"models": []}')) as server, connected(server.url) as client:
        images, models = await client.generate("a fox"), await client.models.list()

    assert (False, False) == (images.meta.is_empty, models.meta.is_empty)
    assert [] == caplog.messages


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_another_number_of_images(count: int) -> None:
    """An answer may contain fewer or more images than requested."""
    images = await generated({"data": json.loads(GOOD)["data"] * count})

    assert count == len(list(images))


@pytest.mark.parametrize("withheld", [{"url": None}, {"url": ""}, {}])
async def test_withheld(withheld: dict[str, Any]) -> None:
    """A withheld image has no link, and that is not an error."""
    safe = json.loads(GOOD)["data"][0]
    other = {name: value for name, value in safe.items() if name != "url"} | withheld | {"is_image_safe": False}
    images = await generated({"data": [safe, other]})

    assert [(True, LINK), (False, None)] == [(image.is_image_safe, image.url) for image in images]
