"""Started calls: no cancellation ends them, they are bounded, closing waits for them, and `on_done` gets them."""

from __future__ import annotations

import asyncio
import logging
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


class Recorder(list[RunningCall[Any]]):
    """An `on_done` that records calls, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()

    def __call__(self, call: RunningCall[Any]) -> None:
        self.append(call)
        self.called.set()


async def test_a_cancelled_awaiter_does_not_cancel_the_call(sandbox: Sandbox) -> None:
    """Cancelling awaiters ends the wait alone; the call is answered, passed to `on_done` once, and kept."""
    recorder, events = Recorder(), Events()
    async with connected(sandbox.url, on_event=events) as client:
        sandbox.hold()
        call = await client.start(FOX, on_done=recorder)
        waiters = [asyncio.ensure_future(call) for _ in range(3)]
        await sandbox.wait_for_requests(1)
        for waiter in waiters:
            waiter.cancel()

        await asyncio.wait(waiters)
        was_done = call.is_done
        sandbox.release()
        await recorder.called.wait()

        assert [True] * 3 == [waiter.cancelled() for waiter in waiters]
        assert (False, True, None) == (was_done, call.is_done, call.error)
        assert [call] == recorder
        assert call.result() is await call
        assert (1, 1) == (len(call.result().data), sandbox.ledger.billed_images)
        assert [] == events.of(Failed)


async def test_a_failure_is_raised_for_each_awaiter(sandbox: Sandbox) -> None:
    """An error is kept like an answer: every awaiter and `on_done` get it."""
    recorder = Recorder()
    sandbox.fail("generate", fault=Fault.status(422, '{"error": "unsafe"}'))
    async with connected(sandbox.url) as client:
        call = await client.start(FOX, on_done=recorder)
        for _ in range(2):
            with pytest.raises(SafetyError):
                await call

        with pytest.raises(SafetyError):
            call.result()

        await recorder.called.wait()

    assert SafetyError is type(recorder[0].error)
    assert "<RunningCall Generate: SafetyError>" == repr(call)


async def test_a_call_in_flight_has_no_result(sandbox: Sandbox) -> None:
    """Until it has ended, a call raises `InvalidStateError`, and its repr shows that it is in flight."""
    sandbox.hold()
    async with connected(sandbox.url) as client:
        call = await client.start(FOX)
        with pytest.raises(asyncio.InvalidStateError):
            call.result()

        shown = repr(call)
        sandbox.release()
        await call

    assert ("<RunningCall Generate: in flight>", "<RunningCall Generate: answered>") == (shown, repr(call))


async def test_an_invalid_request_is_refused_at_once(sandbox: Sandbox) -> None:
    """An invalid request raises in `start` itself, and no call is started."""
    recorder = Recorder()
    async with connected(sandbox.url) as client:
        with pytest.raises(InvalidRequestError):
            await client.start(Generate("a fox", num_images=9), on_done=recorder)

    assert ([], []) == (recorder, sandbox.requests)


async def test_files_are_copied_first(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A one-shot file is copied before `start` returns, so that its owner can close it; the copy ends with the call."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    source = tmp_path / "fox.png"
    source.write_bytes(picture())
    sandbox.hold()
    async with connected(sandbox.url) as client:
        with source.open("rb") as handle:
            call = await client.start(Remix(handle, "a blue fox"))

        copies = len(list(folder.iterdir()))
        sandbox.release()
        await call

    assert (1, []) == (copies, list(folder.iterdir()))
    assert "fox.png" == sandbox.requests[0].parts[0].filename


async def test_too_many_are_refused_unsent(sandbox: Sandbox) -> None:
    """Ten calls for each slot may be in flight or queued; the next is not sent and costs nothing."""
    sandbox.hold()
    async with Ideogram(CANARY, base_url=sandbox.url, max_in_flight=2) as client:
        calls = [await client.start(FOX) for _ in range(20)]
        with pytest.raises(NotSentError, match="20 started calls") as caught:
            await client.start(FOX)

        sandbox.release()
        await asyncio.gather(*calls)
        await (await client.start(FOX))

    assert (Billed.NO, True) == (caught.value.billed, caught.value.retryable)
    assert 21 == len(sandbox.requests)


async def test_closing_waits_for_them(sandbox: Sandbox) -> None:
    """`aclose` waits for started calls, including queued ones, and for their `on_done`."""
    finished: list[RunningCall[Any]] = []

    async def download(call: RunningCall[Any]) -> None:
        await client.fetch(call.result().data[0])
        finished.append(call)

    sandbox.hold()
    client = Ideogram(CANARY, base_url=sandbox.url, max_in_flight=1)
    calls = [await client.start(FOX, on_done=download) for _ in range(3)]
    await sandbox.wait_for_requests(1)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    sandbox.release()
    await closing

    assert calls == finished
    assert (3, 0) == (sandbox.ledger.billed_images, client.limiter.statistics().in_flight)


async def test_after_the_grace_period_calls_end(sandbox: Sandbox) -> None:
    """A sent call is then ambiguous and a queued one not sent; both are passed to `on_done` and reported."""
    recorder, events = Recorder(), Events()
    sandbox.hold()
    client = Ideogram(CANARY, base_url=sandbox.url, max_in_flight=1, on_event=events)
    sent = await client.start(FOX, on_done=recorder)
    await sandbox.wait_for_requests(1)
    queued = await client.start(FOX, on_done=recorder)
    await client.aclose(grace=0)

    assert [AmbiguousError, NotSentError] == [type(sent.error), type(queued.error)]
    assert {sent, queued} == set(recorder)
    assert {Billed.UNKNOWN, Billed.NO} == {event.billed for event in events.of(Failed)}
    assert (1, 0) == (len(sandbox.requests), client.limiter.statistics().in_flight)
    sandbox.release()
    await sandbox.wait_idle()

    assert 1 == sandbox.ledger.billed_images


async def test_closing_waits_for_calls_of_on_done(sandbox: Sandbox) -> None:
    """A call that `on_done` starts in the grace period has the rest of that period."""
    recorder = Recorder()

    async def follow(call: RunningCall[Any]) -> None:
        await client.start(Generate("another fox"), on_done=recorder)

    sandbox.hold()
    client = Ideogram(CANARY, base_url=sandbox.url)
    await client.start(FOX, on_done=follow)
    await sandbox.wait_for_requests(1)
    closing = asyncio.create_task(client.aclose(grace=1000))
    await asyncio.sleep(0)
    sandbox.release()
    await closing

    assert [None] == [call.error for call in recorder]
    assert 2 == sandbox.ledger.billed_images


@pytest.mark.parametrize("is_released", [True, False])
async def test_cancelled_while_closing(sandbox: Sandbox, is_released: bool) -> None:
    """The first cancellation of `aclose` leaves the calls their grace period, the second ends it."""
    sandbox.hold()
    client = Ideogram(CANARY, base_url=sandbox.url)
    call = await client.start(FOX)
    await sandbox.wait_for_requests(1)
    closing = asyncio.create_task(client.aclose(grace=1000))
    for _ in range(2):
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        if is_released:
            sandbox.release()
            break

    await asyncio.wait([closing])
    sandbox.release()

    assert closing.cancelled()
    assert (type(None) if is_released else AmbiguousError) is type(call.error)


async def test_closed_by_on_done(sandbox: Sandbox) -> None:
    """`on_done` can close the client without waiting for itself."""
    closed = asyncio.Event()

    async def on_done(call: RunningCall[Any]) -> None:
        await client.aclose(grace=1000)
        closed.set()

    client = Ideogram(CANARY, base_url=sandbox.url)
    async with asyncio.timeout(30):
        await client.start(FOX, on_done=on_done)
        await closed.wait()

    assert 1 == sandbox.ledger.billed_images


async def test_on_done_that_never_ends_is_cancelled(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace period `on_done` has a timeout; then it is cancelled, and closing ends."""
    monkeypatch.setattr(sessions, "SHUTDOWN_TIMEOUT", 0.01)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def on_done(call: RunningCall[Any]) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    client = Ideogram(CANARY, base_url=sandbox.url)
    async with asyncio.timeout(30):
        await client.start(FOX, on_done=on_done)
        await begun.wait()
        await client.aclose(grace=0.01)
        await ended.wait()

    assert ended.is_set()


