"""What attacks on the batch have found: each stays found."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ideogram_async import FromJob, Generate, Ideogram, ImageState, Job, JobResult, JobState, JournalError, Upscale
from ideogram_async._batch import task
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal import queries
from ideogram_async._batch.stopping import BatchStoppedError, StopPolicy
from ideogram_async.sandbox import Fault, Sandbox

TIMES_OUT = 20
PRICE = Decimal("0.06")
LINK = "http://127.0.0.1:9/fox.png"


def foxes(count: int) -> list[Job]:
    return [Job(Generate(f"fox {n}", seed=n), id=f"fox-{n}") for n in range(count)]


async def results(client: Ideogram, jobs: list[Job] | None, folder: Path) -> dict[str, JobResult]:
    async with asyncio.timeout(TIMES_OUT), client.batch(jobs, folder) as batch:
        return {result.id: result async for result in batch}


async def images_asked(box: Sandbox, count: int) -> None:
    while len(box.image_requests) < count:
        await asyncio.sleep(0)


async def test_the_report_of_a_cancelled_batch_lists_what_flew(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Its jobs in doubt are as many as its money in doubt says, and it says that it stopped early."""
    box.hold()
    batch = client.batch(foxes(30), tmp_path)
    with pytest.raises(KeyError):
        async with asyncio.timeout(TIMES_OUT), batch:
            await box.wait_for_requests(10)
            raise KeyError

    report = batch.report()
    box.release()

    assert {f"fox-{n}" for n in range(10)} == {result.id for result in report.ambiguous}
    assert ({JobState.AMBIGUOUS: 10}, 10 * PRICE) == (report.by_state, report.in_doubt_usd)
    assert "the caller left" == report.stopped


async def test_what_was_paid_for_when_the_batch_was_cancelled_is_in_its_report(
    client: Ideogram, box: Sandbox, tmp_path: Path
):
    """A job whose images were still to be collected counts as spent."""
    box.fail("images", fault=Fault.hang, times=3)
    batch = client.batch(foxes(3), tmp_path)
    with pytest.raises(KeyError):
        async with asyncio.timeout(TIMES_OUT), batch:
            await images_asked(box, 3)
            raise KeyError

    report = batch.report()
    box.release()

    assert ({JobState.ANSWERED: 3}, 3 * PRICE, 0) == (report.by_state, report.spent_usd, report.in_doubt_usd)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_a_client_that_is_closed_leaves_answers_to_be_collected(
    client: Ideogram, box: Sandbox, tmp_path: Path, at_once: int
):
    """What was linked stays linked, also what had not begun, and nothing is raised."""
    box.fail("images", fault=Fault.hang, times=at_once)
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(3), tmp_path, max_downloads=at_once) as batch:
        await box.wait_for_requests(3)
        await images_asked(box, at_once)
        closing = asyncio.create_task(client.aclose())
        found = [result async for result in batch]

    await closing
    box.release()

    assert [(JobState.ANSWERED, ImageState.LINKED)] * 3 == [(it.state, it.images[0].state) for it in found]

    again = await results(client, foxes(3), tmp_path)

    assert {JobState.DONE} == {it.state for it in again.values()}
    assert 3 == len(box.ledger.entries)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"seed": 2**63}, (None, "fox")),
        ({"seed": -(2**70)}, (None, "fox")),
        ({"seed": 2**63 - 1}, (2**63 - 1, "fox")),
        ({"prompt": "half \ud800"}, (1, "half ?")),
    ],
)
async def test_an_answer_that_the_journal_cannot_hold_as_it_is(
    client: Ideogram, box: Sandbox, tmp_path: Path, told: dict[str, object], kept: tuple[object, ...]
):
    """A number that is too large, or half a character, neither ends the batch nor hides the image."""
    image = {"url": None, "is_image_safe": False, "seed": 1, "prompt": "fox", "resolution": "1024x1024"} | told
    answer = {"created": "2026-01-01T00:00:00Z", "data": [image]}
    box.fail(fault=Fault.status(200, json.dumps(answer)))

    found = await results(client, foxes(1), tmp_path)
    (stored,) = found["fox-0"].images

    assert (JobState.PARTIAL, ImageState.WITHHELD) == (found["fox-0"].state, stored.state)
    assert kept == (stored.seed, stored.prompt)


async def test_a_job_whose_deleted_image_cannot_be_had_now_is_not_done(client: Ideogram, box: Sandbox, tmp_path: Path):
    """It waits to be collected, is told as such, and needs no input to be collected later."""
    await results(client, foxes(2), tmp_path)
    (tmp_path / "fox-0-0.png").unlink()
    box.fail("images", fault=Fault.status(503), times=12)

    found = await results(client, foxes(2), tmp_path)

    assert {"fox-0": JobState.ANSWERED, "fox-1": JobState.DONE} == {name: it.state for name, it in found.items()}

    while not (tmp_path / "fox-0-0.png").exists():
        # Each uses up some of the faults that are left.
        await results(client, None, tmp_path)

    assert 2 == len(box.ledger.entries)


