"""Concurrency slots, the balance and the ledger."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.ledger import Ledger


async def test_limit_counts_images(sandbox, api):
    """Slots are counted in images; a call that does not fit is refused with the limit, and not billed."""
    sandbox.hold()
    running = [asyncio.create_task(api.generate(num_images="4")) for _ in range(2)]
    await sandbox.wait_for_requests(2)

    refused = await api.generate(num_images="3")
    fitting = asyncio.create_task(api.generate(num_images="2"))
    await sandbox.wait_for_requests(4)
    sandbox.release()
    statuses = [(await task).status for task in (*running, fitting)]

    assert 429 == refused.status
    assert ("inflight_limit", 10, "fast") == tuple(
        refused.json[name] for name in ("reject_reason", "max_inflight_requests", "task_completion_speed")
    )
    assert [200, 200, 200] == statuses
    assert 10 == sandbox.peak_in_flight
    assert 10 == sandbox.ledger.billed_images


async def test_free_calls_need_no_slot(make_api):
    """Free calls succeed while every slot is in use."""
    async with Sandbox(max_in_flight=1) as sandbox:
        api = make_api(sandbox)
        sandbox.hold()
        running = asyncio.create_task(api.generate())
        await sandbox.wait_for_requests(1)

        statuses = [(await api.get("/models")).status, (await api.post("/datasets", {"name": "Foxes"})).status]
        sandbox.release()

        assert [200, 200] == statuses
        assert 200 == (await running).status


async def test_more_than_the_limit(make_api):
    """A request for more images than there are slots never fits."""
    async with Sandbox(max_in_flight=2) as sandbox:
        answer = await make_api(sandbox).generate(num_images="3")

    assert 429 == answer.status


async def test_balance(make_api):
    """Money reserved for a call in flight cannot be spent twice."""
    async with Sandbox(balance_usd="0.12") as sandbox:
        api = make_api(sandbox)
        sandbox.hold()
        running = asyncio.create_task(api.generate())
        await sandbox.wait_for_requests(1)
        too_much = await api.generate(num_images="2")
        sandbox.release()
        await running
        last = await api.generate()
        none = await api.generate(rendering_speed="FLASH")

    assert (402, "insufficient_funds") == (too_much.status, too_much.json["reject_reason"])
    assert (200, 402) == (last.status, none.status)
    assert Decimal("0.12") == sandbox.ledger.billed_usd


async def test_a_throttled_call_releases_its_money(make_api):
    """Money reserved for a call without slots is released."""
    async with Sandbox(max_in_flight=1, balance_usd=0.12) as sandbox:
        api = make_api(sandbox)
        refused = await api.generate(num_images="2")
        statuses = [(await api.generate()).status for _ in range(2)]

    assert 429 == refused.status
    assert [200, 200] == statuses


async def test_a_call_finishes_without_its_client(sandbox, api):
    """An accepted call runs and is billed after its client has disconnected."""
    sandbox.hold()
    running = asyncio.create_task(api.generate())
    await sandbox.wait_for_requests(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    before = sandbox.ledger.billed_images
    sandbox.release()
    await sandbox.wait_idle()

    assert (0, 1) == (before, sandbox.ledger.billed_images)


async def test_duplicates(sandbox, api):
    """Content billed twice is reported, independently of the order of its parts."""
    for fields in (
        [("prompt", "a"), ("seed", "1")],
        [("seed", "1"), ("prompt", "a")],
        [("prompt", "b"), ("seed", "1")],
    ):
        await api.form("/v1/ideogram-v3/generate", fields)

    prints = [entry.fingerprint for entry in sandbox.ledger.entries]

    assert [prints[0]] == sandbox.ledger.duplicates
    assert prints[0] == prints[1] != prints[2]


async def test_entry(sandbox, api):
    """An entry contains the time on the sandbox's clock."""
    sandbox.advance(1e9)
    await api.post("/generate", {"image_request": {"prompt": "a fox"}})

    [entry] = sandbox.ledger.entries

    assert entry.billed_at > 2.5e9
    assert "<Ledger entries=1 images=1 usd=0.08>" == repr(sandbox.ledger)


def test_ledger_without_entries():
    """A new ledger is empty."""
    ledger = Ledger()

    assert (0, Decimal(0), []) == (ledger.billed_images, ledger.billed_usd, ledger.duplicates)


@pytest.mark.parametrize("latency", [0.001, (0.0, 0.001), lambda: 0.001])
async def test_latency(make_api, latency):
    """The latency is a number, a range or a function."""
    async with Sandbox(latency=latency) as sandbox:
        answer = await make_api(sandbox).generate()

    assert 200 == answer.status


@pytest.mark.parametrize("balance", ["much", "-1", float("nan")])
def test_invalid_balance(balance):
    """A balance must be an amount of money."""
    with pytest.raises(ValueError, match="balance_usd must be an amount in USD, not"):
        Sandbox(balance_usd=balance)
