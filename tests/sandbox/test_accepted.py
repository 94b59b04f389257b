"""Accepted calls: acknowledgement, polls, slots, bills and faults."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import ClientOSError
from support.contract_v2 import ROUTES, answer_problems, example

from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.contract import find_schema

GENERATE = "POST /v2/image/generate/ideogram-4-5"
POLL = "/v2/generations/"
ACCEPTABLE = [operation for operation, route in ROUTES.items() if route.mode in ("sync-or-async", "async-only")]


async def accept(api: Any, operation: str = GENERATE, **fields: Any) -> Any:
    """Send a call to be accepted, with a JSON body."""
    mode = {} if ROUTES[operation].mode == "async-only" else {"async": True}
    body = {**example(operation, "application/json"), **mode, **fields}
    return await api.post(operation.removeprefix("POST "), body)


async def poll(api: Any, accepted: Any) -> Any:
    """Ask for an accepted generation."""
    return await api.get(POLL + accepted.json["generation_id"])


@pytest.mark.parametrize("operation", ACCEPTABLE)
async def test_accepted_then_completed(api: Any, sandbox: Sandbox, operation: str) -> None:
    """An accepted call answers without images; polls answer pending until it is completed, and then with images."""
    sandbox.hold()
    accepted = await accept(api, operation)
    pending = await poll(api, accepted)
    sandbox.release()
    await sandbox.wait_idle()
    completed = await poll(api, accepted)

    [entry] = sandbox.ledger.entries
    [image] = completed.json["data"]

    assert [] == answer_problems(accepted.json, "Accepted")
    assert "data" not in accepted.json
    assert {"generation_id", "status", "created"} == pending.json.keys()
    assert [] == answer_problems(completed.json, "GET /v2/generations/{generation_id}")
    assert ("pending", "completed") == (pending.json["status"], completed.json["status"])
    assert image["object_type"] in find_schema("GenerationResponseDataInner")["x-discriminator"]["mapping"]
    assert not {"width", "height", "generation_kind", "seed"} & completed.json.keys()
    assert (operation, 1) == (entry.operation, entry.images)
    assert 200 == (await api.image(image["url"])).status


async def test_polls_are_free(api: Any, sandbox: Sandbox) -> None:
    """Polls are billed nothing, take no slot, are counted, and answer alike in both versions."""
    accepted = await accept(api, num_images=10 - 2)
    answers = [await poll(api, accepted), await api.get(f"/v1/generations/{accepted.json['generation_id']}")]

    [generation] = sandbox.generations

    assert answers[0].json == answers[1].json
    assert (2, "completed", 8) == (generation.polls, generation.status, generation.images)
    assert (1, 8) == (len(sandbox.ledger.entries), sandbox.ledger.billed_images)


async def test_unknown_generation(api: Any) -> None:
    """A poll of an unknown id is answered with 404, in both versions."""
    assert [404, 404] == [(await api.get(f"/{version}/generations/x")).status for version in ("v1", "v2")]


async def test_slots_until_the_end(api: Any, sandbox: Sandbox) -> None:
    """Accepted images occupy slots until their generation has ended, whether or not a client asks for it."""
    sandbox.hold()
    accepted = [await accept(api, num_images=5) for _ in range(2)]
    refused = await accept(api)
    sandbox.release()
    await sandbox.wait_idle()
    after = await accept(api)

    assert [200, 200, 429, 200] == [answer.status for answer in (*accepted, refused, after)]
    assert ["inflight_limit", 10, "fast"] == [
        refused.json[name] for name in ("reject_reason", "max_inflight_requests", "task_completion_speed")
    ]
    assert [] == answer_problems(refused.json, "GenerationErrorResponse")
    assert 10 == sandbox.peak_in_flight


async def test_sync_and_accepted_share_slots(api: Any) -> None:
    """Synchronous calls find no slot while accepted ones hold them all."""
    async with Sandbox(max_in_flight=1) as sandbox:
        sandbox.hold()
        path = sandbox.url + "/v2/image/generate/ideogram-4-5"
        statuses = [
            (await api.call("POST", path, headers={"Api-Key": "key"}, json=body)).status
            for body in ({"prompt": "a fox", "async": True}, {"prompt": "a fox"})
        ]

    assert [200, 429] == statuses


async def test_accepted_reserves_its_price(api: Any) -> None:
    """The price of an accepted call is reserved at once."""
    async with Sandbox(balance_usd="0.15") as sandbox:
        sandbox.hold()
        path = sandbox.url + "/v2/image/generate/ideogram-4-5"
        body = {"prompt": "a fox", "async": True}
        first, second = [await api.call("POST", path, headers={"Api-Key": "key"}, json=body) for _ in range(2)]

    assert (200, 402) == (first.status, second.status)
    assert "insufficient_funds" == second.json["reject_reason"]


async def test_pending_for_some_polls(api: Any, sandbox: Sandbox) -> None:
    """A call can stay pending for a number of polls."""
    sandbox.fail("generate/ideogram-4-5", fault=Fault.pending(2))
    accepted = await accept(api)
    await sandbox.wait_idle()

    assert ["pending", "pending", "completed"] == [(await poll(api, accepted)).json["status"] for _ in range(3)]


async def test_pending_until_release(api: Any, sandbox: Sandbox) -> None:
    """A call can stay pending for ever, with its slots, until the sandbox releases it."""
    sandbox.fail("generate/ideogram-4-5", fault=Fault.pending)
    accepted = await accept(api, num_images=8)
    statuses = [(await poll(api, accepted)).json["status"] for _ in range(20)]
    refused = await accept(api, num_images=3)
    sandbox.release()
    last = await poll(api, accepted)

    assert {"pending"} == set(statuses)
    assert (429, "completed") == (refused.status, last.json["status"])


async def test_failed(api: Any, sandbox: Sandbox) -> None:
    """A failed generation has a reason, is not billed, and holds no slot."""
    sandbox.fail("generate/ideogram-4-5", fault=Fault.failed("content_policy_violation"))
    accepted = await accept(api, num_images=8)
    failed = await poll(api, accepted)
    after = await accept(api, num_images=8)

    assert [] == answer_problems(failed.json, "GenerationResponse")
    assert ("failed", "content_policy_violation") == (failed.json["status"], failed.json["failure_reason"])
    assert "data" not in failed.json
    assert 200 == after.status
    await sandbox.wait_idle()
    assert 8 == sandbox.ledger.billed_images


async def test_lost_acknowledgement(api: Any, sandbox: Sandbox) -> None:
    """A call whose acknowledgement is lost is accepted, runs and is billed."""
    sandbox.fail("generate/ideogram-4-5", fault=Fault.reset_before_headers)
    with pytest.raises(ClientOSError):
        await accept(api)

    await sandbox.wait_idle()
    [generation] = sandbox.generations

    assert ("completed", 1) == (generation.status, sandbox.ledger.billed_images)


async def test_bare_acknowledgement(api: Any, sandbox: Sandbox) -> None:
    """An acknowledgement has a seed and a kind, and with the fault its id alone."""
    full = await accept(api, seed=7)
    sandbox.fail("generate/ideogram-4-5", fault=Fault.bare_acknowledgement)
    bare = await accept(api)

    sandbox.fail("generate/ideogram-4-5", fault=Fault.bare_acknowledgement, times=2)
    answer = await api.post("/v2/image/generate/ideogram-4-5", {"prompt": "a fox"})
    quote = await api.post("/v2/image/generate/ideogram-4-5?dry_run=true", {"prompt": "a fox"})

    assert ("data" in answer.json, quote.json["object"]) == (True, "price_quote")
    assert (7, "sampling") == (full.json["seed"], full.json["generation_kind"])
    assert {"generation_id"} == bare.json.keys()


async def test_faults_of_polls(api: Any, sandbox: Sandbox) -> None:
    """Polls fail like other calls, also with 404 at first, and the generation is not harmed."""
    accepted = await accept(api)
    sandbox.fail("generations", fault=Fault.status(404))
    sandbox.fail("generations", fault=Fault.status(429, {"error": "slower"}, {"Retry-After": "3"}))
    sandbox.fail("generations", fault=Fault.garbage_json)
    answers = [await poll(api, accepted) for _ in range(4)]

    assert [404, 429, 200, 200] == [answer.status for answer in answers]
    assert "3" == answers[1].headers["Retry-After"]
    assert "completed" == answers[3].json["status"]


async def test_rejected(api: Any, sandbox: Sandbox) -> None:
    """A call is rejected with any reason of the service; nothing runs."""
    sandbox.fail("generate/ideogram-4-5", fault=Fault.rejected("daily_limit"))
    sandbox.fail("generate/ideogram-4-5", fault=Fault.rejected("feature_limit", 429))
    answers = [await accept(api) for _ in range(2)]

    assert [402, 429] == [answer.status for answer in answers]
    assert ["daily_limit", "feature_limit"] == [answer.json["reject_reason"] for answer in answers]
    assert [] == sandbox.generations


async def test_error_in_body(api: Any, sandbox: Sandbox) -> None:
    """A 200 can contain an error in place of the images, and is billed."""
    sandbox.fail("remove-background/ideogram-1", fault=Fault.error_in_body(503, "overloaded"))
    operation = "POST /v2/image/remove-background/ideogram-1"
    answer = await api.post(operation.removeprefix("POST "), example(operation, "application/json"))

    assert [] == answer_problems(answer.json, operation)
    assert (200, "overloaded", 503) == (answer.status, answer.json["error"], answer.json["status_code"])
    assert "data" not in answer.json
    assert Decimal("0.01") == sandbox.ledger.billed_usd


async def test_withheld_images(api: Any, sandbox: Sandbox) -> None:
    """Withheld images of a poll are not safe, have no link, and are billed."""
    sandbox.fail("generate/ideogram-4-5", fault=Fault.unsafe(3))
    completed = await poll(api, await accept(api, num_images=4))

    images = completed.json["data"]

    assert [] == answer_problems(completed.json, "GenerationResponse")
    assert [False, False, False, True] == [image["is_image_safe"] for image in images]
    assert [None, "", "absent"] == [image.get("url", "absent") for image in images[:3]]
    assert 4 == sandbox.ledger.billed_images


async def test_mode_does_not_change_the_content(api: Any, sandbox: Sandbox) -> None:
    """The same content, bought once at once and once accepted, is a duplicate."""
    await accept(api, prompt="a fox")
    await api.post("/v2/image/generate/ideogram-4-5", {"prompt": "a fox"})
    await sandbox.wait_idle()

    assert 1 == len(sandbox.ledger.duplicates)


async def test_closing_ends_accepted_calls(make_api: Any) -> None:
    """Closing a sandbox ends the calls that are still pending; they are not billed."""
    before = asyncio.all_tasks()
    async with Sandbox() as sandbox:
        sandbox.fail(fault=Fault.pending)
        await accept(make_api(sandbox))
        sandbox.hold()
        await accept(make_api(sandbox))

    assert before == asyncio.all_tasks()
    assert () == sandbox.ledger.entries


async def test_another_thread(ideogram_sandbox: Sandbox, make_api: Any) -> None:
    """Accepted calls are held and released from another thread."""
    api = make_api(ideogram_sandbox)
    ideogram_sandbox.hold()
    accepted = await accept(api)
    pending = await poll(api, accepted)
    ideogram_sandbox.release()
    await ideogram_sandbox.wait_idle()

    assert ["pending", "completed"] == [answer.json["status"] for answer in (pending, await poll(api, accepted))]


async def test_latency(make_api: Any) -> None:
    """An accepted call takes the latency of the sandbox."""
    latencies = iter([0.0, 3600.0])
    async with Sandbox(latency=lambda: next(latencies)) as sandbox:
        api = make_api(sandbox)
        quick, slow = [await accept(api) for _ in range(2)]

        assert ["completed", "pending"] == [(await poll(api, accepted)).json["status"] for accepted in (quick, slow)]


async def test_reset_forgets_generations(api: Any, sandbox: Sandbox) -> None:
    """After a reset no generation is known, and none is billed later."""
    sandbox.hold()
    accepted = await accept(api)
    sandbox.reset()

    assert 404 == (await poll(api, accepted)).status
    assert ([], ()) == (sandbox.generations, sandbox.ledger.entries)


async def test_accepted_call_of_an_unsafe_prompt(api: Any, sandbox: Sandbox) -> None:
    """What fails the safety check is refused, not accepted."""
    assert 422 == (await accept(api, prompt="an unsafe-prompt")).status
    assert [] == sandbox.generations
