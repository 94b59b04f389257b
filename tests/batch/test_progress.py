"""Report and events of a batch."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path

import pytest
from support.batches import TIMEOUT, collect, make_jobs, run_batch
from support.clients import Events

from ideogram_async import (
    Generate,
    Ideogram,
    Job,
    JobState,
)
from ideogram_async.events import BatchFinished, BatchStopped, JobFinished, JobStarted
from ideogram_async.sandbox import Fault, Sandbox


async def test_a_failing_listener_never_affects_a_batch(
    client: Ideogram, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Its first failure is logged, the others are ignored, and the batch continues."""

    def failing(_: object) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        results = await collect(client, make_jobs(5), tmp_path, on_event=failing)

    assert (5, 1) == (len(results), len(caplog.records))


async def test_a_batch_emits_its_events(client: Ideogram, tmp_path: Path):
    """The listener of a batch receives an event for each job, for the stop and for the end."""
    events = Events()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(3), tmp_path, on_event=events) as batch:
        await anext(batch)

    assert ["the block was left early"] == [event.reason for event in events.of(BatchStopped)]
    assert len(events.of(JobFinished)) == events.of(BatchFinished)[0].jobs


async def test_only_a_job_that_is_sent_emits_that_it_started(client: Ideogram, tmp_path: Path):
    """A job that an earlier run finished, or that is rejected unsent, emits only that it finished."""
    await collect(client, make_jobs(3), tmp_path)
    events = Events()
    results = await collect(client, [*make_jobs(4), Generate("")], tmp_path, on_event=events)

    assert (1, 5) == (len(events.of(JobStarted)), len(events.of(JobFinished)))
    assert [False, False, True, True, True] == sorted(result.from_journal for result in results)


async def test_the_same_id_twice_is_one_job(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that comes twice is billed once, has two results and is counted once."""
    job = Job(Generate("a fox"), id="fox")
    async with asyncio.timeout(TIMEOUT), client.batch([job, job], tmp_path) as batch:
        results = [result async for result in batch]

    assert [JobState.DONE] * 2 == [result.state for result in results]
    assert (1, 1) == (len(sandbox.ledger.entries), batch.report().jobs)


async def test_a_finished_job_that_comes_twice_counts_once(client: Ideogram, tmp_path: Path):
    """Each position in the input has its result, and the report counts one job."""
    await collect(client, make_jobs(2), tmp_path)
    async with asyncio.timeout(TIMEOUT), client.batch([*make_jobs(2), *make_jobs(2)], tmp_path) as batch:
        results = [result async for result in batch]

    assert ([0, 1, 2, 3], 2) == ([result.index for result in results], batch.report().jobs)


async def test_a_run_of_other_jobs_lists_ambiguous_jobs_of_earlier_runs(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
):
    """Their price is listed, too."""
    sandbox.fail(fault=Fault.close_after_body)
    await run_batch(client, make_jobs(3), tmp_path)
    report = await run_batch(client, [Generate("another")], tmp_path)

    assert {JobState.DONE: 1, JobState.AMBIGUOUS: 1} == report.by_state
    assert (Decimal("0.06"), Decimal("0.06")) == (report.in_doubt_usd, report.ambiguous[0].cost_usd)
