"""Stop conditions of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from support.batches import TIMEOUT, count_images, make_jobs, run_batch
from support.clients import Events, connected

from ideogram_async import (
    APIStatusError,
    Ideogram,
    IdeogramError,
    InvalidRequestError,
    JobState,
    NotSentError,
    RateLimitError,
)
from ideogram_async._batch.stopping import BatchStoppedError, StopPolicy
from ideogram_async.errors import Phase
from ideogram_async.events import Throttled
from ideogram_async.sandbox import Fault, Sandbox


def refused(status: int) -> APIStatusError:
    return APIStatusError("refused", status=status)


def unsent(*, retryable: bool) -> NotSentError:
    return NotSentError("no route to host", phase=Phase.CONNECTING, retryable=retryable)


@pytest.mark.parametrize(
    ("record", "count", "reason"),
    [
        (StopPolicy.record_rejection, 20, "20 jobs in a row were rejected or could not be sent"),
        (partial(StopPolicy.record_unsent, error=unsent(retryable=True)), 20, "20 jobs in a row were rejected"),
        (StopPolicy.record_unknown, 5, "5 jobs in a row have an unknown outcome"),
        (StopPolicy.record_unreadable, 3, "3 answers in a row cannot be read"),
    ],
)
def test_consecutive_failures_are_a_reason_to_stop(record: Callable[[StopPolicy], None], count: int, reason: str):
    """A success in between resets the count."""
    stopping = StopPolicy()
    for _ in range(count - 1):
        record(stopping)

    stopping.record_success()
    for _ in range(count - 1):
        record(stopping)

    assert stopping.reason is None

    record(stopping)

    assert (stopping.reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused(401), "the API key is missing or not valid (401)"),
        (refused(402), "the balance or the plan does not cover the call (402)"),
        (refused(403), "the API key may not use the operation (403)"),
        (refused(302), "the service redirects (302)"),
        (unsent(retryable=False), "no route to host"),
        (RateLimitError("too many images in progress", status=429), "too many images in progress"),
    ],
)
def test_an_error_that_concerns_every_job_is_a_reason_to_stop(error: IdeogramError, reason: str):
    """One such error is enough."""
    stopping = StopPolicy()
    stopping.record_unsent(error)

    assert (stopping.reason or "").startswith(reason)


@pytest.mark.parametrize("error", [None, refused(400), refused(404), InvalidRequestError([("prompt", "is empty")])])
def test_an_error_of_one_job_does_not_stop_the_batch(error: IdeogramError | None):
    """No number of such errors stops it."""
    stopping = StopPolicy()
    for _ in range(100):
        stopping.record_unsent(error)

    assert stopping.reason is None


def test_the_first_reason_is_kept():
    """`on_stop` is called once."""
    stops: list[str | None] = []
    stopping = StopPolicy(lambda: stops.append(stopping.reason))
    stopping.stop("first")
    stopping.stop("second")

    assert ("first", ["first"]) == (stopping.reason, stops)


async def test_no_wait_begins_after_the_stop():
    """A wait could be long, for example at a closed back-off gate."""
    stopping = StopPolicy()
    stopping.stop("enough")

    with pytest.raises(BatchStoppedError, match="the batch has stopped: enough"):
        async with stopping.interruptible():
            raise AssertionError


async def test_a_stop_interrupts_a_wait():
    """The waiting call is not sent."""
    stopping = StopPolicy()

    async def wait() -> None:
        async with stopping.interruptible():
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    stopping.stop("enough")

    with pytest.raises(BatchStoppedError, match="enough"):
        await waiting


async def test_a_stop_does_not_interrupt_a_call_in_flight():
    """It interrupts the wait that follows, such as a back-off before a retry."""
    stopping, answer, answers = StopPolicy(), asyncio.Event(), list[str]()

    async def call() -> None:
        async with stopping.interruptible() as in_flight:
            with in_flight():
                await answer.wait()
                answers.append("answer")

            await asyncio.Event().wait()

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    stopping.stop("enough")
    await asyncio.sleep(0.01)
    answer.set()
    with pytest.raises(BatchStoppedError, match="enough"):
        await calling

    assert ["answer"] == answers


async def test_a_timeout_of_the_call_is_not_a_stop():
    """It is raised unchanged."""
    with pytest.raises(TimeoutError):
        async with StopPolicy().interruptible():
            raise TimeoutError


async def test_consecutive_ambiguous_calls_stop_the_batch(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """After five in a row, only the calls in flight finish."""
    sandbox.fail(fault=Fault.status(500), times=1000)
    report = await run_batch(client, make_jobs(100), tmp_path)

    assert "5 jobs in a row have an unknown outcome" == report.stopped
    assert len(sandbox.requests) == len(report.ambiguous) <= 20


async def test_an_empty_account_stops_the_batch(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """After a 402 only the calls in flight finish, and the next run sends the remaining jobs once."""
    sandbox.fail(fault=Fault.status(402), after=36, times=1000)
    report = await run_batch(client, make_jobs(100), tmp_path)

    assert "the balance or the plan does not cover the call (402)" == report.stopped
    assert 36 == len(sandbox.ledger.entries) == count_images(tmp_path)
    assert len(sandbox.requests) <= 36 + 10

    paid = sandbox.ledger.entries
    sandbox.reset()
    await run_batch(client, make_jobs(100), tmp_path)

    assert 100 == len(paid) + len(sandbox.ledger.entries) == count_images(tmp_path)


@pytest.mark.parametrize(("status", "message"), [(401, "key"), (403, "key"), (307, "redirects")])
async def test_a_refused_key_stops_the_batch(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, status: int, message: str
):
    """A status that concerns the account or the base URL stops the batch, and only calls in flight were sent."""
    sandbox.fail(fault=Fault.status(status), times=1000)
    report = await run_batch(client, make_jobs(100), tmp_path)

    assert message in (report.stopped or "")
    assert len(sandbox.requests) <= 10


async def test_a_missing_key_sends_nothing(sandbox: Sandbox, tmp_path: Path):
    """Nothing is sent without a key, and all jobs stay pending."""
    async with connected(sandbox.url, api_key="") as client:
        report = await run_batch(client, make_jobs(30), tmp_path)

    assert "the API key is missing or not valid (401)" == report.stopped
    assert [] == sandbox.requests


async def test_a_rejected_job_affects_no_other(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It costs nothing and is not sent again; twenty rejections in a row stop the batch."""
    sandbox.fail(fault=Fault.status(400), after=3)
    report = await run_batch(client, make_jobs(10), tmp_path)

    assert {JobState.DONE: 9, JobState.REJECTED: 1} == report.by_state
    assert report.failures[0].error is not None

    again = await run_batch(client, make_jobs(10), tmp_path)

    assert (10, str(report.failures[0].error)) == (len(sandbox.requests), str(again.failures[0].error))

    sandbox.reset()
    sandbox.fail(fault=Fault.status(400), times=1000)
    report = await run_batch(client, make_jobs(100, num_images=2), tmp_path / "other")

    assert "20 jobs in a row" in (report.stopped or "")
    assert len(sandbox.requests) <= 30


