"""A detached call goes on, whoever leaves: it is counted, waited for at the end, and its result is handed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from support.clients import AT_ONCE, CANARY, Events, connected
from support.leaks import other_tasks
from support.pictures import picture
from support.programs import run_quietly

from ideogram_async import (
    AmbiguousError,
    Billed,
    Generate,
    Ideogram,
    IdeogramError,
    InvalidRequestError,
    NotSentError,
    Remix,
    RunningCall,
    SafetyError,
)
from ideogram_async._pipeline import sessions
from ideogram_async.events import Failed
from ideogram_async.sandbox import Fault, Sandbox

FOX = Generate("a red fox")


@pytest.fixture
async def box() -> AsyncGenerator[Sandbox]:
    async with Sandbox() as box:
        yield box


class Keeper(list[RunningCall[Any]]):
    """Takes what it is handed, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = asyncio.Event()

    def __call__(self, call: RunningCall[Any]) -> None:
        self.append(call)
        self.taken.set()


async def test_whoever_waits_may_leave(box: Sandbox) -> None:
    """Cancelling those who wait ends the waiting alone; the answer comes, is handed on once, and is kept."""
    keeper, events = Keeper(), Events()
    async with connected(box.url, on_event=events) as client:
        box.hold()
        call = await client.start(FOX, on_done=keeper)
        waiters = [asyncio.ensure_future(call) for _ in range(3)]
        await box.wait_for_requests(1)
        for waiter in waiters:
            waiter.cancel()

        await asyncio.wait(waiters)
        was_done = call.is_done
        box.release()
        await keeper.taken.wait()

        assert [True] * 3 == [waiter.cancelled() for waiter in waiters]
        assert (False, True, None) == (was_done, call.is_done, call.error)
        assert [call] == keeper
        assert call.result() is await call
        assert (1, 1) == (len(call.result().data), box.ledger.billed_images)
        assert [] == events.of(Failed)


async def test_a_failure_is_raised_for_each_who_waits(box: Sandbox) -> None:
    """Like an answer an error is kept: everybody who waits gets it, and so does `on_done`."""
    keeper = Keeper()
    box.fail("generate", fault=Fault.status(422, '{"error": "unsafe"}'))
    async with connected(box.url) as client:
        call = await client.start(FOX, on_done=keeper)
        for _ in range(2):
            with pytest.raises(SafetyError):
                await call

        with pytest.raises(SafetyError):
            call.result()

        await keeper.taken.wait()

    assert SafetyError is type(keeper[0].error)
    assert "<RunningCall Generate: SafetyError>" == repr(call)


async def test_before_its_end_there_is_no_result(box: Sandbox) -> None:
    """Until it has ended a call says so."""
    box.hold()
    async with connected(box.url) as client:
        call = await client.start(FOX)
        with pytest.raises(asyncio.InvalidStateError):
            call.result()

        seen = repr(call)
        box.release()
        await call

    assert ("<RunningCall Generate: in flight>", "<RunningCall Generate: answered>") == (seen, repr(call))


async def test_what_breaks_rules_is_refused_at_once(box: Sandbox) -> None:
    """An invalid request is raised by `detached` itself: there is nothing to detach."""
    keeper = Keeper()
    async with connected(box.url) as client:
        with pytest.raises(InvalidRequestError):
            await client.start(Generate("a fox", num_images=9), on_done=keeper)

    assert ([], []) == (keeper, box.requests)