async def test_a_chain_says_what_became_of_the_job_that_it_names(client: Ideogram, box: Sandbox, tmp_path: Path):
    """An image that was never made is not lost: its job is in doubt, or refused, or makes fewer."""
    box.fail("POST /v1/ideogram-v3/generate", fault=Fault.html_502)
    first = Job(Upscale(FromJob("fox-0")), id="first")  # type: ignore[arg-type]

    found = await results(client, [*foxes(1), first], tmp_path)

    assert "image 0 of job 'fox-0' does not exist, and the job is ambiguous" in str(found["first"].error)

    beyond = Job(Upscale(FromJob("fox-1", 5)), id="beyond")  # type: ignore[arg-type]
    found = await results(client, [*foxes(2), beyond], tmp_path)

    assert "image 5 of job 'fox-1' does not exist, and the job is done" in str(found["beyond"].error)


@pytest.mark.parametrize("how", ["folder", "link that leads nowhere"])
async def test_a_journal_that_cannot_be_opened(client: Ideogram, box: Sandbox, tmp_path: Path, how: str):
    """It is refused, and nothing begins afresh: what it has noted may only be out of sight."""
    await results(client, foxes(1), tmp_path)
    journal = tmp_path / ".ideogram" / "journal.sqlite3"
    journal.unlink()
    if how == "folder":
        journal.mkdir()
    else:
        journal.symlink_to(tmp_path / "away" / "journal.sqlite3")

    with pytest.raises(JournalError, match="is damaged or not a journal"):
        await results(client, foxes(1), tmp_path)

    assert 1 == len(box.requests)


async def test_one_error_of_several_is_told_as_itself(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Answers of earlier runs are collected together, and a caller looks for an error by its type."""
    box.fail("images", fault=Fault.status(503), times=100)
    await results(client, foxes(3), tmp_path)
    keep = client.batch(foxes(3), tmp_path)

    def broken(*_: object) -> None:
        raise JournalError("broken")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ideogram_async._batch.intake.deserialize", broken)
        with pytest.raises(JournalError, match="broken"):
            async with asyncio.timeout(TIMES_OUT), keep as batch:
                await anext(batch)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_input_that_cancels_itself_has_not_ended(client: Ideogram, tmp_path: Path, is_async: bool):
    """The caller hears that there may have been more."""

    def jobs() -> Iterator[Job]:
        yield from foxes(2)
        raise asyncio.CancelledError

    async def jobs_that_come() -> AsyncIterator[Job]:
        for job in jobs():
            yield job

    batch = client.batch(jobs_that_come() if is_async else jobs(), tmp_path)
    with pytest.raises(RuntimeError, match="the input was cancelled before its end"):
        async with asyncio.timeout(TIMES_OUT), batch:
            while True:
                await anext(batch)

    assert "the input was cancelled before its end" == batch.report().stopped


async def test_nobody_begins_to_wait_for_a_place_when_the_batch_has_stopped():
    """Not even for a moment: the gate may be closed for long."""
    halt = StopPolicy()
    halt.stop("the cap is reached")

    with pytest.raises(BatchStoppedError, match="the batch has stopped: the cap is reached"):
        async with halt.interruptible():
            raise AssertionError


async def test_a_client_that_is_closed_while_the_journal_is_busy_has_sent_nothing(
    client: Ideogram, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A call whose connection stands, and whose first byte waits for the disk, is pending again."""
    gate, begun, begin = threading.Event(), asyncio.Event(), queries.begin_attempt
    loop = asyncio.get_running_loop()

    def slow(*facts: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(10)
        begin(*facts)

    monkeypatch.setattr(queries, "begin_attempt", slow)
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(1), tmp_path) as batch:
        await begun.wait()
        for _ in range(200):
            # Meanwhile the connection is made.
            await asyncio.sleep(0)

        await client.aclose()
        gate.set()
        found = [(result.state, result.cost_usd) async for result in batch]

    assert ([], [(JobState.PENDING, 0)]) == (box.requests, found)
    assert {JobState.PENDING: 1} == Folder(tmp_path).report().by_state


async def test_a_sidecar_that_cannot_be_written_hides_no_image(
    client: Ideogram, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An image that stands in the folder is known as stored: its link may be dead when the batch goes on."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(task, "write_sidecars", full)
        await client.run_batch([Generate("fox", num_images=2)], tmp_path, sidecars=True)

    box.advance(10**6)
    report = await client.run_batch([Generate("fox", num_images=2)], tmp_path, sidecars=True)

    assert ({JobState.DONE: 1}, 2) == (report.by_state, report.images_stored)
