"""Faults: a client cannot tell them from real failures, and they are billed like these."""

from __future__ import annotations

import asyncio
import json
import re

import aiohttp
import pytest

from ideogram_async.sandbox import Fault

GENERATE = "POST /v1/ideogram-v3/generate"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.reset_before_headers, aiohttp.ClientOSError),
        (Fault.reset_after_headers, aiohttp.ClientPayloadError),
        (Fault.close_after_body, aiohttp.ServerDisconnectedError),
        (Fault.cut_with_length, aiohttp.ClientPayloadError),
    ],
)
async def test_broken_connection(api, sandbox, fault, error):
    """The connection breaks once; the call ran and is billed."""
    sandbox.fail(fault=fault)
    with pytest.raises(error):
        await api.generate()

    again = await api.generate()

    assert 200 == again.status
    assert 2 == sandbox.ledger.billed_images
    assert [200, 200] == [arrival.status for arrival in sandbox.requests]


async def test_cut_without_length(api, sandbox):
    """Half of the reply arrives, and only its content shows that it is truncated."""
    sandbox.fail(fault=Fault.cut_without_length)

    answer = await api.generate()

    assert "Content-Length" not in answer.headers
    with pytest.raises(json.JSONDecodeError):
        answer.json  # noqa: B018
    assert 1 == sandbox.ledger.billed_images


async def test_refuse(api, sandbox):
    """The system refuses connections until the sandbox is released; no request arrives."""
    sandbox.fail(fault=Fault.refuse)
    with pytest.raises(aiohttp.ClientConnectorError):
        await api.generate()

    sandbox.release()

    assert 200 == (await api.generate()).status
    assert 1 == len(sandbox.requests)


async def test_refuse_later(api, sandbox):
    """The port closes when the calls before the fault have arrived, and a reset opens it."""
    sandbox.fail(after=2, fault=Fault.refuse)
    before = [(await api.generate()).status for _ in range(2)]
    with pytest.raises(aiohttp.ClientConnectorError):
        await api.generate()

    sandbox.reset()

    assert [200, 200] == before
    assert 200 == (await api.generate()).status


