"""Jobs that were certainly not billed: corrected under their id, or sent again on request."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from support.batches import TIMEOUT, by_id, collect, make_jobs, run_batch
from support.folders import job, write_folder
from support.pictures import picture

from ideogram_async import (
    FromJob,
    Generate,
    Ideogram,
    InvalidRequestError,
    Job,
    JobConflictError,
    JobState,
    Remix,
    SafetyError,
    Upscale,
)
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.identity import job_key
from ideogram_async.sandbox import Fault, Sandbox


def states(folder: Path) -> dict[str, JobState]:
    """Return the states in a folder's journal by the id of each job."""
    return {result.id: result.state for result in Folder(folder).results()}


def upscaled(source: str, name: str = "large") -> Job:
    return Job(Upscale(FromJob(source)), id=name)


async def test_a_refused_job_is_corrected_under_its_id(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It takes the new request with its price and weight, and is sent once."""
    sandbox.fail(fault=Fault.status(422))
    await collect(client, [Job(Generate("a refused fox"), id="fox")], tmp_path)
    [result] = await collect(client, [Job(Generate("a polite fox", num_images=2), id="fox")], tmp_path)
    report = Folder(tmp_path).report()
    [recorded] = Folder(tmp_path).results()

    assert (JobState.DONE, 2, None) == (result.state, len(result.images), result.error)
    assert (Decimal("0.12"), 2) == (report.spent_usd, len(sandbox.requests))
    assert Generate("a polite fox", num_images=2) == recorded.request


async def test_a_job_that_was_not_sent_is_corrected_under_its_id(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that a stop left pending takes the new request."""
    sandbox.fail(fault=Fault.status(402))
    await run_batch(client, [Job(Generate("a"), id="fox")], tmp_path)
    before = states(tmp_path)
    await run_batch(client, [Job(Generate("b"), id="fox")], tmp_path)

    assert ({"fox": JobState.PENDING}, {"fox": JobState.DONE}) == (before, states(tmp_path))
    assert [Generate("b")] == [entry.request for entry in Folder(tmp_path).results()]


async def test_a_changed_file_is_taken_under_the_same_id(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The file facts of a refused job are those of the corrected one."""
    path = tmp_path / "fox.png"
    path.write_bytes(picture())
    sandbox.fail(fault=Fault.status(422))
    await collect(client, [Job(Remix(path, "a fox"), id="fox")], tmp_path / "out")
    path.write_bytes(picture(size=(80, 80)))

    assert JobState.DONE is (await collect(client, [Job(Remix(path, "a fox"), id="fox")], tmp_path / "out"))[0].state


async def test_a_moved_file_is_read_where_it_is_now(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The request is the same, and a later run of the folder alone finds the file."""
    path = tmp_path / "fox.png"
    path.write_bytes(picture())
    sandbox.fail(fault=Fault.status(402), times=2)
    await run_batch(client, [Job(Remix(path, "a fox"), id="fox")], tmp_path / "out")
    path = path.rename(tmp_path / "moved.png")
    await run_batch(client, [Job(Remix(path, "a fox"), id="fox")], tmp_path / "out")

    assert {JobState.DONE: 1} == (await run_batch(client, None, tmp_path / "out")).by_state


@pytest.mark.parametrize(
    ("state", "resends", "reason"),
    [
        (JobState.PENDING, 1, "that job is pending, and an earlier attempt may have been billed"),
        (JobState.REJECTED, 1, "that job is rejected, and an earlier attempt may have been billed"),
        (JobState.SENDING, 0, "that job is ambiguous and may have been billed"),
        (JobState.AMBIGUOUS, 0, "that job is ambiguous and may have been billed"),
        (JobState.ANSWERED, 0, "that job is answered and was billed"),
        (JobState.DONE, 0, "that job is done and was billed"),
        (JobState.PARTIAL, 0, "that job is partial and may have been billed"),  # given up
    ],
)
async def test_a_job_that_may_have_been_billed_keeps_its_request(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, state: JobState, resends: int, reason: str
):
    """The conflict states what is true of that job. `retry_rejected` changes nothing."""
    key = job_key("", id="row-0", occurrence=0)
    status = 200 if state in (JobState.ANSWERED, JobState.DONE) else None
    row = job(0, state, key=key, resends=resends, status=status, raw=b"{}" if status else None)
    write_folder(tmp_path, [row])
    with pytest.raises(JobConflictError, match=f"'row-0' is already used by a different request: {reason}"):
        await collect(client, [Job(Generate("another"), id="row-0")], tmp_path, retry_rejected=True)

    assert [] == sandbox.requests


async def test_two_jobs_of_an_input_with_the_same_id_are_a_conflict(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The second one never replaces the first, in any state of the first."""
    sandbox.fail(fault=Fault.status(422))
    with pytest.raises(JobConflictError, match="different request: by an earlier job of the input"):
        await collect(client, [Job(Generate("a"), id="fox"), Job(Generate("b"), id="fox")], tmp_path)

    assert [Generate("a")] == [result.request for result in Folder(tmp_path).results()]


async def test_the_same_refusal_is_delivered_from_the_journal(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Its error is kept, and nothing is sent, until `retry_rejected` is set."""
    sandbox.fail(fault=Fault.status(422, '{"error": "not this fox"}'))
    [first] = await collect(client, make_jobs(1), tmp_path)
    [again] = await collect(client, make_jobs(1), tmp_path)

    assert (False, True, 1) == (first.from_journal, again.from_journal, len(sandbox.requests))
    assert isinstance(again.error, SafetyError)
    assert str(first.error) == str(again.error)

    [retried] = await collect(client, make_jobs(1), tmp_path, retry_rejected=True)

    assert (JobState.DONE, False, 2) == (retried.state, retried.from_journal, len(sandbox.requests))


@pytest.mark.parametrize("count", [1, None])
async def test_retry_rejected_concerns_the_jobs_of_the_input_or_all(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, count: int | None
):
    """Without jobs, all rejected jobs of the folder are sent again."""
    sandbox.fail(fault=Fault.status(400), times=3)
    await collect(client, make_jobs(3), tmp_path)
    await collect(client, None if count is None else make_jobs(count), tmp_path, retry_rejected=True)

    assert (count or 3) == list(states(tmp_path).values()).count(JobState.DONE)


async def test_a_job_that_is_refused_again_is_not_sent_a_third_time(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A repeat in the input gets the refusal of this run."""
    sandbox.fail(fault=Fault.status(400), times=9)
    await collect(client, make_jobs(1), tmp_path)
    results = await collect(client, make_jobs(1) * 3, tmp_path, retry_rejected=True)

    assert ([JobState.REJECTED] * 3, 2) == ([result.state for result in results], len(sandbox.requests))


async def test_a_job_with_an_attempt_in_doubt_keeps_its_price(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """All attempts count with the price that they had."""
    request = Generate("fox 0", seed=0)
    write_folder(tmp_path, [])
    sandbox.fail(fault=Fault.close_after_body)
    await collect(client, [Job(request, id="fox")], tmp_path)
    Folder(tmp_path).resolve("fox", "retry")
    dearer = Ideogram("sandbox", base_url=str(sandbox.url), prices={"v3.DEFAULT": 5})
    async with dearer:
        report = await run_batch(dearer, [Job(request, id="fox")], tmp_path)

    assert (Decimal("0.06"), Decimal("0.06")) == (report.spent_usd, report.in_doubt_usd)


async def test_a_job_whose_source_was_refused_is_rejected_until_both_are_sent_again(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
):
    """The refusal and its reason are on record. `retry_rejected` frees the source and the jobs that need it."""
    sandbox.fail(fault=Fault.status(422))
    jobs = [*make_jobs(1), upscaled("fox-0")]
    first = by_id(await collect(client, jobs, tmp_path))
    again = by_id(await collect(client, jobs, tmp_path))

    assert {"fox-0": JobState.REJECTED, "large": JobState.REJECTED} == states(tmp_path)
    assert "image 0 of job 'fox-0' does not exist; the job is rejected" in str(first["large"].error)
    assert isinstance(again["large"].error, InvalidRequestError)
    assert (str(first["large"].error), True) == (str(again["large"].error), again["large"].from_journal)

    report = await run_batch(client, None, tmp_path, retry_rejected=True)

    assert ({JobState.DONE: 2}, 3) == (report.by_state, len(sandbox.requests))


async def test_jobs_without_a_source_are_no_reason_to_stop(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Jobs that were never sent are no reason to stop, in any number."""
    sandbox.fail(fault=Fault.status(422))
    jobs = [*make_jobs(1), *(upscaled("fox-0", f"large-{n}") for n in range(25)), Job(Generate("last"), id="last")]
    report = await run_batch(client, jobs, tmp_path)

    assert (None, {JobState.REJECTED: 26, JobState.DONE: 1}) == (report.stopped, report.by_state)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.status(422), JobState.REJECTED),
        (Fault.unsafe(1), JobState.REJECTED),
        (Fault.html_502, JobState.PENDING),
        (Fault.status(402), JobState.PENDING),
        (Fault.refuse, JobState.PENDING),
    ],
    ids=["refused", "withheld", "ambiguous", "left by a stop", "not sent"],
)
async def test_a_job_whose_source_does_not_come(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, fault: Fault, expected: JobState
):
    """It is rejected if its source will never be stored, and waits for a later run otherwise."""
    sandbox.fail(fault=fault)
    await collect(client, [*make_jobs(1), upscaled("fox-0"), upscaled("large", "larger")], tmp_path)
    recorded = states(tmp_path)

    assert (expected, expected) == tuple(recorded.get(name, JobState.PENDING) for name in ("large", "larger"))
    assert 0 == sum(request.operation == "POST /upscale" for request in sandbox.requests)


async def test_a_job_waits_for_a_source_in_doubt(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The result states what it waits for. If the source is given up, the job is rejected."""
    sandbox.fail(fault=Fault.html_502)
    jobs = [*make_jobs(1), upscaled("fox-0")]
    waiting = by_id(await collect(client, jobs, tmp_path))["large"]

    assert JobState.PENDING is waiting.state
    assert "image 0 of job 'fox-0' does not exist; the job is ambiguous" in str(waiting.error)

    Folder(tmp_path).resolve("fox-0", "lost")
    rejected = by_id(await collect(client, jobs, tmp_path))["large"]

    assert JobState.REJECTED is rejected.state
    assert "image 0 of job 'fox-0' is lost" in str(rejected.error)


async def test_a_job_is_sent_once_its_source_was_resent(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It waited in the journal."""
    sandbox.fail(fault=Fault.html_502)
    jobs = [*make_jobs(1), upscaled("fox-0")]
    await collect(client, jobs, tmp_path)
    report = await run_batch(client, None, tmp_path, retry_ambiguous=True)

    assert {JobState.DONE: 2} == report.by_state


async def test_a_job_whose_source_is_invalid_waits_for_a_later_run(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """An invalid source is not on record. The next run may have it."""
    path = tmp_path / "fox.png"
    jobs = [Job(Remix(path, "a fox"), id="fox"), upscaled("fox")]
    first = by_id(await collect(client, jobs, tmp_path / "out"))
    path.write_bytes(picture())
    report = await run_batch(client, jobs, tmp_path / "out")

    assert "no earlier valid job has that id" in str(first["large"].error)
    assert {JobState.DONE: 2} == report.by_state


async def test_a_stop_ends_jobs_that_wait_for_a_source(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """They stay pending, and nothing hangs."""
    sandbox.hold()
    jobs = [*make_jobs(1), *(upscaled("fox-0", f"large-{n}") for n in range(30))]
    async with asyncio.timeout(TIMEOUT), client.batch(jobs, tmp_path) as batch:
        await sandbox.wait_for_requests(1)
        batch.stop()
        sandbox.release()
        results = [result async for result in batch]

    assert ["fox-0"] == [result.id for result in results]
    assert {JobState.DONE: 31} == (await run_batch(client, jobs, tmp_path)).by_state


async def test_a_file_is_hashed_again_before_each_attempt(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A file that changed after the first attempt is not sent, with any modification time."""
    path = tmp_path / "fox.png"
    path.write_bytes(picture())
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)

    def change(_: object) -> None:
        if len(sandbox.requests) == 1:
            content = bytearray(picture())
            content[-1] ^= 1
            path.write_bytes(content)
            os.utime(path, ns=times)

    sandbox.fail(fault=Fault.status(429))
    [result] = await collect(client, [Job(Remix(path, "a fox"), id="fox")], tmp_path / "out", on_event=change)

    assert (1, ()) == (len(sandbox.requests), tuple(sandbox.ledger.entries))
    assert isinstance(result.error, InvalidRequestError)
    assert "image: " in str(result.error)
    assert "fox.png changed after the job was recorded" in str(result.error)
    assert {"fox": JobState.PENDING} == states(tmp_path / "out")


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(picture(size=(9, 9)))])
async def test_an_image_of_an_earlier_job_is_hashed_too(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, change: Callable[[Path], object]
):
    """A stored image that was changed or deleted is not sent. The job is pending."""
    await collect(client, make_jobs(1), tmp_path)
    change(tmp_path / "fox-0-0.png")
    [result] = await collect(client, [upscaled("fox-0")], tmp_path)

    assert "image: " in str(result.error)
    assert "fox-0-0.png" in str(result.error)
    assert (1, JobState.PENDING) == (len(sandbox.requests), states(tmp_path)["large"])


async def test_a_copy_in_the_folder_is_hashed_too(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A copy that is damaged is not sent, and the same input repairs it."""
    sandbox.fail(fault=Fault.status(402))
    jobs = [Job(Remix(picture(), "a fox"), id="fox")]
    await collect(client, jobs, tmp_path)
    [copy] = (tmp_path / ".ideogram" / "inputs").iterdir()
    copy.write_bytes(picture()[:-1])
    [result] = await collect(client, None, tmp_path)

    assert "changed after the job was recorded" in str(result.error)

    await collect(client, jobs, tmp_path)

    assert (picture(), {"fox": JobState.DONE}) == (copy.read_bytes(), states(tmp_path))
