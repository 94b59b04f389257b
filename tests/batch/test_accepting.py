"""Batches of calls that the service accepts first: what is recorded, asked for again, and never sent twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.batches import TIMEOUT, by_id, collect, run_batch
from support.clients import connected, fast_limiter
from support.folders import job
from support.pictures import picture

from ideogram_async import (
    Generate,
    Ideogram,
    InvalidRequestError,
    Job,
    JobConflictError,
    JobState,
    JournalError,
    Upscale,
    v2,
)
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import JOB, JobRow, read_job, values_of
from ideogram_async._batch.journal.writer import Journal
from ideogram_async.batch import Folder
from ideogram_async.errors import GenerationFailed, RateLimitError, WaitTimeout
from ideogram_async.files import FromJob
from ideogram_async.sandbox import Fault, Sandbox

POLL = "GET /v2/generations/{generation_id}"
SUBMIT = "POST /v2/image/generate/ideogram-4-5"


def make_jobs(count: int, **fields: Any) -> list[Job]:
    """Return jobs named `fox-<n>` that the service can accept first."""
    return [Job(v2.Generate45(f"fox {n}", **fields), id=f"fox-{n}") for n in range(count)]


async def leave_accepted(client: Ideogram, sandbox: Sandbox, folder: Path, count: int, **options: Any) -> None:
    """Run a batch that stops once all jobs are accepted, and none has ended."""
    sandbox.hold()
    async with client.batch(make_jobs(count), folder, grace=0, **options):
        await accepted(sandbox, count)

    assert count == Folder(folder).report().by_state[JobState.ACCEPTED]


async def accepted(sandbox: Sandbox, count: int) -> None:
    """Wait until that many jobs are polled."""
    while len({request.path for request in sandbox.requests if request.operation == POLL}) < count:
        await sandbox.wait_for_requests(len(sandbox.requests) + 1)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the jobs in the journal of a running batch."""
    with closing(sqlite3.connect(folder / ".ideogram" / "journal.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM job")]


def polls(sandbox: Sandbox) -> int:
    return sum(request.operation == POLL for request in sandbox.requests)


def submissions(sandbox: Sandbox) -> int:
    return sum(request.operation == SUBMIT for request in sandbox.requests)


