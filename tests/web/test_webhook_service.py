"""Route for deliveries against the sandbox: what it delivers arrives once, late, repeated and forged or not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI
from support.batches import TIMEOUT, collect
from support.serving import serving

from ideogram_async import Ideogram, Job, JobState, v2
from ideogram_async.batch import Folder
from ideogram_async.integrations.fastapi import webhook_router
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.webhooks import WebhookEvent

OPERATION = "/v2/image/generate/ideogram-4-5"
KEYS = "/v1/.well-known/jwks.json"


async def deliver(client: Ideogram, sandbox: Sandbox, count: int = 1, *, fails: int = 0) -> list[WebhookEvent]:
    """Have calls accepted, and return the events that arrive at an app.

    Args:
        client: The client, which both sends the calls and receives the deliveries.
        sandbox: The service.
        count: The number of calls.
        fails: The number of events whose handler raises.
    """
    events: list[WebhookEvent] = []

    async def keep(event: WebhookEvent) -> None:
        nonlocal fails
        if fails:
            fails -= 1
            raise ConnectionError("no database")

        events.append(event)

    app = FastAPI()
    app.include_router(webhook_router(client, on_event=keep, path="/hooks/ideogram"))
    async with serving(app) as url:
        fields = {"prompt": "a fox", "num_images": 2, "webhook_url": f"{url}/hooks/ideogram"}
        await asyncio.gather(*(client.raw("POST", OPERATION, json=fields, weight=0) for _ in range(count)))
        await sandbox.wait_idle()

    return events


def key_requests(sandbox: Sandbox) -> list[dict[str, str]]:
    return [dict(request.headers) for request in sandbox.requests if request.path == KEYS]


async def test_the_images_of_a_delivery_can_be_downloaded(client: Ideogram, sandbox: Sandbox) -> None:
    """A delivery has what a poll returns: images with links that work."""
    [event] = await deliver(client, sandbox)
    polled = (await client.raw("GET", f"/v2/generations/{event.generation_id}")).json()

    assert [image["url"] for image in polled["data"]] == [image.url for image in event.generation.images]
    assert b"\x89PNG" == (await client.fetch(event.generation.images[0]))[:4]
    assert 1 == len(key_requests(sandbox))
    assert not any("api-key" in {name.lower() for name in headers} for headers in key_requests(sandbox))


@pytest.mark.parametrize("fault", [Fault.webhook_repeated(3), Fault.webhook_forged], ids=["repeated", "forged"])
async def test_a_delivery_that_arrives_more_than_once(client: Ideogram, sandbox: Sandbox, fault: Fault) -> None:
    """Repeated and forged deliveries do not act a second time."""
    sandbox.fail(OPERATION, fault=fault, times=4)
    events = await deliver(client, sandbox, count=4)

    assert 4 == len({event.generation_id for event in events}) == len(events)
    assert 8 <= len(sandbox.deliveries)


async def test_a_late_delivery(client: Ideogram, sandbox: Sandbox) -> None:
    """A stale delivery is refused, however often it is repeated; its generation can be polled."""
    sandbox.fail(OPERATION, fault=Fault.webhook_late(301.0))
    events = await deliver(client, sandbox)
    [generation_id] = {delivery.generation_id for delivery in sandbox.deliveries}

    assert [] == events
    assert {400} == {delivery.status for delivery in sandbox.deliveries}
    assert "completed" == (await client.raw("GET", f"/v2/generations/{generation_id}")).json()["status"]


async def test_a_handler_that_fails(client: Ideogram, sandbox: Sandbox) -> None:
    """A delivery whose handler raises is repeated by the service."""
    events = await deliver(client, sandbox, fails=1)

    assert 1 == len(events)
    assert [500, 204] == [delivery.status for delivery in sandbox.deliveries]


async def test_keys_that_cannot_be_fetched(client: Ideogram, sandbox: Sandbox) -> None:
    """A delivery that cannot be checked is repeated by the service."""
    sandbox.fail(KEYS, fault=Fault.status(404))
    events = await deliver(client, sandbox)

    assert 1 == len(events)
    assert [503, 204] == [delivery.status for delivery in sandbox.deliveries]


class Hook:
    """An app that keeps the events of jobs by their keys."""

    def __init__(self, client: Ideogram) -> None:
        self.events: dict[str, WebhookEvent] = {}
        self.called = asyncio.Event()
        self.app = FastAPI()
        self.app.include_router(webhook_router(client, on_event=self._keep, path="/hooks/{key}"))

    async def _keep(self, event: WebhookEvent, key: str) -> None:
        self.events[key] = event
        self.called.set()


async def test_a_delivery_before_the_acknowledgement(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """The job of a running batch is still being sent then; its acknowledgement is awaited, and it is paid once."""
    hook, jobs = Hook(client), [Job(v2.Generate45("a fox"), id="fox")]
    sandbox.fail(OPERATION, fault=Fault.hang)
    async with (
        asyncio.timeout(TIMEOUT),
        serving(hook.app) as url,
        client.batch(jobs, tmp_path, accept=f"{url}/hooks/{{key}}") as batch,
    ):
        await hook.called.wait()
        [before] = Folder(tmp_path).results()
        sandbox.release()
        [result] = [result async for result in batch]

    assert (JobState.SENDING, JobState.DONE) == (before.state, result.state)
    assert {result.key: result.answer.generation_id} == {key: event.generation_id for key, event in hook.events.items()}
    assert 1 == len(sandbox.ledger.entries)


async def test_a_delivery_names_the_job_of_a_lost_acknowledgement(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its image is adopted by the link in the delivery, and the next run stores it without paying again."""
    hook, jobs = Hook(client), [Job(v2.Generate45("a fox"), id="fox")]
    sandbox.fail(OPERATION, fault=Fault.reset_before_headers)
    async with serving(hook.app) as url:
        [lost] = await collect(client, jobs, tmp_path, accept=f"{url}/hooks/{{key}}")
        async with asyncio.timeout(TIMEOUT):
            await hook.called.wait()

    [image] = hook.events[lost.key].generation.images
    Folder(tmp_path).resolve("fox", "adopt", url=image.url)
    [found] = await collect(client, jobs, tmp_path)

    assert (JobState.AMBIGUOUS, JobState.DONE) == (lost.state, found.state)
    assert (await client.fetch(image)) == found.images[0].path.read_bytes()
    assert 1 == len(sandbox.ledger.entries)