async def test_refuse_keeps_calls_in_flight(sandbox, api):
    """While the port refuses, idle connections are closed, and calls in flight keep theirs."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{sandbox.url}/datasets") as reply:
            await reply.read()

        sandbox.hold()
        running = asyncio.create_task(api.generate())
        await sandbox.wait_for_requests(2)
        sandbox.fail(times=2, fault=Fault.refuse)
        sandbox.fail(fault=Fault.refuse)
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{sandbox.url}/datasets")

        sandbox.release()

        assert 200 == (await running).status


async def test_refuse_images(api, sandbox):
    """The port of the images refuses independently."""
    generated = await api.generate()
    sandbox.fail("images", fault=Fault.refuse)
    with pytest.raises(aiohttp.ClientConnectorError):
        await api.image(generated.url)

    sandbox.release()

    assert 200 == (await api.image(generated.url)).status


async def test_hang(api, sandbox):
    """The reply is delayed until the sandbox is released."""
    sandbox.fail(fault=Fault.hang)
    hanging = asyncio.create_task(api.generate())
    await sandbox.wait_for_requests(1)
    others = await api.generate()

    assert not hanging.done()
    assert 2 == sandbox.ledger.billed_images

    sandbox.release()

    assert (200, 200) == (others.status, (await hanging).status)


async def test_drip(api, sandbox):
    """A reply may arrive byte by byte."""
    sandbox.fail(fault=Fault.drip(interval=0))

    answer = await api.generate()

    assert "a fox" == answer.json["data"][0]["prompt"]


async def test_drip_by_default(sandbox):
    """A drip stops when its client disconnects."""
    body = {"image_request": {"prompt": "a fox"}}
    sandbox.fail(fault=Fault.drip)
    async with aiohttp.ClientSession(headers={"Api-Key": "key"}) as session:
        reply = await session.post(f"{sandbox.url}/generate", json=body)
        first = await reply.content.read(1)
        reply.close()

    await sandbox.wait_idle()

    assert b"{" == first


async def test_garbage(api, sandbox):
    """The content type is JSON and the body is not."""
    sandbox.fail(fault=Fault.garbage_json)

    answer = await api.generate()

    assert "application/json" == answer.headers["Content-Type"]
    with pytest.raises(ValueError, match=r"."):
        answer.json  # noqa: B018


async def test_html_502(api, sandbox):
    """A gateway fails after the call ran."""
    sandbox.fail(fault=Fault.html_502)

    answer = await api.generate()

    assert 502 == answer.status
    assert b"<html>" in answer.body
    assert 1 == sandbox.ledger.billed_images


async def test_wrong_type(api, sandbox):
    """A captive portal answers 200."""
    sandbox.fail(fault=Fault.wrong_type)

    answer = await api.generate()

    assert (200, "text/html; charset=utf-8") == (answer.status, answer.headers["Content-Type"])


async def test_redirect(api, sandbox):
    """The client is redirected and nothing is billed; the default location is the image origin."""
    sandbox.fail(fault=Fault.redirect("http://127.0.0.1:9/", status=302))
    sandbox.fail(fault=Fault.redirect)

    first, second = await api.generate(), await api.generate()

    assert (302, "http://127.0.0.1:9/") == (first.status, first.headers["Location"])
    assert (307, f"{sandbox.image_url}/elsewhere") == (second.status, second.headers["Location"])
    assert 0 == sandbox.ledger.billed_images


async def test_status(api, sandbox):
    """Any status, body and headers can replace the work."""
    sandbox.fail(fault=Fault.status(503, '{"error": "later"}', {"Retry-After": "3"}))
    sandbox.fail(fault=Fault.status(500, b'{"error": "no"}'))

    busy, broken = await api.generate(), await api.generate()

    assert (503, "3", {"error": "later"}) == (busy.status, busy.headers["Retry-After"], busy.json)
    assert (500, "application/json") == (broken.status, broken.headers["Content-Type"])
    assert 0 == sandbox.ledger.billed_images
    assert [503, 500] == [arrival.status for arrival in sandbox.requests]


@pytest.mark.parametrize(
    ("body", "headers", "content_type", "sent"),
    [
        ({"error": "no \udc80"}, None, "application/json", b'{"error": "no \\udc80"}'),
        ([1, None], {"X-Reason": "test"}, "application/json", b"[1, null]"),
        ("é", {"content-type": "text/plain"}, "text/plain", "é".encode()),
        (b"\xff", {}, "application/json", b"\xff"),
        (None, None, None, b""),
    ],
)
async def test_bodies_of_a_status(api, sandbox, body, headers, content_type, sent):
    """The body is bytes, text, a value that becomes JSON, or nothing."""
    sandbox.fail(fault=Fault.status(401, body, headers))

    answer = await api.generate()

    assert (401, sent) == (answer.status, answer.body)
    assert content_type == answer.headers.get("Content-Type")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fault.status("401"), "code must be an integer, not '401'"),
        (lambda: Fault.status(True), "code must be a number, not True"),
        (lambda: Fault.status(100), "code must be between 200 and 999, not 100"),
        (lambda: Fault.status(500, 5), "body must be bytes, a string, a dict, a list or None, not 5"),
        (lambda: Fault.status(500, {"a": b""}), "bytes"),
        (lambda: Fault.status(500, "", {"Retry-After": 3}), "a header must be two strings, not 'Retry-After': 3"),
        (lambda: Fault.status(500, "", {"X": "a\r\nY: b"}), "is not a valid header"),
        (lambda: Fault.status(500, "", {"X Y": "a"}), "is not a valid header"),
        (lambda: Fault.redirect("/\n"), "is not a valid header"),
        (lambda: Fault.redirect(status=200), "status must be between 300 and 399, not 200"),
        (lambda: Fault.drip(-1), "interval must be at least 0, not -1"),
        (lambda: Fault.drip("slow"), "interval must be a number, not 'slow'"),
        (lambda: Fault.unsafe(0), "count must be at least 1, not 0"),
        (lambda: Fault.unsafe(1.5), "count must be an integer, not 1.5"),
        (lambda: Fault.pending(0), "polls must be at least 1, not 0"),
        (lambda: Fault.failed(5), "reason must be a string, not 5"),
        (lambda: Fault.rejected(None), "reason must be a string, not None"),
        (lambda: Fault.error_in_body(200), "code must be between 400 and 599, not 200"),
        (lambda: Fault.webhook_late("long"), "seconds must be a number, not 'long'"),
        (lambda: Fault.webhook_repeated(1), "count must be at least 2, not 1"),
        (lambda: Fault("paint"), "'kind' must be in"),
    ],
)
def test_a_fault_that_cannot_be_sent(make, message):
    """A fault with invalid arguments is an error when it is made."""
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("operation", "arguments", "message"),
    [
        ("paint", {}, "unknown operation 'paint'; expected a path"),
        (5, {}, "operation must be a string or None, not 5"),
        (None, {"fault": "hang"}, "fault must be a Fault such as Fault.hang, not 'hang'"),
        (None, {"fault": None}, "fault must be a Fault"),
        (None, {"fault": dict}, "fault must be a Fault"),
        (None, {"times": 0}, "times must be at least 1, not 0"),
        (None, {"times": "2"}, "times must be an integer, not '2'"),
        (None, {"after": -1}, "after must be at least 0, not -1"),
        (None, {"after": 0.5}, "after must be an integer, not 0.5"),
    ],
)
async def test_invalid_injection(api, sandbox, operation, arguments, message):
    """An invalid argument is an error at once, and plans nothing."""
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        sandbox.fail(operation, **{"fault": Fault.status(500), **arguments})

    assert 200 == (await api.generate()).status


async def test_unsafe(api, sandbox):
    """Withheld images have no link, in three forms, and are billed."""
    sandbox.fail(fault=Fault.unsafe(3))

    answer = await api.generate(num_images="4")
    links = [image.get("url", "absent") for image in answer.json["data"]]

    assert [False, False, False, True] == [image["is_image_safe"] for image in answer.json["data"]]
    assert [None, "", "absent"] == links[:3]
    assert 4 == sandbox.ledger.billed_images


async def test_unsafe_layers(api, sandbox, png):
    """A required link is empty."""
    sandbox.fail(fault=Fault.unsafe())

    answer = await api.form("/v1/ideogram-v3/layerize-text", [("image", ("a.png", png))])

    assert "" == answer.json["base_image_url"]


@pytest.mark.parametrize("operation", [GENERATE, "/v1/ideogram-v3/generate", "ideogram-v3/generate", None])
async def test_names_of_operations(api, sandbox, operation):
    """An operation is named in full, by its path, by the end of its path, or not at all."""
    sandbox.fail(operation, fault=Fault.status(500))

    assert 500 == (await api.generate()).status
    assert 200 == (await api.generate()).status


async def test_other_operations_succeed(api, sandbox):
    """A fault affects only its own operation."""
    sandbox.fail("/generate", fault=Fault.status(500))

    assert 200 == (await api.generate()).status


async def test_times_and_after(api, sandbox):
    """Faults can be delayed, repeated and queued."""
    sandbox.fail(times=2, after=1, fault=Fault.status(500))
    sandbox.fail(after=2, fault=Fault.status(503))

    statuses = [(await api.generate()).status for _ in range(5)]

    assert [200, 500, 500, 503, 200] == statuses


async def test_a_refused_call_is_never_billed(api, sandbox):
    """A refused call is not billed, even if a fault changes its reply."""
    sandbox.fail(fault=Fault.html_502)

    await api.generate(num_images="9")

    assert 0 == sandbox.ledger.billed_images


async def test_cut_image(api, sandbox):
    """An image is truncated once."""
    generated = await api.generate()
    sandbox.fail(fault=Fault.cut)
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.image(generated.url)

    assert 200 == (await api.image(generated.url)).status


async def test_cut_image_without_length(api, sandbox):
    """Faults of replies also affect images; only the image's own content shows this one."""
    generated = await api.generate()
    sandbox.fail("images", fault=Fault.cut_without_length)

    half, whole = await api.image(generated.url), await api.image(generated.url)

    assert len(whole.body) // 2 == len(half.body)


