"""The write-ahead step: SENDING is durable before the first byte, the outcome before the slots are released."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from weakref import ref

import pytest
from anyio import CancelScope

from ideogram_async import Generate, JournalError
from ideogram_async._accepted import Accepted
from ideogram_async._batch.job import JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import JobRow
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.record import JobRecord
from ideogram_async._batch.stopping import BatchStoppedError, StopPolicy, unless_stopped
from ideogram_async._ledger.write_ahead import recorded
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.limit import limited
from ideogram_async._transport.tasks import Tasks
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.encode import encode
from ideogram_async.errors import AmbiguousError, NotSentError, Phase
from ideogram_async.models.base import Reply

ANSWER = Reply(status=200, headers={}, raw=b"{}")


def job(number: int, state: JobState = JobState.PENDING) -> JobRow:
    return JobRow(f"key{number}", number, None, "Generate", "{}", "f", 1, None, state)


def states(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [state for (state,) in database.execute("SELECT state FROM job ORDER BY number")]


def recording(send: Send, record: JobRecord) -> Send:
    """Return the layer of write-ahead, for calls that the service never accepts."""

    async def poll(accepted: Accepted, pause: float | None) -> Reply:
        raise AssertionError(f"{accepted} is asked for after {pause}")

    return recorded(send, record, poll)


async def insert(journal: Journal, *rows: JobRow) -> None:
    await journal.run(lambda database: queries.insert_jobs(database, rows))


async def send(journal: Journal, row: JobRow, last: Send, stopping: StopPolicy | None = None) -> Reply:
    """Send a job as a batch does."""
    async with (stopping or StopPolicy()).interruptible() as in_flight:
        return await unless_stopped(recording(last, JobRecord(journal, row)), in_flight)(encode(Generate("a red fox")))


def sent(respond: Callable[[], Awaitable[Reply] | Reply]) -> Send:
    """Return a layer that marks the call as sent and returns a reply, as the HTTP layer does."""

    async def send_once(call: Call) -> Reply:
        call.state.phase = Phase.SENT
        reply = respond()
        return reply if isinstance(reply, Reply) else await reply

    return send_once


def fail_if_sent() -> Reply:
    pytest.fail("it was sent")


@asynccontextmanager
async def blocked(journal: Journal) -> AsyncGenerator[None]:
    """Keep the journal's thread busy during the block."""
    gate = threading.Event()
    blocking = asyncio.create_task(journal.run(lambda _: gate.wait(10), urgent=True))
    await run_loop()
    try:
        yield
    finally:
        gate.set()
        await blocking


