"""Outcomes that cannot be recorded: the result and the log contain them."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.batches import TIMEOUT, collect, make_jobs, run_batch
from support.clients import CANARY, Events
from support.disks import fill

from ideogram_async import (
    Billed,
    DecodeError,
    Ideogram,
    ImageState,
    Job,
    JobResult,
    JobState,
    JournalError,
    SafetyError,
    v2,
)
from ideogram_async._batch.batch import Batch
from ideogram_async._batch.journal import meta, queries
from ideogram_async._batch.journal.reader import read_snapshot
from ideogram_async.batch import Folder
from ideogram_async.events import Failed
from ideogram_async.sandbox import Fault, Sandbox

PRICE = Decimal("0.06")
SUBMIT = "POST /v2/image/generate/ideogram-4-5"


async def run_on_full_disk(
    batch: Batch, sandbox: Sandbox, disk: Path, *, requests: int = 1
) -> tuple[list[JobResult], Path]:
    """Run a batch of one job, on a disk that is full before the reply to its last request comes."""
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), batch:
        await sandbox.wait_for_requests(requests)
        while not (size := read_snapshot(disk / "out", meta.read_input)) or not size.is_complete:
            await asyncio.sleep(0)

        ballast = fill(disk)
        sandbox.release()
        return [result async for result in batch], ballast


def fail_to_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commit of each outcome fail as on a broken disk."""

    def fail(*_: object, **__: object) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(queries, "finish_attempt", fail)


async def test_an_answer_on_a_full_disk_is_in_the_result_and_in_the_log(
    client: Ideogram, sandbox: Sandbox, small_disk: Path, caplog: pytest.LogCaptureFixture
):
    """The job is answered, billed and spent. The next run sends nothing and lists it as ambiguous."""
    folder, jobs = small_disk / "out", make_jobs(1, num_images=2)
    batch = client.batch(jobs, folder)
    [result], ballast = await run_on_full_disk(batch, sandbox, small_disk)
    report = batch.report()
    links = [image.url or "" for image in result.images]
    [entry] = [record for record in caplog.records if record.levelname == "CRITICAL"]

    assert (JobState.ANSWERED, 2 * PRICE, Decimal(0)) == (result.state, report.spent_usd, report.in_doubt_usd)
    assert [ImageState.LINKED] * 2 == [image.state for image in result.images]
    assert [image.url for image in result.answer] == links
    assert isinstance(result.error, DecodeError)
    assert (Billed.YES, tuple(links)) == (result.error.billed, result.error.links)
    assert f"{os.strerror(errno.ENOSPC)}: the reply could not be recorded for job 'fox-0'" in (report.stopped or "")
    assert all(link in entry.getMessage() for link in links)
    assert CANARY not in caplog.text

    ballast.unlink()
    again = await run_batch(client, jobs, folder)

    assert ({JobState.AMBIGUOUS: 1}, 1) == (again.by_state, len(sandbox.ledger.entries))
    assert "the reply could not be recorded" in str(again.ambiguous[0].error)


async def test_a_refusal_on_a_full_disk_is_a_refusal(client: Ideogram, sandbox: Sandbox, small_disk: Path):
    """It is certain that it was not billed."""
    sandbox.fail(fault=Fault.status(422))
    batch = client.batch(make_jobs(1), small_disk / "out")
    [result], _ = await run_on_full_disk(batch, sandbox, small_disk)
    report = batch.report()

    assert (JobState.REJECTED, Decimal(0)) == (result.state, result.cost_usd)
    assert isinstance(result.error, SafetyError)
    assert (0, 0) == (report.spent_usd, report.in_doubt_usd)


