"""Cap on the cost of a batch."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path

import pytest
from support.batches import make_jobs, run_batch
from support.pictures import picture

from ideogram_async import (
    Generate,
    Ideogram,
    Job,
    JobState,
    Remix,
)
from ideogram_async._batch.costs import Budget
from ideogram_async._batch.folder import Folder
from ideogram_async.sandbox import Fault, Sandbox


async def test_a_reservation_waits_for_a_call_that_may_free_enough():
    """The price of a rejected call is released, and the next one fits."""
    budget = Budget(Decimal(3))
    await budget.reserve(Decimal(2))
    waiting = asyncio.create_task(budget.reserve(Decimal(2)))
    await asyncio.sleep(0)
    is_waiting = not waiting.done()
    await budget.release(Decimal(2))

    assert (True, True) == (is_waiting, await waiting)


@pytest.mark.parametrize("in_doubt", [False, True])
async def test_nothing_is_reserved_beyond_the_cap(in_doubt: bool):
    """A cost in doubt counts like one that is confirmed, and so does the cost of earlier runs."""
    budget = Budget(Decimal(3), spent=Decimal(1))
    await budget.reserve(Decimal(1))
    await budget.spend(Decimal(1), in_doubt=in_doubt)

    assert [False, True] == [await budget.reserve(Decimal(usd)) for usd in (2, 1)]


@pytest.mark.parametrize("seed", range(3))
async def test_the_cap_holds_through_faults(client: Ideogram, sandbox: Sandbox, tmp_path: Path, seed: int):
    """With 5 % faults, the cost of 100 jobs of any weight, spent and in doubt, never exceeds the cap."""
    rng = random.Random(seed)
    cap, faults = Decimal("6.00"), (Fault.reset_before_headers, Fault.html_502, Fault.status(500), Fault.status(400))
    for n in range(200):
        if rng.random() < 0.05:
            sandbox.fail(fault=rng.choice(faults), after=n)

    jobs = [Job(Generate(f"fox {n}", num_images=rng.randint(1, 4)), id=str(n)) for n in range(100)]
    reports = [await run_batch(client, jobs, tmp_path, max_cost_usd=cap) for _ in range(3)]
    total = Folder(tmp_path).report()
    cost = total.spent_usd + total.in_doubt_usd

    assert sandbox.ledger.billed_usd <= cost <= cap
    assert any((report.stopped or "").startswith("budget of 6.00 USD reached") for report in reports)
    assert [] == sandbox.ledger.duplicates


async def test_a_resend_counts_against_the_cap(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """With `retry_ambiguous` a job is sent at most twice, and both attempts count."""
    sandbox.fail(fault=Fault.close_after_body, times=1000)
    report = await run_batch(client, make_jobs(2), tmp_path / "a", retry_ambiguous=True, max_cost_usd="0.24")

    assert (4, Decimal("0.24")) == (len(sandbox.requests), report.in_doubt_usd)

    sandbox.reset()
    sandbox.fail(fault=Fault.close_after_body, times=1000)
    report = await run_batch(client, make_jobs(1), tmp_path / "b", retry_ambiguous=True, max_cost_usd="0.06")

    assert 1 == len(sandbox.requests)
    assert report.stopped == (
        "budget of 0.06 USD reached: 0.00 USD spent, 0.06 USD in doubt, and the next job costs up to 0.06 USD;"
        " raise max_cost_usd (--max-cost-usd) to resume"
    )

    again = await run_batch(client, make_jobs(1), tmp_path / "a", retry_ambiguous=True)

    assert (1, JobState.AMBIGUOUS) == (len(sandbox.requests), again.ambiguous[0].state)


async def test_a_job_of_unknown_price_is_rejected_under_a_cap(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It is not sent, and its error states what to do."""
    request = Remix(picture(), "a fox", character_reference_images=[picture()])
    unknown = [Job(Generate("a", custom_model_uri="model/fox/version/1", character_reference_images=[picture()]))]
    assert client.estimate(unknown[0].request).usd is None
    assert client.estimate(request).usd is not None
    report = await run_batch(client, unknown, tmp_path, max_cost_usd=10)

    assert ([], {JobState.REJECTED: 1}) == (sandbox.requests, report.by_state)
    assert "price: is not known, so max_cost_usd cannot be kept" in str(report.failures[0].error)