def broken(call: RunningCall[Any]) -> None:
    raise KeyError("full disk")


async def broken_later(call: RunningCall[Any]) -> None:
    await asyncio.sleep(0)
    raise KeyError("full disk")


async def cancelled(call: RunningCall[Any]) -> None:
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


@pytest.mark.parametrize("on_done", [broken, broken_later, cancelled])
async def test_on_done_that_fails_is_logged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture, on_done: Any) -> None:
    """The answer is kept, and awaiters get it."""
    before = other_tasks()
    async with connected(sandbox.url) as client:
        call = await client.start(FOX, on_done=on_done)
        answer = await call

    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]

    assert 1 == len(answer.data)
    assert ["on_done failed for <RunningCall Generate: answered>"] == errors
    assert set() == other_tasks() - before


async def test_a_view_starts_calls_with_its_options(sandbox: Sandbox) -> None:
    """Calls of a view belong to the client, and are reported to the listener of the view."""
    events = Events()
    async with Ideogram(CANARY, base_url=sandbox.url, retry=AT_ONCE) as client:
        await client.with_options(on_event=events).start(FOX)

    assert ["Waiting", "Sending", "Answered"] == events.names[:3]


async def test_cancelled_before_it_returns(sandbox: Sandbox) -> None:
    """While its files are copied a call is not started yet: a cancellation leaves nothing, and costs nothing."""

    class Slow:
        begun = asyncio.Event()

        async def read(self, size: int = -1, /) -> bytes:
            self.begun.set()
            await asyncio.Event().wait()
            return b""

    recorder = Recorder()
    async with connected(sandbox.url) as client:
        task = asyncio.create_task(client.start(Remix(Slow(), "a fox"), on_done=recorder))
        await Slow.begun.wait()
        task.cancel()
        await asyncio.wait([task])

    assert task.cancelled()
    assert ([], []) == (recorder, sandbox.requests)


