"""Keys of webhooks: cached, and fetched rarely, however many deliveries arrive at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.clients import CANARY, connected
from support.deliveries import BODY, GENERATION_ID, JWKS, NOW, RECORDED, Delivery, sign
from support.rawserver import RawServer, Script, answer, raw_response, stall, status, whole

from ideogram_async import Ideogram, IdeogramError, NotSentError, Retry, ServerError, WebhookError, v2, webhooks
from ideogram_async._pipeline.webhook_keys import MAX_AGE, MIN_INTERVAL, WebhookKeys

ONCE = Retry(attempts=1)
OLD = {"keys": JWKS["keys"][1:]}
DOWN: Script = status(503)


def key_set(value: object = JWKS) -> Script:
    return status(200, json.dumps(value).encode())


class Clock:
    """A clock that only a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def serving_keys(*scripts: Script, **options: Any) -> AsyncGenerator[tuple[Ideogram, RawServer, Clock]]:
    """Open a client whose keys come from scripts, and whose cache has a clock of its own."""
    async with RawServer(*scripts) as server, connected(server.url, retry=ONCE, **options) as client:
        clock = Clock()
        client._pipeline.config.webhook_keys._clock = clock
        yield client, server, clock


async def unwrap(client: Ideogram, delivery: Delivery | None = None) -> str:
    """Return the id of the key that verifies a delivery, or the reason why it is refused."""
    delivery = delivery or sign()
    try:
        return (await client.webhooks.unwrap(delivery.body, delivery.headers)).key_id
    except WebhookError as error:
        return error.reason


async def test_the_keys_need_no_api_key() -> None:
    """The keys are public: the API key is neither sent nor needed."""
    async with serving_keys(key_set(), api_key="") as (client, server, _):
        keys = await client.webhooks.keys()
        event = await client.webhooks.unwrap(sign().body, sign().headers)

        assert ["test-2026-11", "test-2026-05"] == [key.kid for key in keys]
        assert GENERATION_ID == event.generation_id
        assert {"GET /v1/.well-known/jwks.json HTTP/1.1"} == {request.line for request in server.requests}

    async with serving_keys(key_set(), api_key=CANARY) as (client, server, _):
        await client.webhooks.keys()

        assert not any(CANARY in f"{request}" for request in server.requests)


async def test_fetched_keys_can_be_passed_to_the_pure_function() -> None:
    """The answer of `keys` is what `webhooks.unwrap` takes."""
    async with serving_keys(key_set()) as (client, _, _):
        keys = await client.webhooks.keys()

    assert "test-2026-11" == webhooks.unwrap(BODY, RECORDED[0].headers, keys, now=NOW).key_id


async def test_the_generation_of_a_delivery() -> None:
    """A delivery has the images of its generation, with the id that is signed, and the body as its reply."""
    body = json.dumps({**json.loads(BODY), "generation_id": "other", "new": 1}).encode()
    async with serving_keys(key_set()) as (client, _, _):
        event = await client.webhooks.unwrap(body, sign(body).headers)

    generation = event.generation

    assert isinstance(generation, v2.Generation)
    assert (GENERATION_ID, 2, 2026) == (generation.generation_id, len(generation), generation.created.year)  # type: ignore[union-attr]
    assert [(12345, True), (12346, False)] == [(image.seed, image.is_image_safe) for image in generation.images]
    assert [True, False] == [image.url is not None for image in generation.images]
    assert {"new": 1} == generation.extra
    assert body == generation.meta.raw


async def test_forged_deliveries_by_the_thousand() -> None:
    """However many forged deliveries arrive, the keys are fetched at most once a minute."""
    forged = sign(key=3)
    async with serving_keys(key_set()) as (client, server, clock):
        reasons = {await unwrap(client) for _ in range(1000)}
        for _ in range(3):
            reasons |= set(await asyncio.gather(*(unwrap(client, forged) for _ in range(1000))))

        assert {"signature", "test-2026-11"} == reasons
        assert 1 == len(server.requests)

        for minute in range(1, 4):
            clock.now += MIN_INTERVAL
            assert {"signature"} == set(await asyncio.gather(*(unwrap(client, forged) for _ in range(500))))
            assert {"signature"} == {await unwrap(client, forged) for _ in range(500)}
            assert 1 + minute == len(server.requests)