async def test_files_are_read_before_it_returns(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read only once is copied first, so that its owner may close it; the copy goes with the call."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    source = tmp_path / "fox.png"
    source.write_bytes(picture())
    box.hold()
    async with connected(box.url) as client:
        with source.open("rb") as handle:
            call = await client.start(Remix(handle, "a blue fox"))

        copies = len(list(folder.iterdir()))
        box.release()
        await call

    assert (1, []) == (copies, list(folder.iterdir()))
    assert "fox.png" == box.requests[0].parts[0].filename


async def test_too_many_are_refused_unsent(box: Sandbox) -> None:
    """Ten for each place may be on their way or in line; the next costs nothing, and may be sent later."""
    box.hold()
    async with Ideogram(CANARY, base_url=box.url, max_in_flight=2) as client:
        calls = [await client.start(FOX) for _ in range(20)]
        with pytest.raises(NotSentError, match="20 started calls") as caught:
            await client.start(FOX)

        box.release()
        await asyncio.gather(*calls)
        await (await client.start(FOX))

    assert (Billed.NO, True) == (caught.value.billed, caught.value.retryable)
    assert 21 == len(box.requests)


async def test_closing_waits_for_them(box: Sandbox) -> None:
    """`aclose` lets detached calls end, those in line too, and waits until their results are taken."""
    taken: list[RunningCall[Any]] = []

    async def take(call: RunningCall[Any]) -> None:
        await client.fetch(call.result().data[0])
        taken.append(call)

    box.hold()
    client = Ideogram(CANARY, base_url=box.url, max_in_flight=1)
    calls = [await client.start(FOX, on_done=take) for _ in range(3)]
    await box.wait_for_requests(1)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    box.release()
    await closing

    assert calls == taken
    assert (3, 0) == (box.ledger.billed_images, client.limiter.statistics().in_flight)


async def test_after_the_grace_period_they_end_in_truth(box: Sandbox) -> None:
    """What was sent by then may have been paid for, what was in line was not; both are handed on, and told."""
    keeper, events = Keeper(), Events()
    box.hold()
    client = Ideogram(CANARY, base_url=box.url, max_in_flight=1, on_event=events)
    sent = await client.start(FOX, on_done=keeper)
    await box.wait_for_requests(1)
    queued = await client.start(FOX, on_done=keeper)
    await client.aclose(grace=0)

    assert [AmbiguousError, NotSentError] == [type(sent.error), type(queued.error)]
    assert {sent, queued} == set(keeper)
    assert {Billed.UNKNOWN, Billed.NO} == {event.billed for event in events.of(Failed)}
    assert (1, 0) == (len(box.requests), client.limiter.statistics().in_flight)
    box.release()
    await box.wait_idle()

    assert 1 == box.ledger.billed_images


async def test_closing_waits_for_what_follows(box: Sandbox) -> None:
    """A call that `on_done` detaches in the grace period has the rest of that period."""
    keeper = Keeper()

    async def follow(call: RunningCall[Any]) -> None:
        await client.start(Generate("another fox"), on_done=keeper)

    box.hold()
    client = Ideogram(CANARY, base_url=box.url)
    await client.start(FOX, on_done=follow)
    await box.wait_for_requests(1)
    closing = asyncio.create_task(client.aclose(grace=1000))
    await asyncio.sleep(0)
    box.release()
    await closing

    assert [None] == [call.error for call in keeper]
    assert 2 == box.ledger.billed_images


async def test_closing_that_is_cancelled_closes_all_the_same(box: Sandbox) -> None:
    """Whoever is cancelled in the grace period leaves a closed client, and calls that have ended."""
    box.hold()
    client = Ideogram(CANARY, base_url=box.url)
    call = await client.start(FOX)
    await box.wait_for_requests(1)
    closing = asyncio.create_task(client.aclose(grace=1000))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    box.release()

    assert closing.cancelled()
    assert AmbiguousError is type(call.error)


async def test_closed_by_those_who_take_the_result(box: Sandbox) -> None:
    """`on_done` may close the client: nobody waits for himself."""
    closed = asyncio.Event()

    async def take(call: RunningCall[Any]) -> None:
        await client.aclose(grace=1000)
        closed.set()

    client = Ideogram(CANARY, base_url=box.url)
    async with asyncio.timeout(10):
        await client.start(FOX, on_done=take)
        await closed.wait()

    assert 1 == box.ledger.billed_images


async def test_a_taker_that_never_ends_is_left(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace period `on_done` has some seconds, then it is cancelled, and closing ends."""
    monkeypatch.setattr(sessions, "SHUTDOWN_TIMEOUT", 0.01)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def take(call: RunningCall[Any]) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = Ideogram(CANARY, base_url=box.url)
    async with asyncio.timeout(10):
        await client.start(FOX, on_done=take)
        await begun.wait()
        await client.aclose(grace=0.01)
        await ended.wait()

    assert ended.is_set()


def broken(call: RunningCall[Any]) -> None:
    raise KeyError("nowhere to keep it")


async def broken_later(call: RunningCall[Any]) -> None:
    await asyncio.sleep(0)
    raise KeyError("nowhere to keep it")


async def cancelled(call: RunningCall[Any]) -> None:
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


@pytest.mark.parametrize("on_done", [broken, broken_later, cancelled])
async def test_a_taker_that_fails_is_logged(box: Sandbox, caplog: pytest.LogCaptureFixture, on_done: Any) -> None:
    """The answer is kept all the same, and whoever waits gets it."""
    before = other_tasks()
    async with connected(box.url) as client:
        call = await client.start(FOX, on_done=on_done)
        answer = await call

    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]

    assert 1 == len(answer.data)
    assert ["on_done failed for <RunningCall Generate: answered>"] == errors
    assert set() == other_tasks() - before


async def test_a_view_detaches_with_its_own_options(box: Sandbox) -> None:
    """Calls of a view belong to the client, and tell the view's listener."""
    events = Events()
    async with Ideogram(CANARY, base_url=box.url, retry=AT_ONCE) as client:
        await client.with_options(on_event=events).start(FOX)

    assert ["Waiting", "Sending", "Answered"] == events.names[:3]


async def test_cancelled_before_it_returns(box: Sandbox) -> None:
    """While its files are copied a call is not detached yet: a cancellation leaves nothing, and costs nothing."""

    class Slow:
        begun = asyncio.Event()

        async def read(self, size: int = -1, /) -> bytes:
            self.begun.set()
            await asyncio.Event().wait()
            return b""

    keeper = Keeper()
    async with connected(box.url) as client:
        task = asyncio.create_task(client.start(Remix(Slow(), "a fox"), on_done=keeper))
        await Slow.begun.wait()
        task.cancel()
        await asyncio.wait([task])

    assert task.cancelled()
    assert ([], []) == (keeper, box.requests)


@pytest.mark.parametrize("reuse", [False, True])
async def test_cancelled_in_any_turn_of_the_loop(box: Sandbox, reuse: bool) -> None:
    """Whenever it is cancelled, `detached` has either returned, or nothing is sent and nothing is paid."""
    keeper, returned, turns = Keeper(), 0, 0
    async with Ideogram(CANARY, base_url=box.url, reuse_connections=reuse) as client:
        # A connection is there, if it may be used again: a call could leave in its first step.
        await client.send(FOX)
        while returned < 3:
            task = asyncio.create_task(client.start(FOX, on_done=keeper))
            for _ in range(turns):
                await asyncio.sleep(0)

            task.cancel()
            await asyncio.wait([task])
            returned += not task.cancelled()
            turns += 1

    assert turns > returned
    assert 1 + returned == box.ledger.billed_images == len(box.requests)
    assert {type(None), NotSentError} >= {type(call.error) for call in keeper}


async def test_on_done_must_be_a_function(box: Sandbox) -> None:
    """What cannot be called is refused before anything is sent."""
    async with connected(box.url) as client:
        with pytest.raises(TypeError, match="on_done must be a function, not list"):
            await client.start(FOX, on_done=[])  # type: ignore[arg-type]

    assert [] == box.requests


def test_a_loop_that_ends_does_not_wait_for_ever() -> None:
    """At the end of its loop `on_done` has some seconds, and whoever hangs in it is cancelled."""
    run_quietly("""
        from ideogram_async import Generate
        from ideogram_async._pipeline import running_call

        async def hang(call):
            told.append(call.error.billed)
            await asyncio.Event().wait()

        async def work():
            await client.start(Generate("a fox"), on_done=hang)
            await box.wait_for_requests(1)

        told = []
        running_call.SHUTDOWN_TIMEOUT = 0.01
        with running_in_thread(Sandbox()) as box:
            client = Ideogram("sandbox", base_url=box.url)
            box.hold()
            asyncio.run(work())

        assert told == ["unknown"], told
    """)


@pytest.mark.parametrize("ending", ["pass", "await client.aclose(grace=0)"])
def test_the_end_of_a_loop_is_the_end_of_its_calls(ending: str) -> None:
    """In one loop after another, a call that the loop's end cuts off is in doubt, and says so; nothing is left over."""
    run_quietly(f"""
        from ideogram_async import AmbiguousError, Generate, NotSentError

        async def take(call):
            await asyncio.sleep(0)
            told.append(type(call.error))

        async def work():
            for _ in range(3):
                await client.start(Generate("a fox"), on_done=take)
            await box.wait_for_requests(1)
            {ending}

        told = []
        with running_in_thread(Sandbox()) as box:
            client = Ideogram("sandbox", base_url=box.url, max_in_flight=1)
            for _ in range(3):
                box.reset()
                box.hold()
                asyncio.run(work())

            gc.collect()

        assert told.count(AmbiguousError) == 3, told
        assert told.count(NotSentError) == 6, told
    """)


async def test_the_error_of_a_loops_end_is_ours(box: Sandbox) -> None:
    """A cancelled task of the client's own is an error of ours, never a `CancelledError` for whoever waits."""
    box.hold()
    async with connected(box.url) as client:
        before = other_tasks()
        call = await client.start(FOX)
        await box.wait_for_requests(1)
        for task in other_tasks() - before:
            if task.get_coro().__qualname__ == "RunningCall.run":  # type: ignore[union-attr]
                task.cancel()

        with pytest.raises(IdeogramError) as caught:
            await call

    box.release()

    assert AmbiguousError is type(caught.value)
