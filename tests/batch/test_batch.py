"""A batch as a whole: its results, resuming, leaving, stopping and cancelling it."""

from __future__ import annotations

import asyncio
import gc
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.batches import TIMEOUT, collect, count_images, make_jobs, run_batch
from support.leaks import files_below, other_tasks

from ideogram_async import Generate, Ideogram, ImageState, Job, JobState, JournalError
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal import queries
from ideogram_async.sandbox import Fault, Sandbox

PRICE = Decimal("0.06")


def own_tasks() -> list[str]:
    """Return the names of the client's tasks. The sandbox has tasks in this loop, too."""
    codes = [task.get_coro().cr_code for task in other_tasks()]  # type: ignore[union-attr]
    return [
        code.co_qualname
        for code in codes
        if "/ideogram_async/" in code.co_filename and "/sandbox/" not in code.co_filename
    ]


def journal_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "journal" in thread.name]


async def wait_for_image_requests(sandbox: Sandbox, count: int) -> None:
    while len(sandbox.image_requests) < count:
        await asyncio.sleep(0)


async def test_every_job_is_stored_and_returned(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Each job has one result, and its images are on disk under names made of its id."""
    results = await collect(client, make_jobs(5, num_images=2), tmp_path)
    names = {f"fox-{n}-{index}.png" for n in range(5) for index in range(2)}

    assert {f"fox-{n}" for n in range(5)} == {result.id for result in results}
    assert names == {path.name for path in tmp_path.glob("*.png")}
    assert all(image.path and image.path.is_file() for result in results for image in result.images)
    assert 5 == len(sandbox.ledger.entries)


async def test_a_finished_folder_sends_nothing(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The same call again returns the same results from the journal, without one request."""
    first = await collect(client, make_jobs(5), tmp_path)
    sandbox.reset()
    again = await collect(client, make_jobs(5), tmp_path)

    assert (0, 0) == (len(sandbox.requests), len(sandbox.image_requests))
    assert all(result.from_journal for result in again)
    assert {(result.id, result.images) for result in first} == {(result.id, result.images) for result in again}


async def test_ordered_results_follow_the_input(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """With `ordered` the results have the order of the input."""
    sandbox.fail("images", fault=Fault.status(503), times=3)
    results = await collect(client, make_jobs(30), tmp_path, ordered=True)

    assert list(range(30)) == [result.index for result in results]


async def test_leaving_early_finishes_the_calls_in_flight(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """After `break` nothing more is sent, and the images of calls in flight are stored."""
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(200), tmp_path) as batch:
        async for _ in batch:
            break

    assert "the block was left early" == batch.report().stopped
    assert len(sandbox.ledger.entries) == count_images(tmp_path) < 200
    assert ([], [], []) == (files_below(tmp_path), journal_threads(), own_tasks())


async def test_a_stopped_batch_sends_nothing_new_and_returns_the_results_in_flight(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
):
    """Another call of `stop` changes nothing, and the same batch resumes."""
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(50), tmp_path) as batch:
        await sandbox.wait_for_requests(10)
        batch.stop("SIGTERM")
        batch.stop()
        sandbox.release()
        results = [result async for result in batch]

    assert (10, {JobState.DONE}) == (len(results), {result.state for result in results})
    assert (10, 10, "SIGTERM") == (len(sandbox.requests), count_images(tmp_path), batch.report().stopped)

    report = await run_batch(client, make_jobs(50), tmp_path)

    assert ({JobState.DONE: 50}, None) == (report.by_state, report.stopped)
    assert (50, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_batch_that_is_stopped_before_it_opens_sends_nothing(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
):
    """It ends at once, without results."""
    batch = client.batch(make_jobs(3), tmp_path)
    batch.stop()
    async with asyncio.timeout(TIMEOUT), batch:
        results = [result async for result in batch]

    assert ([], [], "stopped") == (results, sandbox.requests, batch.report().stopped)


async def test_stopping_a_batch_that_is_over_changes_nothing(client: Ideogram, tmp_path: Path):
    """A complete batch is not reported as stopped."""
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(3), tmp_path) as batch:
        results = [result async for result in batch]
        batch.stop()

    assert (3, None) == (len(results), batch.report().stopped)


@pytest.mark.parametrize("max_downloads", [1, 3])
async def test_closing_the_client_leaves_answers_to_a_later_run(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, max_downloads: int
):
    """Linked images stay linked, those whose download had not begun too, and nothing is raised."""
    sandbox.fail("images", fault=Fault.hang, times=max_downloads)
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(3), tmp_path, max_downloads=max_downloads) as batch:
        await sandbox.wait_for_requests(3)
        await wait_for_image_requests(sandbox, max_downloads)
        closing = asyncio.create_task(client.aclose(grace=0))
        results = [result async for result in batch]

    await closing
    sandbox.release()

    assert [JobState.ANSWERED] * 3 == [result.state for result in results]
    assert {ImageState.LINKED} >= {image.state for result in results for image in result.images}

    again = await collect(client, make_jobs(3), tmp_path)

    assert {JobState.DONE} == {result.state for result in again}
    assert 3 == len(sandbox.ledger.entries)


