"""Deliveries of results to a webhook URL: signed, repeated, and faulty."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from support.contract_v2 import answer_problems
from support.hooks import HookReceiver, receiving

from ideogram_async import webhooks
from ideogram_async.errors import WebhookError
from ideogram_async.sandbox import Fault, Sandbox

PATH = "/v2/image/generate/ideogram-4-5"
KEYS = "/v1/.well-known/jwks.json"


@pytest.fixture
async def hook() -> AsyncGenerator[HookReceiver]:
    """A receiver that answers 204."""
    async with receiving() as receiver:
        yield receiver


async def accept(api: Any, url: str, **fields: Any) -> str:
    """Have a call accepted, wait for its deliveries, and return its id."""
    answer = await api.post(PATH, {"prompt": "a fox", "webhook_url": url, **fields})
    await api.sandbox.wait_idle()
    return str(answer.json["generation_id"])


async def test_delivery(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """A completed generation is delivered once, with a signature that the published keys verify."""
    generation_id = await accept(api, hook.url, num_images=2)
    keys = await api.call("GET", sandbox.url + KEYS)

    [(headers, body)] = hook.received
    event = webhooks.unwrap(body, headers, keys=keys.json)
    polled = await api.get(f"/v2/generations/{generation_id}")

    assert [] == answer_problems(keys.json, "WebhookSigningJwks")
    assert [] == answer_problems(json.loads(body), "WebhookDelivery")
    assert generation_id == event.generation_id
    assert polled.json["data"] == json.loads(body)["data"]
    assert [(generation_id, 204)] == [(delivery.generation_id, delivery.status) for delivery in sandbox.deliveries]


async def test_delivery_comes_at_the_end(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """Nothing is delivered while a generation is pending."""
    sandbox.hold()
    await api.post(PATH, {"prompt": "a fox", "webhook_url": hook.url})
    before = list(hook.received)
    sandbox.release()
    await sandbox.wait_idle()

    assert (0, 1) == (len(before), len(hook.received))


@pytest.mark.parametrize(("statuses", "attempts"), [((500, 302, 204), 3), ((503,), 3), ((200,), 1)])
async def test_repeated_until_2xx(api: Any, sandbox: Sandbox, statuses: tuple[int, ...], attempts: int) -> None:
    """A delivery is repeated, with the same headers and body, until it is answered with 2xx, but not for ever."""
    async with receiving(*statuses) as hook:
        await accept(api, hook.url)

    assert attempts == len(hook.received) == len(sandbox.deliveries)
    assert 1 == len({body for _, body in hook.received})
    assert 1 == len({headers["X-Ideogram-Webhook-Timestamp"] for headers, _ in hook.received})


async def test_nobody_listens(api: Any, sandbox: Sandbox) -> None:
    """A delivery that no server receives is recorded without a status; the generation is not harmed."""
    async with receiving() as hook:
        pass

    await accept(api, hook.url)

    assert [None] * 3 == [delivery.status for delivery in sandbox.deliveries]
    assert "completed" == sandbox.generations[0].status


async def test_other_hosts(api: Any, sandbox: Sandbox) -> None:
    """A URL of another machine is accepted, and receives nothing."""
    await accept(api, "https://example.com/hook")

    assert [] == sandbox.deliveries
    assert "completed" == sandbox.generations[0].status


@pytest.mark.parametrize("url", ["http://example.com/hook", "ftp://127.0.0.1/", "hook", "https://", "https://a:b/"])
async def test_invalid_url(api: Any, sandbox: Sandbox, url: str) -> None:
    """A URL that cannot be a webhook is refused."""
    answer = await api.post(PATH, {"prompt": "a fox", "webhook_url": url})

    assert 400 == answer.status
    assert answer.json["error"].startswith("webhook_url: ")
    assert [] == sandbox.generations


async def test_without_a_webhook(api: Any) -> None:
    """Operations that deliver nothing know no `webhook_url`."""
    body = {"resolution": "512x1536", "image_asset_identifier": {"asset_type": "RESPONSE", "asset_id": "x"}}
    answer = await api.post("/v2/image/reframe/ideogram-3", {**body, "webhook_url": "https://example.com/hook"})

    assert (400, "webhook_url: is not a field of this operation") == (answer.status, answer.json["error"])


async def test_failed_generation_is_not_delivered(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """A failed generation calls no webhook."""
    sandbox.fail(PATH, fault=Fault.failed())
    await accept(api, hook.url)

    assert [] == hook.received


async def test_absent(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """With the fault, a completed generation is never delivered."""
    sandbox.fail(PATH, fault=Fault.webhook_absent)
    await accept(api, hook.url)

    assert [] == hook.received
    assert "completed" == sandbox.generations[0].status


async def test_repeated(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """With the fault, a delivery comes again although it was answered with 2xx."""
    sandbox.fail(PATH, fault=Fault.webhook_repeated(4))
    await accept(api, hook.url)

    assert 4 == len(hook.received)
    assert 1 == len({body for _, body in hook.received})


async def test_late(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """A late delivery has a genuine signature that is too old."""
    sandbox.fail(PATH, fault=Fault.webhook_late(301.0))
    generation_id = await accept(api, hook.url)
    keys = await api.call("GET", sandbox.url + KEYS)

    [(headers, body)] = hook.received
    with pytest.raises(WebhookError) as raised:
        webhooks.unwrap(body, headers, keys=keys.json)

    assert "stale" == raised.value.reason
    assert generation_id == webhooks.unwrap(body, headers, keys=keys.json, tolerance=None).generation_id


async def test_forged(api: Any, sandbox: Sandbox, hook: HookReceiver) -> None:
    """A forged delivery, which no key verifies, comes before the genuine one."""
    sandbox.fail(PATH, fault=Fault.webhook_forged)
    generation_id = await accept(api, hook.url)
    keys = await api.call("GET", sandbox.url + KEYS)

    (forged_headers, forged), (headers, body) = hook.received
    with pytest.raises(WebhookError) as raised:
        webhooks.unwrap(forged, forged_headers, keys=keys.json)

    assert "signature" == raised.value.reason
    assert generation_id == webhooks.unwrap(body, headers, keys=keys.json).generation_id


async def test_missing_package(api: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `cryptography` only calls that need a signature are refused, with the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    refused = await api.post(PATH, {"prompt": "a fox", "webhook_url": "http://127.0.0.1:9/hook"})
    accepted = await api.post(PATH, {"prompt": "a fox", "async": True})
    keys = await api.call("GET", sandbox.url + KEYS)

    assert [400, 200, 200] == [answer.status for answer in (refused, accepted, keys)]
    assert "pip install 'ideogram-async[webhooks]'" in refused.json["error"]
