"""What is written ahead: SENDING before the first byte, the reply before the byte of whoever takes its place."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from weakref import ref

import pytest

from ideogram_async import Generate, JournalError
from ideogram_async._batch.job import JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import JobRow
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.stopping import BatchStoppedError, Halt
from ideogram_async._batch.write_ahead import Record, journaled
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.limit import limited
from ideogram_async._transport.tasks import Tasks
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.encode import encode
from ideogram_async.errors import NotSentError, Phase
from ideogram_async.models.base import Reply

ANSWER = Reply(status=200, headers={}, raw=b"{}")


def job(number: int) -> JobRow:
    return JobRow(f"key{number}", number, None, "Generate", "{}", "f", 1, None, JobState.PENDING)


def states(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [state for (state,) in database.execute("SELECT state FROM job ORDER BY number")]


async def sent(journal: Journal, number: int, send: Send, halt: Halt) -> Reply:
    """Send a job on record, the way a batch does, and wait until what came of it is on disk."""
    record = Record(journal, job(number))
    async with halt.waiting() as scope:
        reply = await journaled(send, record, halt, scope)(encode(Generate("a red fox")))

    await record.settled()
    return reply


def leaving(then: Callable[[Call], Awaitable[Reply] | Reply]) -> Send:
    """Do what the last layer does: wait for clearance, leave, and have an answer."""

    async def send(call: Call) -> Reply:
        call.state.phase = Phase.CONNECTING
        assert call.state.clearance is not None
        await call.state.clearance()
        call.state.phase = Phase.SENT
        reply = then(call)
        return reply if isinstance(reply, Reply) else await reply

    return send


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_byte_leaves_before_sending_is_on_disk(journal: Journal, path: Path):
    """The connection is opened while the journal is busy; the first byte waits for it."""
    gate, seen = threading.Event(), list[list[str]]()
    await journal.run(lambda database: queries.add(database, [job(0)]))
    blocked = journal.put(lambda _: gate.wait(10), urgent=True)

    def left(_: Call) -> Reply:
        seen.append(states(path))
        return ANSWER

    sending = asyncio.create_task(sent(journal, 0, leaving(left), Halt()))
    await turns()

    assert [] == seen

    gate.set()
    await asyncio.gather(blocked, sending)

    assert ([["sending"]], ["answered"]) == (seen, states(path))


async def test_an_answer_shares_its_commit_with_the_call_that_takes_its_place(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ten calls one after the other take about as many commits, not twenty; none leaves before its own."""
    # A slow machine may need longer than that between two turns of its loop.
    monkeypatch.setattr("ideogram_async._batch.journal.writer.LINGER", 0.5)
    limiter, seen = ImageLimiter(1), list[list[str]]()
    emit = Emitter(None, Tasks)
    await journal.run(lambda database: queries.add(database, [job(number) for number in range(10)]))
    before = journal.commits

    async def one(number: int) -> None:
        record, halt = Record(journal, job(number)), Halt()
        async with halt.waiting() as scope:
            last = journaled(leaving(left), record, halt, scope)
            await limited(last, limiter, emit)(encode(Generate("a red fox")))

        await record.settled()

    async def left(_: Call) -> Reply:
        seen.append(states(path))
        await turns()
        return ANSWER

    await asyncio.gather(*map(one, range(10)))

    assert journal.commits - before < 15
    assert [["answered"] * number + ["sending"] + ["pending"] * (9 - number) for number in range(10)] == seen


async def test_a_sudden_stop_turns_back_what_has_not_left(journal: Journal, path: Path):
    """A call that was noted, and has to wait for the disk, stays here when the batch stops meanwhile."""
    gate, halt = threading.Event(), Halt()
    await journal.run(lambda database: queries.add(database, [job(0)]))
    blocked = journal.put(lambda _: gate.wait(10), urgent=True)
    sending = asyncio.create_task(sent(journal, 0, leaving(lambda _: pytest.fail("it has left")), halt))
    await turns()
    halt.stop("enough", turns_back=True)
    gate.set()
    await blocked
    with pytest.raises(BatchStoppedError, match="enough"):
        await sending

    assert ["pending"] == states(path)