async def test_malformed_deliveries_fetch_nothing() -> None:
    """A delivery that cannot be verified with any key costs no request."""
    async with serving_keys(key_set()) as (client, server, _):
        reasons = {await unwrap(client, sign().changed(**{name: None})) for name in ("signature", "timestamp")}
        reasons |= {await unwrap(client, sign().changed(signature="00"))}

        assert {"missing", "malformed"} == reasons
        assert 0 == len(server.requests)


async def test_a_new_key() -> None:
    """A delivery that a new key has signed is accepted, after a fetch that concurrent callers share."""
    async with serving_keys(key_set(OLD), key_set()) as (client, server, clock):
        assert "test-2026-05" == await unwrap(client, sign(key=2))
        assert "signature" == await unwrap(client, sign(key=1))

        clock.now += MIN_INTERVAL
        assert ["test-2026-11"] * 100 == await asyncio.gather(*(unwrap(client, sign(key=1)) for _ in range(100)))
        assert 2 == len(server.requests)


async def test_keys_that_another_caller_has_fetched() -> None:
    """A caller whose keys verified nothing uses newer ones of the cache, without a fetch."""

    async def fetch() -> v2.WebhookSigningJwks:
        return v2.WebhookSigningJwks(signing_keys=())

    async def refuse() -> v2.WebhookSigningJwks:
        raise AssertionError("fetched too early")

    clock = Clock()
    cache = WebhookKeys(clock)
    old = await cache.current(fetch)

    assert await cache.newer(old, refuse) is None

    clock.now += MIN_INTERVAL
    new = await cache.newer(old, fetch)

    assert new is not old
    assert new is await cache.newer(old, refuse)


async def test_a_delivery_during_a_fetch() -> None:
    """A delivery that arrives while the keys are being fetched waits for them."""
    async with serving_keys(key_set(OLD), (whole, stall, *key_set()[1:])) as (client, server, clock):
        await unwrap(client, sign(key=2))
        clock.now += MIN_INTERVAL
        first = asyncio.create_task(unwrap(client))
        await server.wait_for_requests(2)
        second = asyncio.create_task(unwrap(client))
        await asyncio.sleep(0)
        server.released.set()

        assert ["test-2026-11"] * 2 == [await first, await second]
        assert 2 == len(server.requests)


async def test_keys_are_used_for_a_day() -> None:
    """Keys older than 24 hours are fetched again, so that a retired one is not accepted for ever."""
    async with serving_keys(key_set(), key_set(OLD)) as (client, server, clock):
        await unwrap(client)
        clock.now += MAX_AGE
        assert "test-2026-11" == await unwrap(client)
        assert 1 == len(server.requests)

        clock.now += 1
        assert "signature" == await unwrap(client)
        assert 2 == len(server.requests)


async def test_views_share_the_keys() -> None:
    """Views of a client share its keys, and its limit."""
    async with serving_keys(key_set()) as (client, server, _):
        await unwrap(client)
        await unwrap(client.with_options(timeout=5), sign(key=3))

        assert 1 == len(server.requests)


def test_event_loops_share_the_keys() -> None:
    """A client that works in one event loop after another keeps its keys."""
    fetches = 0

    async def fetch() -> v2.WebhookSigningJwks:
        nonlocal fetches
        fetches += 1
        return v2.WebhookSigningJwks(signing_keys=())

    cache = WebhookKeys()
    for _ in range(3):
        asyncio.run(cache.current(fetch))  # type: ignore[arg-type]

    assert 1 == fetches


def test_event_loops_do_not_wait_for_each_other() -> None:
    """A caller does not wait for the fetch of another event loop, which may never go on."""

    async def never() -> v2.WebhookSigningJwks:
        return await asyncio.Future()

    async def fetch() -> v2.WebhookSigningJwks:
        return v2.WebhookSigningJwks(signing_keys=())

    async def begin() -> asyncio.Task[v2.WebhookSigningJwks]:
        task = asyncio.create_task(cache.current(never))
        await asyncio.sleep(0)
        return task

    cache = WebhookKeys()
    with asyncio.Runner() as other:
        task = other.run(begin())

        assert () == asyncio.run(cache.current(fetch)).signing_keys  # type: ignore[arg-type]
        assert not task.done()