async def test_a_client_that_is_closed_while_sending_is_committed_has_sent_nothing(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A call that is connected and waits for the commit of SENDING is pending again."""
    gate, begun, begin = threading.Event(), asyncio.Event(), queries.begin_attempt
    loop = asyncio.get_running_loop()

    def slow_begin(*values: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(10)
        begin(*values)

    monkeypatch.setattr(queries, "begin_attempt", slow_begin)
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(1), tmp_path) as batch:
        await begun.wait()
        for _ in range(200):
            # The call connects meanwhile.
            await asyncio.sleep(0)

        closing = asyncio.create_task(client.aclose(grace=0))
        await asyncio.sleep(0)
        gate.set()
        await closing
        results = [result async for result in batch]

    assert ([], []) == (sandbox.requests, results)
    assert {JobState.PENDING: 1} == Folder(tmp_path).report().by_state


async def test_several_tasks_share_the_results(client: Ideogram, tmp_path: Path):
    """Several tasks may iterate: each result is returned to one of them, and all of them end."""
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(20), tmp_path) as batch:

        async def iterate() -> list[str]:
            return [result.id async for result in batch]

        shares = await asyncio.gather(iterate(), iterate(), iterate())

    assert sorted(job.id or "" for job in make_jobs(20)) == sorted(name for share in shares for name in share)


async def test_one_of_several_errors_is_raised_as_itself(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Jobs of earlier runs are read in a task group, and the caller catches an error by its type."""
    sandbox.fail("images", fault=Fault.status(503), times=100)
    await collect(client, make_jobs(3), tmp_path)
    resumed = client.batch(make_jobs(3), tmp_path)

    def broken(*_: object) -> None:
        raise JournalError("broken")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ideogram_async._batch.intake.deserialize", broken)
        with pytest.raises(JournalError, match="broken"):
            async with asyncio.timeout(TIMEOUT), resumed as batch:
                await anext(batch)


async def test_a_batch_runs_once(client: Ideogram, tmp_path: Path):
    """Entering a batch again raises an error; a new batch resumes the folder."""
    batch = client.batch([Job(Generate("a fox"))], tmp_path)
    async with batch:
        pass

    with pytest.raises(RuntimeError, match="once"):
        await batch.__aenter__()


async def test_results_need_the_block(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Iterating outside `async with` raises an error that shows the block, and sends nothing."""
    with pytest.raises(RuntimeError, match="async with"):
        await anext(client.batch([Job(Generate("a fox"))], tmp_path))

    assert [] == sandbox.requests


async def test_a_batch_that_has_ended_leaves_no_task_or_thread(client: Ideogram, tmp_path: Path):
    """The garbage collector finds nothing to warn about."""
    await collect(client, make_jobs(3), tmp_path)
    gc.collect()

    assert ([], []) == (own_tasks(), journal_threads())
