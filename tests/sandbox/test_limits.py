"""How much may be in the making, how much may be billed, and what was."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.ledger import Ledger


async def test_limit_counts_images(sandbox, api):
    """Places are counted in images; a call that does not fit is refused with the limit, and not billed."""
    sandbox.hold()
    flying = [asyncio.create_task(api.generate(num_images="4")) for _ in range(2)]
    await sandbox.wait_for_requests(2)

    refused = await api.generate(num_images="3")
    fitting = asyncio.create_task(api.generate(num_images="2"))
    await sandbox.wait_for_requests(4)
    sandbox.release()
    statuses = [(await task).status for task in (*flying, fitting)]

    assert 429 == refused.status
    assert ("inflight_limit", 10, "fast") == tuple(
        refused.json[name] for name in ("reject_reason", "max_inflight_requests", "task_completion_speed")
    )
    assert [200, 200, 200] == statuses
    assert 10 == sandbox.peak_in_flight
    assert 10 == sandbox.ledger.billed_images


async def test_lookups_take_no_place(make_api):
    """Asking, and filling data sets, goes on while every place is taken."""
    async with Sandbox(max_in_flight=1) as sandbox:
        api = make_api(sandbox)
        sandbox.hold()
        flying = asyncio.create_task(api.generate())
        await sandbox.wait_for_requests(1)

        statuses = [(await api.get("/models")).status, (await api.post("/datasets", {"name": "Foxes"})).status]
        sandbox.release()

        assert [200, 200] == statuses
        assert 200 == (await flying).status


async def test_more_than_the_limit(make_api):
    """A request for more images than there are places never fits."""
    async with Sandbox(max_in_flight=2) as sandbox:
        answer = await make_api(sandbox).generate(num_images="3")

    assert 429 == answer.status


async def test_balance(make_api):
    """Money that is set aside for work under way cannot be spent twice."""
    async with Sandbox(balance_usd="0.12") as sandbox:
        api = make_api(sandbox)
        sandbox.hold()
        flying = asyncio.create_task(api.generate())
        await sandbox.wait_for_requests(1)
        too_much = await api.generate(num_images="2")
        sandbox.release()
        await flying
        last = await api.generate()
        none = await api.generate(rendering_speed="FLASH")

    assert (402, "insufficient_funds") == (too_much.status, too_much.json["reject_reason"])
    assert (200, 402) == (last.status, none.status)
    assert Decimal("0.12") == sandbox.ledger.billed_usd


async def test_limited_work_frees_its_money(make_api):
    """Money set aside for a call that found no place is free again."""
    async with Sandbox(max_in_flight=1, balance_usd=0.12) as sandbox:
        api = make_api(sandbox)
        refused = await api.generate(num_images="2")
        statuses = [(await api.generate()).status for _ in range(2)]

    assert 429 == refused.status
    assert [200, 200] == statuses


async def test_work_goes_on_without_its_client(sandbox, api):
    """Work that was accepted is done and billed when its client has gone."""
    sandbox.hold()
    flying = asyncio.create_task(api.generate())
    await sandbox.wait_for_requests(1)
    flying.cancel()
    await asyncio.gather(flying, return_exceptions=True)

    before = sandbox.ledger.billed_images
    sandbox.release()
    await sandbox.wait_idle()

    assert (0, 1) == (before, sandbox.ledger.billed_images)


async def test_duplicates(sandbox, api):
    """The same content billed twice is told, whatever the order of its parts."""
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
    """An entry tells the moment on the sandbox's clock."""
    sandbox.advance(1e9)
    await api.post("/generate", {"image_request": {"prompt": "a fox"}})

    [entry] = sandbox.ledger.entries

    assert entry.at > 2.5e9
    assert "<Ledger entries=1 images=1 usd=0.08>" == repr(sandbox.ledger)


def test_ledger_without_entries():
    """A new ledger is empty."""
    ledger = Ledger()

    assert (0, Decimal(0), []) == (ledger.billed_images, ledger.billed_usd, ledger.duplicates)


@pytest.mark.parametrize("latency", [0.001, (0.0, 0.001), lambda: 0.001])
async def test_latency(make_api, latency):
    """Work can take its time: always the same, drawn from a range, or as a function says."""
    async with Sandbox(latency=latency) as sandbox:
        answer = await make_api(sandbox).generate()

    assert 200 == answer.status