async def test_what_cannot_be_noted_does_not_leave(journal: Journal, path: Path):
    """The caller hears why it could not be noted, not that its connection was dropped for that."""

    async def send(call: Call) -> Reply:
        try:
            return await leaving(lambda _: pytest.fail("it has left"))(call)
        except JournalError:
            # As aiohttp does with what it takes for a broken connection.
            raise NotSentError("the connection broke", phase=Phase.CONNECTING) from None

    with pytest.raises(JournalError, match="job key0 is not pending"):
        await sent(journal, 0, send, Halt())

    assert [] == states(path)


async def test_nothing_is_begun_on_a_disk_that_was_full(journal: Journal, path: Path):
    """An answer that does not fit keeps here what stands behind it, though that would fit."""
    large = Reply(status=200, headers={}, raw=bytes(2**20))
    await journal.run(lambda database: queries.add(database, [job(0), job(1)]))
    await journal.run(lambda database: database.execute("PRAGMA max_page_count = 20").fetchone())
    with pytest.raises(OSError, match="No space left on device"):
        await sent(journal, 0, leaving(lambda _: large), Halt())

    with pytest.raises(OSError, match="No space left on device"):
        await sent(journal, 1, leaving(lambda _: pytest.fail("it has left")), Halt())

    assert ["sending", "pending"] == states(path)


async def test_an_answer_reaches_the_disk_though_the_loop_is_busy(journal: Journal, path: Path):
    """It waits for no turn of the event loop: a kill meanwhile would cost it."""
    await journal.run(lambda database: queries.add(database, [job(0)]))
    record, halt = Record(journal, job(0)), Halt()
    async with halt.waiting() as scope:
        await journaled(leaving(lambda _: ANSWER), record, halt, scope)(encode(Generate("a red fox")))

    # Not one turn from here on.
    ends = time.monotonic() + 10
    while states(path) == ["sending"] and time.monotonic() < ends:
        pass

    assert ["answered"] == states(path)

    await record.settled()


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_after_its_connection_was_refused_it_is_pending_again(journal: Journal, path: Path, times: int):
    """What has come of it stands in the line at once; nobody has to wait for that."""
    gate = threading.Event()
    await journal.run(lambda database: queries.add(database, [job(0)]))
    blocked = journal.put(lambda _: gate.wait(10), urgent=True)

    async def refused(call: Call) -> Reply:
        raise NotSentError("refused", phase=Phase.CONNECTING)

    sending = asyncio.create_task(sent(journal, 0, refused, Halt()))
    for _ in range(times):
        await turns()
        sending.cancel()

    await turns()
    gate.set()
    await blocked
    await asyncio.wait({sending})
    await journal.run(lambda _: None)

    assert ["pending"] == states(path)


async def test_a_timeout_does_not_hide_what_kept_it_from_the_disk(journal: Journal, path: Path):
    """An attempt whose time is over while the journal fails tells of the journal."""
    gate = threading.Event()
    blocked = journal.put(lambda _: gate.wait(10), urgent=True)

    async def timed(call: Call) -> Reply:
        try:
            async with asyncio.timeout(0):
                return await leaving(lambda _: pytest.fail("it has left"))(call)
        except TimeoutError:
            raise NotSentError("no time is left", phase=Phase.CONNECTING) from None

    sending = asyncio.create_task(sent(journal, 0, timed, Halt()))
    await turns()
    gate.set()
    await blocked
    with pytest.raises(JournalError, match="job key0 is not pending"):
        await sending


async def test_a_call_that_was_sent_is_let_go(journal: Journal):
    """Nothing leads back to it: what it uploads goes with it, and waits for no garbage collection."""
    await journal.run(lambda database: queries.add(database, [job(0)]))
    record, halt, call = Record(journal, job(0)), Halt(), encode(Generate("a red fox"))
    state = ref(call.state)
    gc.disable()
    try:
        async with halt.waiting() as scope:
            await journaled(leaving(lambda _: ANSWER), record, halt, scope)(call)

        await record.settled()
        del call

        assert state() is None
    finally:
        gc.enable()


async def test_cancelled_while_it_waits_for_the_disk_it_is_pending_again(journal: Journal, path: Path):
    """Nothing has left, and the journal says so when its thread has come that far."""
    gate = threading.Event()
    await journal.run(lambda database: queries.add(database, [job(0)]))
    blocked = journal.put(lambda _: gate.wait(10), urgent=True)
    sending = asyncio.create_task(sent(journal, 0, leaving(lambda _: pytest.fail("it has left")), Halt()))
    await turns()
    sending.cancel()
    gate.set()
    await blocked
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert ["pending"] == states(path)