async def test_jobs_are_accepted_first(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """By default what can be accepted is, and the rest is answered at once."""
    jobs = [*make_jobs(2, num_images=2), Job(Generate("a hen"), id="hen")]
    report = await run_batch(client, jobs, tmp_path)
    sent = {request.operation: (request.json or {}).get("async") for request in sandbox.requests}

    assert ({JobState.DONE: 3}, 5) == (report.by_state, report.images_stored)
    assert [True, None] == [sent[SUBMIT], sent["POST /v1/ideogram-v3/generate"]]
    assert 2 <= polls(sandbox)


async def test_never_asks_for_no_acceptance(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """With `never`, calls are answered at once."""
    report = await run_batch(client, make_jobs(2), tmp_path, accept="never")

    assert ({JobState.DONE: 2}, 0) == (report.by_state, polls(sandbox))


async def test_always_rejects_what_cannot_be_accepted(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """With `always`, a job that cannot be accepted is rejected unpaid and stays pending in the folder."""
    jobs = [Job(Generate("a hen"), id="hen"), *make_jobs(1)]
    results = by_id(await collect(client, jobs, tmp_path, accept="always"))

    assert (JobState.REJECTED, JobState.DONE) == (results["hen"].state, results["fox-0"].state)
    assert isinstance(results["hen"].error, InvalidRequestError)
    assert "accept" == results["hen"].error.problems[0][0]
    assert {JobState.PENDING: 1, JobState.DONE: 1} == Folder(tmp_path).report().by_state
    assert 1 == len(sandbox.ledger.entries)


@pytest.mark.parametrize(
    ("accept", "problem"),
    [
        ("sometimes", "must be 'auto', 'never', 'always', or a URL"),
        ("https://example.com/hooks", "must be 'auto', 'never', 'always', or a URL"),
        ("https://example.com/{id}/{key}", "the only placeholder is {key}"),
        ("ftp://example.com/{key}", "must be an https URL with a public host"),
        ("https://example.com/{key}" + 2048 * "x", "at most 2048 are allowed"),
    ],
)
async def test_an_invalid_setting_is_refused_at_once(client: Ideogram, tmp_path: Path, accept: str, problem: str):
    """What `accept` does not allow is an error that names it, before the folder is made."""
    with pytest.raises(ValueError, match=r"accept") as error:
        client.batch(make_jobs(1), tmp_path / "out", accept=accept)

    assert problem in str(error.value)
    assert not (tmp_path / "out").exists()


async def test_a_webhook_has_the_key_of_its_job(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """With the template of a URL, each job has an address of its own, and is polled all the same."""
    sandbox.fail(SUBMIT, fault=Fault.webhook_absent, times=2)
    [first, second] = await collect(client, make_jobs(2), tmp_path, accept=f"{sandbox.url}/hooks/{{key}}")
    hooks = {request.json["webhook_url"] for request in sandbox.requests if request.operation == SUBMIT}

    assert {f"{sandbox.url}/hooks/{result.key}" for result in (first, second)} == hooks
    assert (JobState.DONE, JobState.DONE) == (first.state, second.state)


async def test_acceptance_is_on_record_before_the_first_poll(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The id, path and acknowledgement are committed, and the slots are held, while a job is polled."""
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(1, num_images=3), tmp_path) as batch:
        await accepted(sandbox, 1)
        [row] = rows_of(tmp_path)
        in_flight = client.limiter.statistics().in_flight
        sandbox.release()
        [result] = [result async for result in batch]

    assert ("accepted", "/v2/generations/", 3) == (row["state"], row["poll"], in_flight)
    assert row["generation_id"] == result.answer.generation_id
    assert row["generation_id"].encode() in row["raw"]
    assert type(result.answer.seed) is int


async def test_at_most_four_submissions_are_in_flight(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Until the acknowledgements come, four jobs are SENDING, and the others are not sent."""
    sandbox.fail(SUBMIT, fault=Fault.hang, times=4)
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(8), tmp_path) as batch:
        await sandbox.wait_for_requests(4)
        for _ in range(20):
            await asyncio.sleep(0)

        states = sorted(row["state"] for row in rows_of(tmp_path))
        sandbox.release()
        results = [result async for result in batch]

    assert 4 * ["pending"] + 4 * ["sending"] == states
    assert 8 * [JobState.DONE] == [result.state for result in results]


async def test_accepted_jobs_are_resumed_before_anything_is_sent(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A later run asks for what an earlier one left accepted, sends it never again, and then sends the rest."""
    await leave_accepted(client, sandbox, tmp_path, 3)
    before = len(sandbox.requests)
    sandbox.release()
    async with connected(sandbox.url) as other:
        results = await collect(other, make_jobs(5), tmp_path)

    operations = [request.operation for request in sandbox.requests[before:]]

    assert {POLL} == {*operations[:3]}
    assert 5 == submissions(sandbox) == len(sandbox.ledger.entries)
    assert [(f"fox-{n}", n, JobState.DONE) for n in range(5)] == sorted(
        (result.id, result.index, result.state) for result in results
    )
    assert all(type(result.answer.seed) is int for result in results)


async def test_downloads_of_resumed_jobs_hold_up_no_submission(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job whose generation has ended is run once, and others are sent while its image is downloaded."""
    await leave_accepted(client, sandbox, tmp_path, 1)
    sandbox.release()
    sandbox.fail("images", fault=Fault.hang)
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(2), tmp_path) as batch:
        await accepted(sandbox, 2)
        sandbox.release()
        states = [result.state async for result in batch]

    assert ([JobState.DONE] * 2, 2) == (states, submissions(sandbox))


async def test_accepted_jobs_keep_their_slots_in_a_later_run(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """While accepted jobs go on, new ones are sent only to the slots that are left."""
    await leave_accepted(client, sandbox, tmp_path, 3)
    async with (
        asyncio.timeout(TIMEOUT),
        connected(sandbox.url, limiter=fast_limiter(4)) as other,
        other.batch(make_jobs(6), tmp_path) as batch,
    ):
        await accepted(sandbox, 4)
        during = submissions(sandbox)
        sandbox.release()
        results = [result async for result in batch]

    assert (4, 6) == (during, submissions(sandbox))
    assert 6 * [JobState.DONE] == [result.state for result in results]
    assert 4 >= sandbox.peak_in_flight


async def test_what_is_accepted_is_unfinished_and_not_ambiguous(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A report counts and lists accepted jobs, with their price in doubt and a ticket to wait for."""
    await leave_accepted(client, sandbox, tmp_path, 2)
    report = Folder(tmp_path).report()
    [first, _] = Folder(tmp_path).results()

    assert ({JobState.ACCEPTED: 2}, ()) == (report.by_state, report.ambiguous)
    assert ["fox-0", "fox-1"] == [result.id for result in report.failures]
    assert (Decimal(0), 2 * first.cost_usd) == (report.spent_usd, report.in_doubt_usd)
    assert isinstance(first.error, WaitTimeout)
    sandbox.release()
    assert "completed" == (await client.generations.wait(first.error.ticket)).status


async def test_a_run_that_is_stopped_at_once_still_counts_them(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Accepted jobs of an earlier run are in the report of a run that does not get to them."""
    await leave_accepted(client, sandbox, tmp_path, 2)
    async with client.batch(make_jobs(3), tmp_path) as batch:
        batch.stop()

    sandbox.release()

    assert 2 == batch.report().by_state[JobState.ACCEPTED]
    assert 2 == submissions(sandbox)


async def test_the_budget_counts_them_once(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The price of an accepted job is reserved again, and spent once it is answered."""
    await leave_accepted(client, sandbox, tmp_path, 2, max_cost_usd="0.30")
    sandbox.release()
    report = await run_batch(client, make_jobs(4), tmp_path, max_cost_usd="0.30")
    price = report.spent_usd / 3

    assert {JobState.DONE: 3} == report.by_state
    assert (Decimal("0.30"), 0) == (3 * price, report.in_doubt_usd)
    assert "budget of 0.30 USD reached" in (report.stopped or "")


async def test_a_failed_generation_is_submitted_once_more(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Its reservation is released, and the second generation is the job's."""
    sandbox.fail(SUBMIT, fault=Fault.failed("internal_error"))
    [result] = await collect(client, make_jobs(1), tmp_path, max_cost_usd="0.10")

    assert JobState.DONE is result.state
    assert (2, 1) == (submissions(sandbox), len(sandbox.ledger.entries))


async def test_a_reason_that_was_cut_in_the_middle_of_a_character(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A reason that ends with half of a surrogate pair is recorded, and the job does not stay accepted for ever."""
    failed = {"generation_id": "g", "status": "failed", "failure_reason": "content \ud83d"}
    sandbox.fail(POLL, fault=Fault.status(200, json.dumps(failed)))
    [result] = await collect(client, make_jobs(1), tmp_path)

    assert JobState.REJECTED is result.state
    assert "has failed: content ?" in str(result.error)


@pytest.mark.parametrize(("reason", "sent"), [("internal_error", 2), ("content_policy_violation", 1)])
async def test_a_generation_that_fails_again_is_rejected(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, reason: str, sent: int
):
    """It is unpaid, is never sent a third time, nor a second time after a content reason, and the error stays."""
    sandbox.fail(SUBMIT, fault=Fault.failed(reason), times=10)
    [result] = await collect(client, make_jobs(1), tmp_path)
    [again] = await collect(client, make_jobs(1), tmp_path)

    assert (JobState.REJECTED, JobState.REJECTED, 0) == (result.state, again.state, result.cost_usd)
    assert isinstance(result.error, GenerationFailed)
    assert isinstance(again.error, GenerationFailed)
    assert reason == result.error.reason == again.error.reason
    assert f"has failed: {reason}" in Folder(tmp_path).export_csv(tmp_path / "jobs.csv").read_text()
    assert (sent, 0) == (submissions(sandbox), len(sandbox.ledger.entries))


async def test_a_rejected_generation_can_be_sent_again_on_request(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """With `retry_rejected` its failures are forgotten."""
    sandbox.fail(SUBMIT, fault=Fault.failed(), times=3)
    await collect(client, make_jobs(1), tmp_path)
    [result] = await collect(client, make_jobs(1), tmp_path, retry_rejected=True)

    assert (JobState.DONE, 4) == (result.state, submissions(sandbox))


async def test_a_failure_of_an_earlier_run_counts(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that failed once in a run that stopped is sent once more in the next one."""
    sandbox.fail(SUBMIT, fault=Fault.failed(), times=10)
    async with client.batch(make_jobs(1), tmp_path, grace=0) as batch:
        sandbox.hold()
        await accepted(sandbox, 1)
        batch.stop()

    sandbox.release()
    [result] = await collect(client, make_jobs(1), tmp_path)

    assert (JobState.REJECTED, 2) == (result.state, submissions(sandbox))


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refused_poll_stops_the_run(client: Ideogram, sandbox: Sandbox, tmp_path: Path, status: int):
    """The job stays accepted, nothing new is sent, and the next run gets it."""
    sandbox.fail(POLL, fault=Fault.status(status))
    async with connected(sandbox.url, limiter=fast_limiter(1)) as narrow:
        results = await collect(narrow, make_jobs(3), tmp_path)

    sent = submissions(sandbox)

    assert ([JobState.ACCEPTED], 1) == ([result.state for result in results], sent)
    assert {JobState.DONE: 3} == (await run_batch(client, make_jobs(3), tmp_path)).by_state
    assert 3 == submissions(sandbox)


async def test_a_refused_submission_stops_the_run(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A 402 leaves the job pending, and stops the batch."""
    sandbox.fail(SUBMIT, fault=Fault.rejected("insufficient_funds"))
    async with connected(sandbox.url, limiter=fast_limiter(1)) as narrow:
        report = await run_batch(narrow, make_jobs(3), tmp_path)

    assert "402" in (report.stopped or "")
    assert ({JobState.PENDING}, 1) == ({*Folder(tmp_path).report().by_state}, submissions(sandbox))


async def test_a_429_for_another_reason_stops_the_run(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It is not waited for, does not cut the limit, and leaves the job pending."""
    sandbox.fail(SUBMIT, fault=Fault.rejected("feature_limit", 429))
    async with connected(sandbox.url, limiter=fast_limiter(1)) as narrow:
        report = await run_batch(narrow, make_jobs(3), tmp_path)

    assert "429" in (report.stopped or "")
    assert (0, 1) == (report.throttled, submissions(sandbox))
    assert {JobState.PENDING} == {*Folder(tmp_path).report().by_state}


async def test_leaving_the_block_polls_for_the_grace_period(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """After a break, submissions are committed and polls go on until they end in time."""
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(2), tmp_path, grace=TIMEOUT):
        await accepted(sandbox, 2)
        asyncio.get_running_loop().call_soon(sandbox.release)

    assert {JobState.DONE: 2} == Folder(tmp_path).report().by_state


async def test_a_submission_at_a_stop_is_committed(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A stop waits for the acknowledgement of a submission in flight, and then no longer than the grace period."""
    sandbox.fail(SUBMIT, fault=Fault.hang, times=100)
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(2), tmp_path, grace=0) as batch:
        await sandbox.wait_for_requests(2)
        batch.stop()
        sandbox.release()

    assert {JobState.ACCEPTED: 2} == Folder(tmp_path).report().by_state


async def test_a_cancellation_leaves_accepted_jobs_accepted(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """What is given up at the end of the grace period is not in doubt if it was accepted."""
    sandbox.hold()

    async def run() -> None:
        async with client.batch(make_jobs(3), tmp_path, grace=0) as batch:
            async for _ in batch:
                pass

    task = asyncio.ensure_future(run())
    await accepted(sandbox, 3)
    task.cancel()
    await asyncio.wait({task})
    sandbox.release()

    assert task.cancelled()
    assert {JobState.ACCEPTED: 3} == Folder(tmp_path).report().by_state


async def test_a_generation_that_does_not_end_stays_accepted(sandbox: Sandbox, tmp_path: Path):
    """At the end of the wait it is a result with a ticket, and a later run asks again."""
    sandbox.hold()
    async with connected(sandbox.url, timeout=1) as client:
        [result] = await collect(client, make_jobs(1), tmp_path)

    sandbox.release()
    async with connected(sandbox.url) as client:
        [again] = await collect(client, make_jobs(1), tmp_path)

    assert (JobState.ACCEPTED, JobState.DONE) == (result.state, again.state)
    assert isinstance(result.error, WaitTimeout)
    assert (1, 1) == (submissions(sandbox), len(sandbox.ledger.entries))


async def test_an_accepted_job_keeps_its_request(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Another request under its id is a conflict, since the first one may be billed."""
    await leave_accepted(client, sandbox, tmp_path, 1)
    sandbox.release()
    with pytest.raises(JobConflictError, match=r"that job is (accepted and may have been|\w+ and was) billed"):
        await collect(client, [Job(v2.Generate45("a hen"), id="fox-0")], tmp_path)


async def test_an_accepted_job_can_be_given_up(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """`lost` ends it by hand, and its price counts as spent."""
    await leave_accepted(client, sandbox, tmp_path, 1)
    result = Folder(tmp_path).resolve("fox-0", "lost")
    sandbox.release()
    report = await run_batch(client, make_jobs(1), tmp_path)

    assert (JobState.PARTIAL, {JobState.PARTIAL: 1}) == (result.state, report.by_state)
    assert result.cost_usd == report.spent_usd


async def test_the_image_of_an_accepted_job_can_be_adopted(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The next run downloads it, and does not ask for the generation any more."""
    image = (await client.v2.generate_45("another fox")).images[0]
    await leave_accepted(client, sandbox, tmp_path, 1)
    before = polls(sandbox)
    result = Folder(tmp_path).resolve("fox-0", "adopt", image.url)
    sandbox.release()
    report = await run_batch(client, make_jobs(1), tmp_path)

    assert (JobState.ANSWERED, {JobState.DONE: 1}) == (result.state, report.by_state)
    assert (before, 1) == (polls(sandbox), len(list(tmp_path.glob("*.png"))))


async def test_a_chain_waits_for_an_accepted_job(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that uses the image of an accepted job of an earlier run is sent once that has ended."""
    await leave_accepted(client, sandbox, tmp_path, 1)
    sandbox.release()
    jobs = [*make_jobs(1), Job(Upscale(image=FromJob("fox-0")), id="large")]
    report = await run_batch(client, jobs, tmp_path)

    assert {JobState.DONE: 2} == report.by_state


async def test_what_is_always_accepted_is_accepted_with_never(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """An operation without another way is submitted in every mode."""
    report = await run_batch(client, [v2.ReplaceBackground3(picture(), "a beach")], tmp_path, accept="never")

    assert {JobState.DONE: 1} == report.by_state
    assert 1 <= polls(sandbox)


async def test_a_client_does_not_wait_for_a_429_with_another_reason(client: Ideogram, sandbox: Sandbox):
    """It is raised at once, is not retryable and leaves the limit, and the advice names the limit that was reached."""
    sandbox.fail(SUBMIT, fault=Fault.rejected("daily_limit", 429))
    with pytest.raises(RateLimitError) as error:
        await client.v2.generate_45("a fox")

    statistics = client.limiter.statistics()

    assert ("daily_limit", 0, 1) == (error.value.reason, statistics.rejected, submissions(sandbox))
    assert (False, "The account has reached its limit 'daily_limit'. Raise it, or use another account.") == (
        error.value.retryable,
        error.value.advice,
    )


async def test_a_resend_that_fails_leaves_the_first_attempt_in_doubt(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
):
    """Generations that fail cost nothing, and the attempt without a reply stays ambiguous with its price."""
    sandbox.fail(SUBMIT, fault=Fault.reset_before_headers)
    await collect(client, make_jobs(1), tmp_path)
    sandbox.fail(SUBMIT, fault=Fault.failed(), times=10)
    report = await run_batch(client, make_jobs(1), tmp_path, retry_ambiguous=True)
    again = await run_batch(client, make_jobs(1), tmp_path, retry_ambiguous=True)
    [result] = report.ambiguous

    assert ({JobState.AMBIGUOUS: 1}, {JobState.AMBIGUOUS: 1}) == (report.by_state, again.by_state)
    assert result.cost_usd == report.in_doubt_usd == again.in_doubt_usd == Decimal("0.10")
    assert 3 == submissions(sandbox)


async def test_an_accepted_resend_counts_both_attempts(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Until it has ended both prices are in doubt; once it has failed, only that of the first attempt."""
    sandbox.fail(SUBMIT, fault=Fault.reset_before_headers)
    await collect(client, make_jobs(1), tmp_path)
    sandbox.fail(SUBMIT, fault=Fault.failed())
    await leave_accepted(client, sandbox, tmp_path, 1, retry_ambiguous=True)
    before = Folder(tmp_path).report()
    sandbox.release()
    after = await run_batch(client, make_jobs(1), tmp_path)

    assert ({JobState.ACCEPTED: 1}, Decimal("0.20")) == (before.by_state, before.in_doubt_usd)
    assert ({JobState.AMBIGUOUS: 1}, Decimal("0.10")) == (after.by_state, after.in_doubt_usd)
    assert Folder(tmp_path).report().in_doubt_usd == after.in_doubt_usd


def fail_to_commit(monkeypatch: pytest.MonkeyPatch, *states: JobState) -> None:
    """Let each commit of these states fail as on a broken disk."""
    finish = queries.finish_attempt

    def fail(database: sqlite3.Connection, row: JobRow, *arguments: Any, **options: Any) -> None:
        if row.state in states:
            raise sqlite3.OperationalError("disk I/O error")

        finish(database, row, *arguments, **options)

    monkeypatch.setattr(queries, "finish_attempt", fail)


async def test_an_acceptance_that_is_not_on_record_is_waited_for(
    client: Ideogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The log has its id, and the answer is recorded if the disk permits it again."""
    fail_to_commit(monkeypatch, JobState.ACCEPTED)
    [result] = await collect(client, make_jobs(1), tmp_path)
    [entry] = [record for record in caplog.records if record.levelname == "CRITICAL"]

    assert JobState.DONE is result.state
    assert f"the generation {result.answer.generation_id} could not be recorded" in entry.getMessage()


async def test_an_answer_that_is_not_on_record_is_asked_for_again(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The journal has the id, so the next run gets the answer without sending anything."""
    with monkeypatch.context() as patched:
        fail_to_commit(patched, JobState.ANSWERED)
        with pytest.raises(JournalError, match="disk I/O error"):
            await collect(client, make_jobs(1), tmp_path)

    report = await run_batch(client, make_jobs(1), tmp_path)

    assert ({JobState.DONE: 1}, 1) == (report.by_state, submissions(sandbox))


@pytest.mark.parametrize(
    "changes", [{"generation_id": None}, {"generation_id": ""}, {"poll": None}, {"poll": "//evil.example/"}]
)
def test_an_accepted_row_without_a_place_to_ask_is_damaged(changes: dict[str, Any]):
    """It is an error of the journal, and never asked for elsewhere."""
    row = job(0, JobState.ACCEPTED, **{"generation_id": "id", "poll": "/v2/generations/"} | changes)
    with pytest.raises(JournalError, match="accepted with id"):
        read_job(values_of(row, JOB))


async def test_a_folder_of_an_earlier_version_is_updated(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A journal without the columns of acceptances is opened, and its jobs are sent and recorded as before."""
    (tmp_path / ".ideogram").mkdir(mode=0o700)
    path = tmp_path / ".ideogram" / "journal.sqlite3"
    Journal(path, origin="sandbox").open().close()
    with closing(sqlite3.connect(path)) as database:
        for column in ("generation_id", "poll", "failures"):
            database.execute(f"ALTER TABLE job DROP COLUMN {column}")

        row = job(0, JobState.PENDING, v2.Generate45("fox 0"))
        names = JOB.removesuffix(", generation_id, poll, failures")
        marks = ", ".join("?" * len(values_of(row, names)))
        database.execute(f"INSERT INTO job ({names}, updated_at) VALUES ({marks}, '')", values_of(row, names))
        database.execute("PRAGMA user_version = 3")
        database.commit()

    report = await run_batch(client, None, tmp_path)

    assert ({JobState.DONE: 1}, 1) == (report.by_state, submissions(sandbox))


async def test_accepted_calls_keep_within_the_limit(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Slots are held until a generation has ended, so the service refuses no call."""
    jobs = [Job(v2.Generate45(f"fox {n}", num_images=1 + n % 3)) for n in range(30)]
    report = await run_batch(client, jobs, tmp_path)

    assert ({JobState.DONE: 30}, 0) == (report.by_state, report.throttled)
    assert sandbox.peak_in_flight <= 10


async def test_an_accepted_job_is_resumed_below_its_weight(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A run with a smaller limit waits for it, too: it is in progress anyway."""
    sandbox.hold()
    jobs = make_jobs(1, num_images=4)
    async with client.batch(jobs, tmp_path, grace=0):
        await accepted(sandbox, 1)

    sandbox.release()
    async with connected(sandbox.url, limiter=fast_limiter(2)) as narrow:
        report = await run_batch(narrow, (), tmp_path)

    assert ({JobState.DONE: 1}, 4) == (report.by_state, report.images_stored)


async def test_a_poll_with_only_an_error_leaves_the_job_accepted(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It says nothing about the images, so the next run asks again, also with `retry_ambiguous`, and sends nothing."""
    sandbox.fail(POLL, fault=Fault.status(200, {"status": "completed", "error": "the images are lost"}))
    [result] = await collect(client, make_jobs(1), tmp_path, retry_ambiguous=True)
    recorded = Folder(tmp_path).report()
    [again] = await collect(client, make_jobs(1), tmp_path, retry_ambiguous=True)

    assert (JobState.ACCEPTED, JobState.DONE) == (result.state, again.state)
    assert "the images are lost" in str(result.error)
    assert {JobState.ACCEPTED: 1} == recorded.by_state
    assert 1 == submissions(sandbox)


REMIX = "POST /v2/image/remix/ideogram-4"


async def test_a_lost_source_outweighs_an_earlier_failure(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that has failed and then was refused, and whose source is lost after that, is rejected for that reason."""
    jobs = [Job(Generate("a hen"), id="hen"), Job(v2.Remix4(FromJob("hen"), "a rooster"), id="remix")]
    sandbox.fail(REMIX, fault=Fault.failed("internal_error"))
    sandbox.fail(REMIX, fault=Fault.status(402))
    before = await run_batch(client, jobs, tmp_path)
    (tmp_path / "hen-0.png").unlink()
    sandbox.advance(2 * 86400)
    await Folder(tmp_path).collect(client)
    [_, result] = await collect(client, jobs, tmp_path)
    [_, recorded] = Folder(tmp_path).results()

    assert JobState.PENDING in before.by_state
    assert [JobState.REJECTED] * 2 == [result.state, recorded.state]
    assert "image: image 0 of job 'hen' is expired" in str(recorded.error)
    assert str(result.error) == str(recorded.error)


async def test_an_accepted_job_whose_input_file_is_gone(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It is unknown without its file, so that run rejects it, unpaid; its image is stored, and the folder has it."""
    photo, folder = tmp_path / "photo.png", tmp_path / "out"
    photo.write_bytes(picture())
    jobs = [Job(v2.Remix4(photo, "a fox"), id="fox")]
    sandbox.hold()
    async with client.batch(jobs, folder, grace=0):
        await accepted(sandbox, 1)

    sandbox.release()
    photo.unlink()
    [result] = await collect(client, jobs, folder)
    [recorded] = Folder(folder).results()

    assert (JobState.REJECTED, JobState.DONE) == (result.state, recorded.state)
    assert "photo.png" in str(result.error)
    assert (folder / "fox-0.png").is_file()
    assert 1 == len(sandbox.ledger.entries)


async def test_a_failed_generation_with_an_image_is_answered(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """What was made before the failure may have been billed: it is stored, and the job is not sent again."""
    image = (await client.v2.generate_45("another fox")).images[0]
    body = {"status": "failed", "failure_reason": "internal_error", "data": [{"url": image.url, "is_image_safe": True}]}
    sandbox.fail(POLL, fault=Fault.status(200, body))
    report = await run_batch(client, make_jobs(1, num_images=2), tmp_path)

    assert ({JobState.DONE: 1}, 1) == (report.by_state, report.images_stored)
    assert 2 == submissions(sandbox)


@pytest.mark.parametrize("data", [[], None, "none", [None], [{"url": None, "is_image_safe": False}]])
async def test_a_failed_generation_without_an_image_is_sent_once_more(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, data: object
):
    """Items without a link are no answer."""
    sandbox.fail(POLL, fault=Fault.status(200, {"status": "failed", "failure_reason": "internal_error", "data": data}))
    report = await run_batch(client, make_jobs(1), tmp_path)

    assert ({JobState.DONE: 1}, 2) == (report.by_state, submissions(sandbox))