async def run_loop(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def without_garbage_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_no_byte_is_sent_before_sending_is_durable(journal: Journal, path: Path):
    """The HTTP layer is called once SENDING is committed."""
    seen: list[list[str]] = []
    await insert(journal, job(0))

    def record_states() -> Reply:
        seen.append(states(path))
        return ANSWER

    async with blocked(journal):
        sending = asyncio.create_task(send(journal, job(0), sent(record_states)))
        await run_loop()

        assert [] == seen

    await sending

    assert ([["sending"]], ["answered"]) == (seen, states(path))


async def test_slots_are_released_after_the_outcome_is_durable(journal: Journal, path: Path):
    """The answer is on disk before the next call is sent: SENDING rows never outnumber the slots."""
    limiter, emit, seen = ImageLimiter(1), Emitter(None, Tasks), list[list[str]]()
    await insert(journal, *map(job, range(10)))

    async def record_states() -> Reply:
        seen.append(states(path))
        await run_loop()
        return ANSWER

    async def send_one(number: int) -> None:
        async with StopPolicy().interruptible() as in_flight:
            layer = unless_stopped(recording(sent(record_states), JobRecord(journal, job(number))), in_flight)
            await limited(layer, limiter, emit)(encode(Generate("a red fox")))

    await asyncio.gather(*map(send_one, range(10)))

    assert [["answered"] * number + ["sending"] + ["pending"] * (9 - number) for number in range(10)] == seen


async def test_a_stopped_batch_sends_nothing(journal: Journal, path: Path):
    """A call that reaches the step after the stop is not sent, and not recorded as sending."""
    stopping = StopPolicy()
    await insert(journal, job(0))
    async with stopping.interruptible() as in_flight:
        stopping.stop("enough")
        with pytest.raises(BatchStoppedError, match="enough"):
            layer = unless_stopped(recording(sent(fail_if_sent), JobRecord(journal, job(0))), in_flight)
            await layer(encode(Generate("a red fox")))

    assert ["pending"] == states(path)


async def test_a_call_in_flight_survives_a_stop(journal: Journal, path: Path):
    """A stop ends no call in flight: its answer is recorded."""
    stopping = StopPolicy()
    await insert(journal, job(0))

    def stop() -> Reply:
        stopping.stop("enough")
        return ANSWER

    await send(journal, job(0), sent(stop), stopping)

    assert ["answered"] == states(path)


async def test_a_job_that_cannot_be_recorded_is_not_sent(journal: Journal, path: Path):
    """The caller gets the error of the journal."""
    with pytest.raises(JournalError, match="job key0 is not pending"):
        await send(journal, job(0), sent(fail_if_sent))

    assert [] == states(path)


async def test_nothing_is_sent_after_an_answer_did_not_fit_on_the_disk(journal: Journal, path: Path):
    """The next job would fit, but is not sent."""
    large = Reply(status=200, headers={}, raw=bytes(2**20))
    await insert(journal, job(0), job(1))
    await journal.run(lambda database: database.execute("PRAGMA max_page_count = 20").fetchone())
    with pytest.raises(OSError, match="No space left on device"):
        await send(journal, job(0), sent(lambda: large))

    with pytest.raises(OSError, match="No space left on device"):
        await send(journal, job(1), sent(fail_if_sent))

    assert ["sending", "pending"] == states(path)


@pytest.mark.parametrize("before", [JobState.PENDING, JobState.AMBIGUOUS])
async def test_a_call_that_was_not_sent_returns_to_its_former_state(journal: Journal, path: Path, before: JobState):
    """A refused connection leaves the job as it was."""
    await insert(journal, job(0, before))

    async def refused(call: Call) -> Reply:
        raise NotSentError("refused", phase=Phase.CONNECTING)

    with pytest.raises(NotSentError):
        await send(journal, job(0, before), refused)

    assert [before] == states(path)


async def test_a_call_that_was_sent_without_an_answer_is_ambiguous(journal: Journal, path: Path):
    """A broken connection after the first byte leaves the outcome unknown."""
    await insert(journal, job(0))

    def fail() -> Reply:
        raise AmbiguousError("reset", phase=Phase.SENT)

    with pytest.raises(AmbiguousError):
        await send(journal, job(0), sent(fail))

    assert ["ambiguous"] == states(path)


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_call_cancelled_before_it_was_sent_is_pending_again(journal: Journal, path: Path, cancellations: int):
    """Queued steps run even if their caller is cancelled, in order: first SENDING, then the former state."""
    await insert(journal, job(0))
    async with blocked(journal):
        sending = asyncio.create_task(send(journal, job(0), sent(fail_if_sent)))
        for _ in range(cancellations):
            await run_loop()
            sending.cancel()

        await run_loop()

    await asyncio.wait({sending})
    await journal.run(lambda _: None)

    assert (True, ["pending"]) == (sending.cancelled(), states(path))


async def test_a_call_cancelled_after_it_was_sent_is_ambiguous(journal: Journal, path: Path):
    """The cancellation is raised once the unknown outcome is recorded."""
    await insert(journal, job(0))
    is_sent = asyncio.Event()

    async def wait() -> Reply:
        is_sent.set()
        await asyncio.Event().wait()
        return ANSWER

    sending = asyncio.create_task(send(journal, job(0), sent(wait)))
    await is_sent.wait()
    sending.cancel()
    await asyncio.wait({sending})

    assert (True, ["ambiguous"]) == (sending.cancelled(), states(path))


@pytest.mark.parametrize(
    "cancel", [lambda task, _: task.cancel(), lambda _, scope: scope.cancel()], ids=["task", "scope"]
)
async def test_a_cancelled_call_holds_its_slots_until_its_answer_is_durable(
    journal: Journal, path: Path, cancel: Callable[..., object]
):
    """Calls of other batches take its slots only when its row is not in doubt any more."""
    limiter, answered, gate = ImageLimiter(1), asyncio.Event(), asyncio.Event()
    await insert(journal, job(0))
    scope = CancelScope()

    async def answer() -> Reply:
        answered.set()
        await gate.wait()
        return ANSWER

    async def send_one() -> None:
        with scope:
            async with StopPolicy().interruptible() as in_flight:
                layer = unless_stopped(recording(sent(answer), JobRecord(journal, job(0))), in_flight)
                await limited(layer, limiter, Emitter(None, Tasks))(encode(Generate("a red fox")))

    sending = asyncio.create_task(send_one())
    await answered.wait()
    async with blocked(journal):
        gate.set()
        await run_loop()
        for _ in range(3):
            cancel(sending, scope)
            await run_loop()

        in_use = limiter.statistics().in_flight

    await asyncio.wait({sending})

    assert (1, ["answered"]) == (in_use, states(path))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, JobState.ANSWERED),
        (422, JobState.REJECTED),
        (500, JobState.AMBIGUOUS),
        (429, JobState.AMBIGUOUS),  # as the next run finds it
    ],
)
async def test_a_reply_that_could_not_be_written_is_not_denied(
    journal: Journal, caplog: pytest.LogCaptureFixture, status: int, expected: JobState
):
    """An answer stays an answer, and a refusal stays a refusal. One record of the log contains all links."""
    link = "https://ideogram.ai/a.png?exp=9&sig=8"
    await insert(journal, job(0))
    record = JobRecord(journal, job(0))
    await record.begin()
    await journal.run(lambda database: database.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(OSError, match="No space left on device"):
        await record.answer(Reply(status=status, headers={}, raw=b"x" * 2**20 + link.encode()))

    [entry] = caplog.records

    assert (expected, True) == (record.row.state, record.is_unrecorded)
    assert (status == 200, status == 200) == (link in entry.getMessage(), entry.levelname == "CRITICAL")


@pytest.mark.parametrize(
    ("reply", "billed"),
    [
        (Reply(status=200, raw=b"{" + bytes(2**20)), ", billed"),
        (Reply(status=200, raw=b"<" + bytes(2**20)), "may have been billed"),
        (Reply(status=500, raw=bytes(2**20)), "may have been billed"),
        (Reply(status=422, raw=bytes(2**20)), "not billed"),
        (Reply(status=422, raw=bytes(2**20), in_doubt=True), "may have been billed"),
    ],
    ids=["answer", "page", "500", "refusal", "refused resend"],
)
async def test_the_log_states_whether_a_reply_that_is_not_on_record_was_billed(
    journal: Journal, caplog: pytest.LogCaptureFixture, reply: Reply, billed: str
):
    """It agrees with the result: a page without links may come from a proxy, and a resent job may be billed."""
    await insert(journal, job(0))
    record = JobRecord(journal, job(0))
    await record.begin()
    await journal.run(lambda database: database.execute("PRAGMA max_page_count = 1").fetchone())
    with pytest.raises(OSError, match="No space left on device"):
        await record.answer(reply)

    assert f"{billed})" in caplog.text


async def test_a_call_is_freed_once_it_was_sent(journal: Journal):
    """Its upload is freed with it, without the garbage collector."""
    await insert(journal, job(0))
    call = encode(Generate("a red fox"))
    state = ref(call.state)
    with without_garbage_collector():
        async with StopPolicy().interruptible() as in_flight:
            await unless_stopped(recording(sent(lambda: ANSWER), JobRecord(journal, job(0))), in_flight)(call)

        del call

        assert state() is None
