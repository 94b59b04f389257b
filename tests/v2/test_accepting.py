"""Calls that the service accepts first: submission, polls, slots, and what a client knows when they fail."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from support.clients import connected
from support.pictures import picture

from ideogram_async import AmbiguousError, AuthenticationError, Billed, Ideogram, InvalidRequestError, v2
from ideogram_async._transport import polling
from ideogram_async.errors import GenerationFailed, WaitTimeout
from ideogram_async.sandbox import Fault, Sandbox

POLL = "GET /v2/generations/{generation_id}"
FOX = v2.Generate46("a red fox", num_images=2)


async def test_submit_and_wait(client: Ideogram, sandbox: Sandbox) -> None:
    """A submission returns an id at once, and a wait returns the generation with the seed of the acknowledgement."""
    sandbox.hold()
    ticket = await client.submit(FOX)
    waiting = asyncio.ensure_future(client.generations.wait(ticket))
    await sandbox.wait_for_requests(3)
    sandbox.release()
    answer = await waiting

    assert (str(ticket), "completed", 2) == (answer.generation_id, answer.status, len(answer.images))
    assert type(answer.seed) is int
    assert (1, 2) == (len(sandbox.ledger.entries), sandbox.ledger.billed_images)


async def test_a_ticket_is_a_value(client: Ideogram, sandbox: Sandbox) -> None:
    """A pickled ticket, and its bare id, find the generation from another client."""
    ticket = await client.submit(FOX)
    async with connected(sandbox.url) as other:
        copied = await other.generations.wait(pickle.loads(pickle.dumps(ticket)))
        bare = await other.generations.wait(str(ticket))

    assert ticket.generation_id == copied.generation_id == bare.generation_id
    assert (1, 2) == (len(sandbox.ledger.entries), sandbox.ledger.billed_images)


async def test_send_waits_for_what_is_always_accepted(client: Ideogram, sandbox: Sandbox) -> None:
    """A call that is accepted although it did not ask for it is answered with the finished generation."""
    answer = await client.v2.replace_background_3(picture(), "a beach")

    assert ("completed", 1) == (answer.status, len(answer.images))
    assert 1 == len(sandbox.ledger.entries)


async def test_an_acceptance_that_was_not_expected(client: Ideogram, sandbox: Sandbox) -> None:
    """A `Custom` call that is accepted although it never should be is waited for, too."""
    fields = {"image_asset_identifier": {"asset_type": "UPLOAD", "asset_id": "a"}, "prompt": "a beach"}
    request = v2.Custom("image", "replace-background", "ideogram-3", fields, accept="never")
    answer = await client.send(request)

    assert ("completed", 1) == (answer.status, len(answer.images))
    assert 1 == len(sandbox.ledger.entries)


async def test_slots_are_held_until_the_end(sandbox: Sandbox) -> None:
    """A submitted generation holds its slots until it has been waited for."""
    async with connected(sandbox.url) as client:
        sandbox.hold()
        ticket = await client.submit(FOX)
        submitted = client.limiter.statistics().in_flight
        waiting = asyncio.ensure_future(client.generations.wait(ticket))
        await sandbox.wait_for_requests(3)
        during = client.limiter.statistics().in_flight
        sandbox.release()
        await waiting
        await asyncio.sleep(0)

        assert (2, 2, 0) == (submitted, during, client.limiter.statistics().in_flight)


async def test_a_dropped_ticket_releases_its_slots(client: Ideogram) -> None:
    """The slots of a ticket without references are released."""
    ticket = await client.submit(FOX)
    held = client.limiter.statistics().in_flight
    del ticket
    for _ in range(5):
        await asyncio.sleep(0)

    assert (2, 0) == (held, client.limiter.statistics().in_flight)


async def test_a_failed_generation(client: Ideogram, sandbox: Sandbox) -> None:
    """A generation that fails is an error that states the reason, is not billed, and may be repeated."""
    sandbox.fail(fault=Fault.failed("internal_error"))
    with pytest.raises(GenerationFailed) as failure:
        await client.generations.wait(await client.submit(FOX))

    sandbox.fail(fault=Fault.failed("content_policy_violation"))
    with pytest.raises(GenerationFailed) as refusal:
        await client.generations.wait(await client.submit(FOX))

    assert ("internal_error", Billed.NO, True) == (
        failure.value.reason,
        failure.value.billed,
        failure.value.retryable,
    )
    assert ("content_policy_violation", False) == (refusal.value.reason, refusal.value.retryable)
    assert () == sandbox.ledger.entries


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(404),
        Fault.status(429, {"error": "slow down"}, {"Retry-After": "0"}),
        Fault.status(500),
        Fault.garbage_json,
        Fault.reset_before_headers,
        Fault.html_502,
        Fault.status(200, {"status": "a new status"}, {"Retry-After": "0"}),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}",
)
async def test_polls_are_repeated(
    client: Ideogram, sandbox: Sandbox, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll without a usable answer is repeated."""
    monkeypatch.setattr(polling, "FIRST_PAUSE", 0.01)
    ticket = await client.submit(FOX)
    sandbox.fail(POLL, fault=fault, times=2)
    answer = await client.generations.wait(ticket)

    assert "completed" == answer.status
    assert 1 == len(sandbox.ledger.entries)


