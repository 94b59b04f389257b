"""Faults of a batch in rare combinations: its report agrees with its journal, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.batches import TIMEOUT, collect, make_jobs, run_batch
from support.clients import connected

from ideogram_async import Ideogram, Job, JobState, JournalError
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal import queries
from ideogram_async._transport.policy import Retry
from ideogram_async.events import Event, JobFinished
from ideogram_async.sandbox import Fault, Sandbox

PRICE = Decimal("0.06")


def raising(error: Exception) -> Callable[..., Any]:
    def step(*_: object, **__: object) -> Any:
        raise error

    return step


async def test_a_repeat_is_counted_if_only_it_was_sent(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The first of two equal jobs finds no connection, and the second is billed."""
    sandbox.fail(fault=Fault.refuse)
    [job] = make_jobs(1)

    view = client.with_options(retry=Retry(attempts=1))
    async with asyncio.timeout(TIMEOUT), view.batch([job, job], tmp_path) as batch:
        first = await anext(batch)
        sandbox.release()
        results = [first, *[result async for result in batch]]

    report, journal = batch.report(), Folder(tmp_path).report()

    assert [JobState.PENDING, JobState.DONE] == [result.state for result in results]
    assert ({JobState.DONE: 1}, PRICE, 1) == (report.by_state, report.spent_usd, report.images_stored)
    assert (journal.by_state, journal.spent_usd) == (report.by_state, report.spent_usd)


@pytest.mark.parametrize("cap", [None, 2 * PRICE])
async def test_a_journal_that_fails_ends_the_batch(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: Decimal | None
):
    """Outcomes can neither be written nor read: they are in the results, and no job waits for their money."""
    error = sqlite3.OperationalError("disk I/O error")
    monkeypatch.setattr(queries, "finish_attempt", raising(error))
    monkeypatch.setattr(queries, "find_job", raising(error))
    batch = client.batch(make_jobs(3), tmp_path, max_cost_usd=cap)
    states: list[JobState] = []
    with pytest.raises(JournalError, match="disk I/O error"):
        async with asyncio.timeout(TIMEOUT), batch:
            async for result in batch:
                states.append(result.state)

    report, billed = batch.report(), len(sandbox.ledger.entries)

    assert [JobState.ANSWERED] * billed == states
    assert ({JobState.ANSWERED: billed}, billed * PRICE, 0) == (report.by_state, report.spent_usd, report.in_doubt_usd)


async def test_a_repeat_of_a_job_whose_outcome_is_not_on_record_has_the_same_outcome(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No result is in the state of a call in flight, and the job is counted once."""
    monkeypatch.setattr(queries, "finish_attempt", raising(sqlite3.OperationalError("disk I/O error")))
    batch = client.batch(make_jobs(1) * 2, tmp_path)
    states: list[JobState] = []
    with pytest.raises(JournalError, match="disk I/O error"):
        async with asyncio.timeout(TIMEOUT), batch:
            async for result in batch:
                states.append(result.state)

    report = batch.report()

    assert ([JobState.ANSWERED] * 2, 1) == (states, len(sandbox.ledger.entries))
    assert ({JobState.ANSWERED: 1}, PRICE, 0) == (report.by_state, report.spent_usd, report.in_doubt_usd)


async def test_a_repeat_that_cannot_be_read_has_no_result(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What was on record while the job before it ran is outdated, and that job has the result."""
    sandbox.hold()
    [job] = make_jobs(1)

    async def repeat_in_flight() -> AsyncGenerator[Job]:
        yield job
        await sandbox.wait_for_requests(1)
        yield job
        monkeypatch.setattr(queries, "find_job", raising(sqlite3.OperationalError("disk I/O error")))
        sandbox.release()

    states: list[JobState] = []
    with pytest.raises(JournalError, match="disk I/O error"):
        async with asyncio.timeout(TIMEOUT), client.batch(repeat_in_flight(), tmp_path) as batch:
            async for result in batch:
                states.append(result.state)

    assert [JobState.DONE] == states


async def test_an_unsent_job_whose_return_is_not_on_record_is_in_doubt(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The journal has it as sending: the report counts its price, as the next run does."""
    sandbox.fail(fault=Fault.refuse)
    monkeypatch.setattr(queries, "finish_attempt", raising(sqlite3.OperationalError("disk I/O error")))
    batch = client.batch(make_jobs(1), tmp_path)
    with pytest.raises(JournalError, match="disk I/O error"):
        async with asyncio.timeout(TIMEOUT), batch:
            async for result in batch:
                assert JobState.AMBIGUOUS is result.state

    report, journal = batch.report(), Folder(tmp_path).report()

    assert ({JobState.AMBIGUOUS: 1}, PRICE) == (report.by_state, report.in_doubt_usd)
    assert (report.by_state, report.in_doubt_usd) == (journal.by_state, journal.in_doubt_usd)


async def test_a_full_disk_during_a_resend_is_the_reason_to_stop(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The error is not hidden by that of the earlier attempt."""
    sandbox.fail(fault=Fault.html_502)
    await collect(client, make_jobs(1), tmp_path)
    monkeypatch.setattr(queries, "finish_attempt", raising(sqlite3.OperationalError("disk I/O error")))

    with pytest.raises(JournalError, match="disk I/O error"):
        await run_batch(client, make_jobs(1), tmp_path, retry_ambiguous=True)


async def test_a_listener_that_stops_the_batch_leaves_no_input_open(client: Ideogram, tmp_path: Path):
    """The input is closed before the batch ends, also if the stop comes while its jobs are read."""
    await collect(client, make_jobs(3), tmp_path)
    closed: list[bool] = []

    async def read_slowly() -> AsyncGenerator[Job]:
        try:
            for job in make_jobs(3):
                yield job

            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0)

            closed.append(True)

    def stop(event: Event) -> None:
        if isinstance(event, JobFinished):
            batch.stop()

    batch = client.with_options(on_event=stop).batch(read_slowly(), tmp_path)
    async with asyncio.timeout(TIMEOUT), batch:
        results = [result async for result in batch]
        assert (3, [True]) == (len(results), closed)


async def test_a_callback_that_is_cancelled_ends_the_batch(sandbox: Sandbox, tmp_path: Path):
    """The cancellation of something that `api_key` awaits is an error, and no job is silently left out."""

    async def cancelled_key() -> str:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        return str(await cancelled)

    async with connected(sandbox.url, api_key=cancelled_key) as client:
        with pytest.raises(RuntimeError, match="a callback of the client was cancelled"):
            await run_batch(client, make_jobs(200), tmp_path)

    assert {JobState.PENDING} == {result.state for result in Folder(tmp_path).results()}


async def test_a_stop_does_not_wait_for_a_resend(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The pause before it ends, and it is not sent."""
    sandbox.fail(fault=Fault.html_502)
    view = client.with_options(retry=Retry(base=1e6, cap=1e6))
    async with asyncio.timeout(TIMEOUT), view.batch(make_jobs(1), tmp_path, retry_ambiguous=True) as batch:
        while JobState.AMBIGUOUS not in Folder(tmp_path).report().by_state:
            await asyncio.sleep(0.001)

        for _ in range(100):
            # The pause begins.
            await asyncio.sleep(0)

        batch.stop()
        [result] = [result async for result in batch]

    assert (JobState.AMBIGUOUS, 1) == (result.state, len(sandbox.requests))
    assert "502" in str(result.error)
