"""Route for deliveries: statuses, one call for each generation, and limits."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from attrs import field, frozen
from fastapi import FastAPI
from support.clients import CANARY, connected
from support.deliveries import BODY, GENERATION_ID, JWKS, NOW, RECORDED, Delivery, sign
from support.rawserver import RawServer, Script, status
from support.serving import SocketClient, serving

from ideogram_async import Retry
from ideogram_async.integrations.fastapi import install_error_handlers, webhook_router
from ideogram_async.integrations.fastapi.webhooks import MAX_BODY_BYTES
from ideogram_async.webhooks import WebhookEvent

KEYS: Script = status(200, json.dumps(JWKS).encode())
PATH = "/webhooks/ideogram"


@frozen
class App:
    """A running app with the route, and the events that it has passed on."""

    url: str
    keys: RawServer
    http: aiohttp.ClientSession
    events: list[WebhookEvent] = field(factory=list)

    async def post(self, delivery: Delivery, path: str = PATH) -> tuple[int, bytes]:
        async with self.http.post(
            self.url + path, data=io.BytesIO(delivery.body), headers=delivery.headers
        ) as response:
            return response.status, await response.read()

    async def status(self, delivery: Delivery, path: str = PATH) -> int:
        return (await self.post(delivery, path))[0]


@asynccontextmanager
async def running(*keys: Script, on_event: Callable[..., Any] | None = None, **options: Any) -> AsyncGenerator[App]:
    """Run an app with the route; without `on_event` it keeps the events."""
    events: list[WebhookEvent] = []
    async with (
        RawServer(*(keys or (KEYS,))) as server,
        connected(server.url, retry=Retry(attempts=1)) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        app = FastAPI()
        install_error_handlers(app)
        app.include_router(webhook_router(client, on_event=on_event or events.append, **options))
        async with serving(app) as url:
            yield App(url, server, http, events)


async def test_a_delivery_is_passed_on() -> None:
    """A delivery is answered with 204 without content, and passed on with its images."""
    async with running() as app:
        reply = await app.post(sign())

        assert (204, b"") == reply
        assert [(GENERATION_ID, BODY)] == [(event.generation_id, event.raw) for event in app.events]
        assert 2 == len(app.events[0].generation.images)
        assert not any(CANARY in str(request) for request in app.keys.requests)


@pytest.mark.parametrize("delivery", RECORDED, ids=lambda delivery: delivery.name)
async def test_recorded_deliveries(delivery: Delivery) -> None:
    """Each recorded delivery is accepted, or refused with 400 and its reason."""
    async with running(tolerance=None) as app:
        reply = await app.post(delivery)

        assert ((204, b"") if delivery.refused is None else (400, delivery.refused.encode())) == reply
        assert (delivery.refused is None) == bool(app.events)


async def test_a_stale_delivery_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A stale or unreadable delivery is authentic, so its id is logged; a forged one is not logged."""
    async with running() as app:
        with caplog.at_level(logging.WARNING, "ideogram_async"):
            replies = [
                await app.post(sign(timestamp=str(NOW - 10**6))),
                await app.post(sign(b"{")),
                await app.post(sign(key=3)),
            ]

        assert [(400, b"stale"), (400, b"unreadable"), (400, b"signature")] == replies
        assert [True, True] == [f"generation {GENERATION_ID} was refused" in each for each in caplog.messages]
        assert [] == app.events


async def test_keys_that_cannot_be_fetched() -> None:
    """Without keys the response is 503, so that the service repeats the delivery, which is then accepted."""
    async with running(status(503), KEYS) as app:
        statuses = [await app.status(sign()) for _ in range(2)]

        assert [503, 204] == statuses
        assert 1 == len(app.events)


async def test_forged_deliveries_by_the_thousand() -> None:
    """Forged deliveries cost one request for keys, and no event, however many of them arrive."""
    async with running() as app:
        statuses = set(await asyncio.gather(*(app.status(sign(key=3)) for _ in range(1000))))

        assert {400} == statuses
        assert 204 == await app.status(sign())
        assert 1 == len(app.keys.requests)
        assert 1 == len(app.events)


async def test_repeated_deliveries_act_once() -> None:
    """Deliveries of one generation are passed on once, one after another or at once."""
    async with running() as app:
        statuses = [await app.status(sign()) for _ in range(3)]
        statuses += await asyncio.gather(*(app.status(sign(generation_id=f"id-{n % 5}")) for n in range(100)))

        assert {204} == set(statuses)
        assert [GENERATION_ID, *(f"id-{n}" for n in range(5))] == sorted(
            (event.generation_id for event in app.events), key=lambda name: (name != GENERATION_ID, name)
        )