async def test_keys_that_cannot_be_fetched() -> None:
    """Without keys the error of the fetch is raised; the next delivery may fetch them at once."""
    async with serving_keys(DOWN, key_set()) as (client, server, _):
        with pytest.raises(ServerError):
            await unwrap(client)

        assert "test-2026-11" == await unwrap(client)
        assert "signature" == await unwrap(client, sign(key=3))
        assert 2 == len(server.requests)


async def test_a_fetch_that_fails_again_and_again() -> None:
    """While the keys cannot be fetched, the pause between fetches grows to a minute."""
    async with serving_keys(DOWN) as (client, server, clock):
        for _ in range(600):
            with pytest.raises(ServerError):
                await unwrap(client)

            clock.now += 1

        # After 0, 1, 5, 13, 29, 61 and then every 60 seconds.
        assert 14 == len(server.requests)


async def test_a_new_key_that_cannot_be_fetched() -> None:
    """A delivery that may be signed by a new key is not called forged while the keys cannot be fetched."""
    async with serving_keys(key_set(OLD), DOWN, DOWN, key_set()) as (client, server, clock):
        await unwrap(client, sign(key=2))
        clock.now += MIN_INTERVAL
        for _ in range(5):
            with pytest.raises(ServerError):
                await unwrap(client)

        assert "test-2026-05" == await unwrap(client, sign(key=2))
        assert 3 == len(server.requests)

        clock.now += MIN_INTERVAL
        assert "test-2026-11" == await unwrap(client)


async def test_an_error_is_not_shared() -> None:
    """Callers that share a failed fetch have an error each."""
    async with serving_keys(DOWN) as (client, server, _):
        errors = await asyncio.gather(
            *(client.webhooks.unwrap(BODY, sign().headers) for _ in range(10)), return_exceptions=True
        )

        assert 10 == len({id(error) for error in errors})
        assert {ServerError} == {type(error) for error in errors}
        assert 1 == len(server.requests)


async def test_unusable_keys_do_not_hide_the_others() -> None:
    """Keys of another kind, and ones that break the contract, do not prevent that the others are used."""
    others = [{"kty": "RSA", "n": "AQAB"}, {"kty": "OKP", "crv": "Ed25519", "x": 5, "key_ops": []}, {"x": None}]
    async with serving_keys(key_set({"keys": [*others, *JWKS["keys"]]})) as (client, _, _):
        assert "test-2026-11" == await unwrap(client)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"keys": {}}'])
async def test_a_response_without_keys(body: bytes) -> None:
    """A page or another document in place of the keys is not a set without keys."""
    async with serving_keys(status(200, body)) as (client, _, _):
        with pytest.raises(IdeogramError):
            await unwrap(client)


async def test_a_cancelled_caller_does_not_end_the_fetch() -> None:
    """The caller that began a fetch may be cancelled; the others get its keys."""
    async with serving_keys((whole, stall, answer(raw_response(200, json.dumps(JWKS).encode())))) as (
        client,
        server,
        _,
    ):
        first = asyncio.create_task(unwrap(client))
        await server.wait_for_requests(1)
        others = [asyncio.create_task(unwrap(client)) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        server.released.set()

        assert ["test-2026-11"] * 5 == await asyncio.gather(*others)
        assert first.cancelled()
        assert 1 == len(server.requests)


async def test_closing_the_client_ends_the_fetch() -> None:
    """A fetch that takes long ends with the client."""
    async with serving_keys((whole, stall)) as (client, server, _):
        task = asyncio.create_task(unwrap(client))
        await server.wait_for_requests(1)
        await client.aclose(grace=0)
        with pytest.raises(IdeogramError):
            await task


async def test_a_slow_fetch_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service waits for the response to its delivery, so the fetch ends in time."""
    monkeypatch.setattr("ideogram_async._namespaces_v2.FETCH_SECONDS", 0.05)
    async with serving_keys((whole, stall)) as (client, _, _):
        with pytest.raises(IdeogramError, match=r"deadline"):
            await unwrap(client)


async def test_an_unreachable_service() -> None:
    """If the service is unreachable, nothing was sent, and the delivery is not called forged."""
    async with connected("http://127.0.0.1:9", retry=ONCE) as client:
        with pytest.raises(NotSentError):
            await unwrap(client)