async def test_not_an_image(api, sandbox):
    """An HTML page arrives with the content type of an image."""
    generated = await api.generate()
    sandbox.fail(fault=Fault.not_an_image)

    answer = await api.image(generated.url)

    assert (200, "image/png") == (answer.status, answer.headers["Content-Type"])
    assert answer.body.startswith(b"<!doctype html>")


async def test_expired_image(api, sandbox):
    """A link expires once."""
    generated = await api.generate()
    sandbox.fail(fault=Fault.expired)

    assert 403 == (await api.image(generated.url)).status
    assert 200 == (await api.image(generated.url)).status


async def test_image_status_and_hang(api, sandbox):
    """An image may be unavailable or delayed."""
    generated = await api.generate()
    sandbox.fail("images", fault=Fault.status(503))
    sandbox.fail("images", after=1, fault=Fault.hang)

    missing = await api.image(generated.url)
    hanging = asyncio.create_task(api.image(generated.url))
    while len(sandbox.image_requests) < 2:
        await asyncio.sleep(0)
    sandbox.release()

    assert (503, 200) == (missing.status, (await hanging).status)


async def test_endless_image(api, sandbox, session):
    """An endless image stops when the client disconnects."""
    generated = await api.generate()
    sandbox.fail(fault=Fault.endless)
    async with session.get(generated.url) as reply:
        start = await reply.content.readexactly(2**20)

    assert reply.content_length is None
    assert start.startswith(b"\x89PNG")