async def test_an_acknowledgement_on_a_full_disk_is_waited_for(
    client: Ideogram, sandbox: Sandbox, small_disk: Path, caplog: pytest.LogCaptureFixture
):
    """The generation is polled, and its id and answer are in the log and the result. It is never bought again."""
    folder, jobs = small_disk / "out", [Job(v2.Generate45("a fox"), id="fox")]
    sandbox.fail(SUBMIT, fault=Fault.hang)
    [result], ballast = await run_on_full_disk(client.batch(jobs, folder), sandbox, small_disk)
    ballast.unlink()
    again = await run_batch(client, jobs, folder)

    assert (JobState.ANSWERED, [ImageState.LINKED]) == (result.state, [image.state for image in result.images])
    assert f"job fox: the generation {result.answer.generation_id} could not be recorded" in caplog.text
    assert ({JobState.AMBIGUOUS: 1}, 1) == (again.by_state, len(sandbox.ledger.entries))


async def test_an_accepted_job_on_a_full_disk_stays_accepted(client: Ideogram, sandbox: Sandbox, small_disk: Path):
    """Its answer cannot be recorded. The next run asks for it again, and stores the image."""
    folder, jobs = small_disk / "out", [Job(v2.Generate45("a fox"), id="fox")]
    [result], ballast = await run_on_full_disk(client.batch(jobs, folder), sandbox, small_disk, requests=2)
    full = Folder(folder).report().by_state
    ballast.unlink()
    again = await run_batch(client, jobs, folder)

    assert (JobState.ANSWERED, {JobState.ACCEPTED: 1}) == (result.state, full)
    assert ({JobState.DONE: 1}, 1) == (again.by_state, len(sandbox.ledger.entries))


async def test_an_answer_on_a_broken_disk_precedes_the_error(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Iteration returns the answer, and then raises the error of the journal. No event denies the cost."""
    fail_to_commit(monkeypatch)
    results, events = list[JobResult](), Events()
    with pytest.raises(JournalError, match="disk I/O error"):
        async with (
            asyncio.timeout(TIMEOUT),
            client.with_options(on_event=events).batch(make_jobs(1), tmp_path) as batch,
        ):
            async for result in batch:
                results.append(result)

    assert [JobState.ANSWERED] == [result.state for result in results]
    assert [Billed.UNKNOWN] == [event.billed for event in events.of(Failed)]


async def test_an_unreadable_answer_that_is_not_on_record_has_its_links(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The links in its bytes are images of the result."""
    body = b'{"data": [{"url": "https://ideogram.ai/a.png?sig=8"'
    sandbox.fail(fault=Fault.status(200, body))
    fail_to_commit(monkeypatch)
    results: list[JobResult] = []
    with pytest.raises(JournalError):
        async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(1), tmp_path) as batch:
            async for result in batch:
                results.append(result)

    assert [["https://ideogram.ai/a.png?sig=8"]] == [[image.url for image in result.images] for result in results]
    assert [Billed.YES] == [result.error.billed for result in results if result.error]


async def test_a_cancelled_batch_keeps_an_answer_that_is_not_on_record(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is spent in the report, not in doubt."""
    is_committing = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail(*_: object, **__: object) -> Any:
        loop.call_soon_threadsafe(is_committing.set)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(queries, "finish_attempt", fail)
    batch = client.batch(make_jobs(1), tmp_path)
    running = asyncio.create_task(consume(batch))
    await is_committing.wait()
    running.cancel()
    await asyncio.wait({running})
    report = batch.report()

    assert ({JobState.ANSWERED: 1}, PRICE) == (report.by_state, report.spent_usd)


async def consume(batch: Batch) -> None:
    async with batch:
        async for _ in batch:
            pass


async def test_a_repeated_collection_after_the_failure_pays_nothing(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The next run lists the jobs that may have been billed, and sends the others once."""
    with monkeypatch.context() as patched:
        fail_to_commit(patched)
        with pytest.raises(JournalError):
            await collect(client, make_jobs(3), tmp_path)

    billed = len(sandbox.ledger.entries)
    report = await run_batch(client, make_jobs(3), tmp_path)

    assert 3 == len(sandbox.ledger.entries)
    assert billed == report.by_state[JobState.AMBIGUOUS]
    assert [] == sandbox.ledger.duplicates