async def test_a_repeated_delivery_waits_for_the_first_one() -> None:
    """A delivery that arrives while another one of its generation is handled has the same outcome."""
    started, release, calls = asyncio.Event(), asyncio.Event(), 0

    async def keep(event: WebhookEvent) -> None:
        nonlocal calls
        calls += 1
        started.set()
        await release.wait()

    async with running(on_event=keep) as app:
        first = asyncio.create_task(app.status(sign()))
        await started.wait()
        second = asyncio.create_task(app.status(sign()))
        # The other generation is not delayed by the first one, and its response comes after the second request.
        await app.status(sign(key=3))

        assert not second.done()

        release.set()
        assert [204, 204] == [await first, await second]
        assert 1 == calls


async def test_an_event_that_fails_is_repeated() -> None:
    """If `on_event` raises, the response is a server error, and the next delivery calls it again."""
    calls: list[str] = []

    async def keep(event: WebhookEvent) -> None:
        calls.append(event.generation_id)
        if len(calls) == 1:
            raise ConnectionError("no database")

    async with running(on_event=keep) as app:
        statuses = [await app.status(sign()) for _ in range(3)]

        assert [500, 204, 204] == statuses
        assert [GENERATION_ID] * 2 == calls


async def test_concurrent_deliveries_of_an_event_that_fails() -> None:
    """If the first of several concurrent calls raises, exactly one other succeeds."""
    calls = 0

    async def keep(event: WebhookEvent) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise ConnectionError("no database")

    async with running(on_event=keep) as app:
        statuses = await asyncio.gather(*(app.status(sign()) for _ in range(10)))

        assert [204] * 9 + [500] == sorted(statuses)
        assert 2 == calls


async def test_the_number_of_remembered_generations_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest generations are remembered."""
    monkeypatch.setattr("ideogram_async.integrations.fastapi.webhooks.MAX_REMEMBERED", 3)
    async with running() as app:
        for name in ("a", "b", "c", "a", "d", "a"):
            await app.status(sign(generation_id=name))

        assert ["a", "b", "c", "d", "a"] == [event.generation_id for event in app.events]


async def test_the_size_of_a_body_is_limited() -> None:
    """A body that is too large is refused before it is read, with and without a length."""
    large = b"x" * (MAX_BODY_BYTES + 1)

    async def chunks() -> AsyncGenerator[bytes]:
        for at in range(0, len(large), 2**16):
            yield large[at : at + 2**16]

    padded = json.dumps({"data": []}).encode().ljust(MAX_BODY_BYTES)
    async with running() as app:
        assert 413 == await app.status(sign(large))
        async with app.http.post(app.url + PATH, data=chunks(), headers=sign(large).headers) as response:
            assert 413 == response.status

        assert 204 == await app.status(sign(padded))
        assert [MAX_BODY_BYTES] == [len(event.raw) for event in app.events]


async def test_a_client_that_disconnects(caplog: pytest.LogCaptureFixture) -> None:
    """A sender that disconnects amid its body causes no error."""
    async with running() as app:
        host, port = app.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc".encode())
        await writer.drain()
        writer.close()

        assert 204 == await app.status(sign())

    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_parameters_of_the_path() -> None:
    """The parameters of the path are passed on by name, such as the key of a job."""
    keys: list[str] = []

    def keep(event: WebhookEvent, key: str) -> None:
        keys.append(key)

    async with running(on_event=keep, path="/jobs/{key}") as app:
        assert 204 == await app.status(sign(), "/jobs/row%201")

    assert ["row 1"] == keys


async def test_a_header_that_was_sent_twice() -> None:
    """A repeated header reaches the check, although a mapping of headers shows the first one only."""
    async with running() as app:
        delivery = sign()
        pairs = [*delivery.headers.items(), ("X-Ideogram-Webhook-Timestamp", "1")]
        async with app.http.post(app.url + PATH, data=delivery.body, headers=pairs) as response:
            assert (400, b"malformed") == (response.status, await response.read())


async def test_other_requests() -> None:
    """A request without headers is refused, and other methods do not exist."""
    async with running() as app:
        assert (400, b"missing") == await app.post(Delivery({}, b""))
        client = await SocketClient.request(app.url, PATH)
        assert b"HTTP/1.1 405 Method Not Allowed\r\n" == await client.reader.readline()
        await client.disconnect()


def test_the_extra_is_named_when_the_app_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is not noticed at the first delivery only."""
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(ImportError, match=r"pip install 'ideogram-async\[webhooks\]'"):
        webhook_router(None, on_event=print)  # type: ignore[arg-type]
