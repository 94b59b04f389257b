"""Waits for accepted generations: what the answers mean, and what a failing wait leaves."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from pathlib import Path

import pytest
from support.clients import Events, connected, fast_limiter
from support.pictures import picture
from support.rawserver import RawServer, status

from ideogram_async import AuthenticationError, Billed, DecodeError, Ideogram, InvalidRequestError, JobState, Retry, v2
from ideogram_async._accepted import Accepted
from ideogram_async._transport import polling
from ideogram_async._transport.polling import Poller
from ideogram_async._wire.call import Call
from ideogram_async.errors import GenerationFailed, WaitTimeout
from ideogram_async.events import Answered, Event, Failed
from ideogram_async.ledger import SqliteLedger
from ideogram_async.models.base import Reply
from ideogram_async.sandbox import Fault, Sandbox

POLL = "GET /v2/generations/{generation_id}"
FOX = v2.Generate46("a red fox", num_images=2)
PENDING = b'{"generation_id": "g", "status": "pending"}'


class LongestPauses(random.Random):
    """A random source that makes each pause as long as possible."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize(
    ("code", "retry_after", "pauses"),
    [
        (200, "7", [7.0, 7.0]),
        (200, "0", [0.02, 0.02]),
        (200, "86400", [300.0, 300.0]),
        (429, "7", [7.0, 7.0]),
        (429, "86400", [300.0, 300.0]),
        (503, "0", [2.0, 3.0]),
    ],
)
async def test_the_pause_before_the_next_poll(
    code: int, retry_after: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After decides the pause, up to five minutes; after an error it does not shorten it."""
    taken: list[float] = []

    async def sleep(seconds: float) -> None:
        taken.append(seconds)

    async def send(call: Call) -> Reply:
        is_last = len(taken) == 3
        raw = b'{"status": "completed", "data": []}' if is_last else PENDING
        return Reply(status=200 if is_last else code, headers={"retry-after": retry_after}, raw=raw)

    monkeypatch.setattr(polling.asyncio, "sleep", sleep)
    await Poller(send, None, LongestPauses())(Accepted("g"), 0)

    assert [0.02, *pauses] == taken


async def test_a_poll_without_a_reply_is_repeated(
    client: Ideogram, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that is lost ends soon, whatever the time limit of a call, and the next one is answered."""
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(polling, "FIRST_PAUSE", 0.01)
    ticket = await client.submit(FOX)
    sandbox.fail(POLL, fault=Fault.hang)
    answer = await client.generations.wait(ticket)
    sandbox.release()

    assert "completed" == answer.status


@pytest.mark.parametrize("key", ["", RuntimeError("the store of secrets is down")], ids=["none", "error"])
async def test_a_key_function_that_fails(key: str | Exception, sandbox: Sandbox) -> None:
    """A key that is lost after the acceptance ends the wait with the id, and not as if nothing had been billed."""
    keys: list[str | Exception] = ["key", key]

    def next_key() -> str:
        value = keys.pop(0) if keys else "key"
        if isinstance(value, Exception):
            raise value

        return value

    async with Ideogram(next_key, base_url=sandbox.url) as client:
        ticket = await client.submit(FOX)
        with pytest.raises(AuthenticationError if isinstance(key, str) else RuntimeError) as error:
            await client.generations.wait(ticket)

    assert str(ticket) in error.value.__notes__[0]
    assert Billed.UNKNOWN is getattr(error.value, "billed", Billed.UNKNOWN)


@pytest.mark.parametrize("data", [[{"url": 1}], "none"])
async def test_a_finished_generation_that_cannot_be_read(data: object) -> None:
    """A generation that has completed was billed, although its answer cannot be used."""
    raw = json.dumps({"generation_id": "g", "status": "completed", "data": data}).encode()
    async with RawServer(status(200, raw)) as server, connected(server.url) as client:
        with pytest.raises(DecodeError) as error:
            await client.generations.wait("g")

    assert (Billed.YES, False) == (error.value.billed, error.value.retryable)


async def test_a_text_that_was_cut_in_the_middle_of_a_character() -> None:
    """A prompt that ends with half of a surrogate pair does not keep the answer from the caller."""
    image = {"url": "https://x.test/1", "is_image_safe": True, "prompt": "\ud83d"}
    raw = json.dumps({"generation_id": "g", "status": "completed", "data": [image]}).encode()
    async with RawServer(status(200, raw)) as server, connected(server.url) as client:
        answer = await client.generations.wait("g")

    assert ["\ud83d"] == [image.prompt for image in answer.images]
    assert "https://x.test/1" in answer.meta.raw.decode()


@pytest.mark.parametrize(("seconds", "images"), [(60.0, 2), (0.0, 0)])
async def test_images_that_are_missing_at_first(
    client: Ideogram, sandbox: Sandbox, seconds: float, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that has completed without a list of images is asked for again, for a minute."""
    monkeypatch.setattr(polling, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(polling, "MISSING_SECONDS", seconds)
    ticket = await client.submit(FOX)
    for body in ({"status": "completed"}, {"status": "completed", "data": None}, {"note": "not a status"}):
        sandbox.fail(POLL, fault=Fault.status(200, {"generation_id": str(ticket), **body}))

    assert images == len(await client.generations.wait(ticket))


async def test_a_generation_without_images_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A generation that has completed without images is marked and logged, as with a call that is answered at once."""
    raw = b'{"generation_id": "g", "status": "completed", "data": []}'
    async with RawServer(status(200, raw)) as server, connected(server.url) as client:
        answer = await client.generations.wait("g")

    assert answer.meta.is_empty
    assert "the answer has no items" in caplog.text


async def test_closing_ends_a_wait(sandbox: Sandbox) -> None:
    """A client that is closed during a wait does not claim that nothing was billed: its error has the ticket."""
    sandbox.hold()
    client = Ideogram("key", base_url=sandbox.url)
    ticket = await client.submit(FOX)
    waiting = asyncio.ensure_future(client.generations.wait(ticket))
    await sandbox.wait_for_requests(2)
    await client.aclose()
    with pytest.raises(WaitTimeout) as error:
        await waiting

    sandbox.release()

    assert ticket == error.value.ticket


async def test_a_ticket_that_is_larger_than_the_limit(sandbox: Sandbox) -> None:
    """A client with fewer slots than the generation has images waits for it with all of its slots."""
    async with Ideogram("key", base_url=sandbox.url) as first:
        ticket = await first.submit(FOX)
        async with connected(sandbox.url, limiter=fast_limiter(1)) as second:
            answer = await second.generations.wait(ticket)

    assert 2 == len(answer.images)


async def test_a_wait_that_ends_early_keeps_the_slots(client: Ideogram, sandbox: Sandbox) -> None:
    """A generation holds its slots after a wait that was cancelled, until its ticket is dropped."""
    sandbox.hold()
    ticket = await client.submit(FOX)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.generations.wait(ticket)

    await asyncio.sleep(0)
    held = client.limiter.statistics().in_flight
    del ticket
    for _ in range(5):
        await asyncio.sleep(0)

    sandbox.release()

    assert (2, 0) == (held, client.limiter.statistics().in_flight)


async def test_the_events_of_a_wait(sandbox: Sandbox) -> None:
    """A wait has the events of one attempt, however often it asks."""
    events = Events()
    sandbox.fail(fault=Fault.pending(5))
    async with Ideogram("key", base_url=sandbox.url) as first, connected(sandbox.url, on_event=events) as second:
        ticket = await first.submit(FOX)
        await second.generations.wait(ticket)

    assert ["Waiting", "Answered"] == events.names
    assert 1 == len({event.call_id for event in events})


async def test_the_events_of_an_accepted_call(sandbox: Sandbox) -> None:
    """A call that is accepted first is answered, once, when its generation has ended."""
    events = Events()
    sandbox.hold()
    async with connected(sandbox.url, on_event=events) as client:
        sending = asyncio.ensure_future(client.v2.replace_background_3(picture(), "a beach"))
        await sandbox.wait_for_requests(3)
        before = events.names
        sandbox.release()
        await sending

    assert (["Waiting", "Sending"], ["Waiting", "Sending", "Answered"]) == (before, events.names)


async def test_the_events_of_an_accepted_call_that_fails(sandbox: Sandbox) -> None:
    """A generation that fails ends its call with one event."""
    events = Events()
    sandbox.fail(fault=Fault.failed())
    async with connected(sandbox.url, on_event=events) as client:
        with pytest.raises(GenerationFailed):
            await client.v2.replace_background_3(picture(), "a beach")

    assert ["Waiting", "Sending", "Answered", "Failed"] == events.names


async def test_the_deadline_of_an_accepted_call(sandbox: Sandbox) -> None:
    """The deadline of a call holds after its acceptance too, and its error has the ticket."""
    sandbox.hold()
    async with connected(sandbox.url, retry=Retry(deadline=1.0)) as client:
        with pytest.raises(WaitTimeout, match="deadline") as error:
            await client.v2.replace_background_3(picture(), "a beach")

        sandbox.release()
        answer = await client.generations.wait(error.value.ticket)

    assert "completed" == answer.status


async def test_the_event_of_a_cancelled_wait(sandbox: Sandbox) -> None:
    """The failure of a wait does not state that the generation was not billed."""
    events = Events()
    sandbox.hold()
    async with Ideogram("key", base_url=sandbox.url, on_event=events) as client:
        ticket = await client.submit(FOX)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.generations.wait(ticket)

        sandbox.release()
        del ticket

    assert Billed.UNKNOWN is events.of(Failed)[-1].billed


@pytest.mark.parametrize(
    ("ticket", "timeout", "error"),
    [
        ("", 1.0, InvalidRequestError),
        (7, 1.0, InvalidRequestError),
        (None, 1.0, InvalidRequestError),
        (Accepted("g", poll="@attacker.example/"), 1.0, InvalidRequestError),
        ("g", float("nan"), ValueError),
        ("g", "5", TypeError),
        ("g", True, TypeError),
    ],
)
async def test_what_cannot_be_waited_for(
    client: Ideogram, sandbox: Sandbox, ticket: object, timeout: object, error: type[Exception]
) -> None:
    """A ticket or a time limit of the wrong kind is refused at once."""
    with pytest.raises(error, match=r"generation_id|poll: must be a path|timeout must be a number of seconds"):
        await client.generations.wait(ticket, timeout=timeout)  # type: ignore[arg-type]

    assert [] == sandbox.requests


async def test_a_submission_that_is_cancelled_when_it_is_accepted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A submission that is cancelled in the moment of its acceptance logs the id, and leaves no slot."""
    submitting: list[asyncio.Future[Accepted]] = []

    def cancel(event: Event) -> None:
        if isinstance(event, Answered):
            submitting[0].cancel()

    async with connected(sandbox.url, on_event=cancel) as client:
        submitting.append(asyncio.ensure_future(client.submit(FOX)))
        with pytest.raises(asyncio.CancelledError) as error:
            await submitting[0]

        await sandbox.wait_idle()
        [generation_id] = [generation.generation_id for generation in sandbox.generations]
        notes = error.value.__notes__
        # Its traceback refers to the ticket.
        del error
        submitting.clear()
        for _ in range(5):
            await asyncio.sleep(0)

    assert f"the generation {generation_id} continues, and is billed if it succeeds" in caplog.text
    assert generation_id in notes[0]


async def test_an_acknowledgement_that_ends_early() -> None:
    """An acknowledgement whose connection ends early, but that is complete, has the id."""
    script = status(200, b'{"generation_id": "g", "seed": 1}', {"Content-Length": "1000"})
    async with RawServer(script) as server, Ideogram("key", base_url=server.url) as client:
        ticket = await client.submit(FOX)

    assert "g" == str(ticket)


async def test_an_acknowledgement_that_is_cut() -> None:
    """An acknowledgement that is cut after its id is an error that names the id."""
    script = status(200, b'{"generation_id": "g", "se', {"Content-Length": "1000"})
    async with RawServer(script) as server, connected(server.url) as client:
        with pytest.raises(DecodeError, match="truncated") as error:
            await client.submit(FOX)

    assert Billed.YES is error.value.billed
    assert ["it names the generation g: client.generations.wait may return it"] == error.value.__notes__
    assert error.value.__notes__ == pickle.loads(pickle.dumps(error.value)).__notes__


async def test_an_acknowledgement_with_an_id_that_cannot_be_asked_for(tmp_path: Path) -> None:
    """It is an answer without images, whose bytes are on record, and its call is not sent again."""
    script = status(200, rb'{"generation_id": "\ud800", "seed": 1}')
    async with RawServer(script) as server, connected(server.url) as client:
        for _ in range(2):
            report = await client.run_batch([FOX], tmp_path / "out")

        async with SqliteLedger(tmp_path / "calls.sqlite3") as ledger:
            answers = [await client.once("fox", FOX, ledger=ledger) for _ in range(2)]

    assert ({JobState.PARTIAL: 1}, [True, True]) == (report.by_state, [answer.meta.is_empty for answer in answers])
    assert 2 == server.posts