@pytest.mark.parametrize("reuse", [False, True])
async def test_cancelled_in_any_step_of_the_loop(sandbox: Sandbox, reuse: bool) -> None:
    """Whenever it is cancelled, `start` has either returned, or nothing is sent and nothing is billed."""
    recorder, returned, steps = Recorder(), 0, 0
    async with Ideogram(CANARY, base_url=sandbox.url, reuse_connections=reuse) as client:
        # Open a connection that can be reused: a call could be sent in its first step.
        await client.send(FOX)
        while returned < 3:
            task = asyncio.create_task(client.start(FOX, on_done=recorder))
            for _ in range(steps):
                await asyncio.sleep(0)

            task.cancel()
            await asyncio.wait([task])
            returned += not task.cancelled()
            steps += 1

    assert steps > returned
    assert 1 + returned == sandbox.ledger.billed_images == len(sandbox.requests)
    assert {type(None), NotSentError} >= {type(call.error) for call in recorder}


async def test_on_done_must_be_a_function(sandbox: Sandbox) -> None:
    """A value that is not callable is refused before anything is sent."""
    async with connected(sandbox.url) as client:
        with pytest.raises(TypeError, match="on_done must be a function, not list"):
            await client.start(FOX, on_done=[])  # type: ignore[arg-type]

    assert [] == sandbox.requests


def test_the_end_of_a_loop_cancels_on_done() -> None:
    """At the end of its loop `on_done` has a timeout, and is then cancelled."""
    run_quietly("""
        from ideogram_async import Generate
        from ideogram_async._pipeline import sessions

        async def hang(call):
            outcomes.append(call.error.billed)
            await asyncio.Event().wait()

        async def work():
            await client.start(Generate("a fox"), on_done=hang)
            await sandbox.wait_for_requests(1)

        outcomes = []
        sessions.SHUTDOWN_TIMEOUT = 0.01
        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            sandbox.hold()
            asyncio.run(work())

        assert outcomes == ["unknown"], outcomes
    """)


@pytest.mark.parametrize("ending", ["pass", "await client.aclose(grace=0)"])
def test_the_end_of_a_loop_is_the_end_of_its_calls(ending: str) -> None:
    """In one loop after another, the end of the loop makes sent calls ambiguous, and leaves nothing behind."""
    run_quietly(f"""
        from ideogram_async import AmbiguousError, Generate, NotSentError

        async def on_done(call):
            await asyncio.sleep(0)
            outcomes.append(type(call.error))

        async def work():
            for _ in range(3):
                await client.start(Generate("a fox"), on_done=on_done)
            await sandbox.wait_for_requests(1)
            {ending}

        outcomes = []
        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url, max_in_flight=1)
            for _ in range(3):
                sandbox.reset()
                sandbox.hold()
                asyncio.run(work())

            gc.collect()

        assert outcomes.count(AmbiguousError) == 3, outcomes
        assert outcomes.count(NotSentError) == 6, outcomes
    """)


def test_the_end_of_a_loop_leaves_a_closing_client_its_time() -> None:
    """A task in the client's block is cancelled with the loop, and drains the calls: they are not cancelled with it."""
    run_quietly("""
        from ideogram_async import Generate

        async def background():
            async with client:
                calls.append(await client.start(Generate("a fox")))
                try:
                    await asyncio.Event().wait()
                finally:
                    asyncio.get_running_loop().call_later(0.01, sandbox.release)

        async def work():
            tasks.append(asyncio.create_task(background()))
            await sandbox.wait_for_requests(1)

        calls, tasks = [], []
        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            sandbox.hold()
            asyncio.run(work())

        assert calls[0].error is None, calls
    """)


async def test_a_cancelled_callback_is_an_error_of_the_library(sandbox: Sandbox) -> None:
    """If the function that returns the key is cancelled, awaiters get an `IdeogramError`, never `CancelledError`."""

    async def cancelled_key() -> str:
        raise asyncio.CancelledError

    recorder = Recorder()
    async with connected(sandbox.url, api_key=cancelled_key) as client:
        call = await client.start(FOX, on_done=recorder)
        with pytest.raises(IdeogramError) as caught:
            await call

    assert (NotSentError, [call]) == (type(caught.value), recorder)