async def test_a_captive_portal_stops_the_batch(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Pages in place of answers leave the jobs in doubt, and are not requested again; three in a row stop the batch."""
    sandbox.fail(fault=Fault.wrong_type, times=1000)
    report = await run_batch(client, make_jobs(100), tmp_path)

    assert "3 answers in a row cannot be read" == report.stopped
    assert {JobState.AMBIGUOUS} == set(report.by_state)
    assert len(sandbox.requests) <= 20


async def test_a_dead_network_stops_the_batch(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Jobs that cannot be sent stay pending for another run."""
    sandbox.fail(fault=Fault.refuse)
    report = await run_batch(client, make_jobs(100), tmp_path)

    assert "could not be sent" in (report.stopped or "")
    assert Decimal(0) == report.in_doubt_usd

    sandbox.release()

    assert {JobState.DONE: 100} == (await run_batch(client, make_jobs(100), tmp_path)).by_state


async def test_a_stop_does_not_wait_for_a_closed_gate(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Jobs that wait because of a 429 stay pending for another run."""
    events = Events()
    refusal = Fault.status(429, headers={"Retry-After": "600"})
    sandbox.fail(fault=refusal, times=1000)
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(30), tmp_path, on_event=events) as batch:
        while not events.of(Throttled):
            await asyncio.sleep(0.001)

    assert (0, "the block was left early") == (len(sandbox.ledger.entries), batch.report().stopped)