async def test_an_invalid_key_ends_the_wait(client: Ideogram, sandbox: Sandbox) -> None:
    """A poll that is refused ends the wait with its error, which names the generation, and the id stays good."""
    ticket = await client.submit(FOX)
    sandbox.fail(POLL, fault=Fault.status(401))
    with pytest.raises(AuthenticationError) as error:
        await client.generations.wait(ticket)

    assert Billed.UNKNOWN is error.value.billed
    assert str(ticket) in error.value.__notes__[0]
    assert "completed" == (await client.generations.wait(ticket)).status


async def test_a_wait_ends_in_time(client: Ideogram, sandbox: Sandbox) -> None:
    """A generation that does not end in time is an error with its ticket, which can be waited for again."""
    sandbox.hold()
    ticket = await client.submit(FOX)
    with pytest.raises(WaitTimeout) as error:
        await client.generations.wait(ticket, timeout=1)

    copied = pickle.loads(pickle.dumps(error.value))
    sandbox.release()

    assert (ticket, "pending", Billed.UNKNOWN) == (copied.ticket, copied.status, copied.billed)
    assert "completed" == (await client.generations.wait(copied.ticket)).status


async def test_an_unknown_id(client: Ideogram, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that the service does not know for a minute ends the wait, with what to check."""
    monkeypatch.setattr(polling, "MISSING_SECONDS", 0.0)
    with pytest.raises(WaitTimeout, match="does not know the generation nope: check the id"):
        await client.generations.wait("nope")


async def test_a_lost_acknowledgement_is_in_doubt(client: Ideogram, sandbox: Sandbox) -> None:
    """A submission whose acknowledgement is lost is in doubt, and is not repeated."""
    sandbox.fail(fault=Fault.reset_before_headers)
    with pytest.raises(AmbiguousError):
        await client.submit(FOX)

    await sandbox.wait_idle()

    assert (1, 1) == (len(sandbox.requests), len(sandbox.ledger.entries))


async def test_an_answer_at_once(client: Ideogram, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission that is answered with images needs no poll."""
    body = {"generation_id": "g", "seed": 1, "data": [{"is_image_safe": True, "url": "https://x.test/a.png"}]}
    sandbox.fail(fault=Fault.status(200, body))
    ticket = await client.submit(FOX)
    answer = await client.generations.wait(ticket)

    assert ("g", "https://x.test/a.png") == (answer.generation_id, answer.images[0].url)
    assert 1 == len(sandbox.requests)


@pytest.mark.parametrize(
    ("request_", "webhook_url", "field", "message"),
    [
        (v2.MagicPrompt4("fox"), None, "request", "cannot be submitted"),
        (v2.RemoveBackground(b"\x89PNG\r\n\x1a\n"), "https://example.com/hook", "webhook_url", "is not available"),
        (FOX, "http://example.com/hook", "webhook_url", "must be an https URL with a public host"),
        (FOX, "https://10.0.0.1/hook", "webhook_url", "must be an https URL with a public host"),
        (FOX, f"https://example.com/{'x' * 2048}", "webhook_url", "at most 2048 are allowed"),
        (FOX, 1, "webhook_url", "must be a URL, not int"),
    ],
)
async def test_what_cannot_be_submitted(
    client: Ideogram, sandbox: Sandbox, request_: object, webhook_url: str, field: str, message: str
) -> None:
    """What cannot be submitted is refused before anything is sent."""
    with pytest.raises(InvalidRequestError) as error:
        await client.submit(request_, webhook_url=webhook_url)  # type: ignore[arg-type]

    [(name, rule)] = error.value.problems

    assert (field, True) == (name, message in rule)
    assert [] == sandbox.requests


async def test_closing_releases_held_slots(sandbox: Sandbox) -> None:
    """A client that is closed does not wait for generations without a caller that waits."""
    client = Ideogram("key", base_url=sandbox.url)
    ticket = await client.submit(FOX)
    await client.aclose()

    assert 0 == client.limiter.statistics().in_flight
    assert "completed" == (await client.generations.get(ticket)).status
    await client.aclose()


async def test_a_cancelled_submission_ends_its_call(client: Ideogram, sandbox: Sandbox) -> None:
    """A submission that is cancelled in flight leaves no task and no slot behind."""
    sandbox.fail(fault=Fault.hang)
    submitting = asyncio.ensure_future(client.submit(FOX))
    await sandbox.wait_for_requests(1)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting

    assert 0 == client.limiter.statistics().in_flight
    sandbox.release()
