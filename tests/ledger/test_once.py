"""Keyed calls: each key is bought once, and every caller gets the answer, or the error of a doubt."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from support.clients import Events
from support.ledgers import AnyLedger, Store
from support.pictures import picture

from ideogram_async import (
    BudgetError,
    DecodeError,
    Generate,
    Ideogram,
    ImageGenerationResponseV3,
    InDoubtError,
    InProgressError,
    InvalidRequestError,
    KeyConflictError,
    LedgerError,
    ListModels,
    Remix,
    SafetyError,
)
from ideogram_async.ledger import CallState, Entry, Outcome, SqliteLedger
from ideogram_async.sandbox import Fault, Sandbox

FOX = Generate("a red fox")
PRICE = Decimal("0.06")


async def test_a_repeat_returns_the_recorded_answer(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """One call is billed, and a repeat says that it was not sent."""
    first = await buyer.once("fox", FOX)
    again = [await client.once("fox", FOX) for client in (buyer, other)]

    assert [first, first] == again
    assert [False, True, True] == [answer.meta.replayed for answer in (first, *again)]
    assert 1 == len(sandbox.ledger.entries)


async def test_callers_of_a_key_share_a_call(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """A hundred callers of two clients wait for one call."""
    sandbox.hold()
    calls = [asyncio.create_task(client.once("fox", FOX)) for client in (buyer, other) for _ in range(50)]
    await sandbox.wait_for_requests(1)
    sandbox.release()
    answers = await asyncio.gather(*calls)

    assert (1, 1) == (len(set(answers)), len(sandbox.ledger.entries))
    assert 99 == sum(answer.meta.replayed for answer in answers)


async def test_a_client_with_two_ledgers_of_one_place(buyer: Ideogram, store: Store, sandbox: Sandbox):
    """Its own call is not taken for one that was given up."""
    sandbox.hold()
    call = asyncio.create_task(buyer.once("fox", FOX))
    await sandbox.wait_for_requests(1)
    async with store() as second:
        with pytest.raises(InProgressError):
            await buyer.once("fox", FOX, ledger=second, wait=0)

        sandbox.release()

        assert await call == await buyer.once("fox", FOX, ledger=second)


async def test_another_request_conflicts(buyer: Ideogram, sandbox: Sandbox):
    """A key is the name of one purchase, while it runs and afterwards."""
    sandbox.hold()
    running = asyncio.create_task(buyer.once("fox", FOX))
    await sandbox.wait_for_requests(1)
    for _ in range(2):
        with pytest.raises(KeyConflictError, match="key 'fox' belongs to another request; nothing was sent"):
            await buyer.once("fox", Generate("a dog"))

        sandbox.release()
        await running

    assert 1 == len(sandbox.ledger.entries)


async def test_files_are_compared_by_content(buyer: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The same picture at another path is the same purchase, and another one is not."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(picture())

    for path in paths:
        await buyer.once("fox", Remix(path, "a fox"))

    paths[0].write_bytes(picture(size=(70, 70)))
    with pytest.raises(KeyConflictError):
        await buyer.once("fox", Remix(paths[0], "a fox"))

    assert 1 == len(sandbox.ledger.entries)


async def test_a_refusal_frees_the_key(buyer: Ideogram, ledger: AnyLedger, sandbox: Sandbox):
    """Nothing was bought, so the key can be used again, for another prompt too."""
    sandbox.fail(fault=Fault.status(422))
    with pytest.raises(SafetyError):
        await buyer.once("fox", FOX)

    assert await ledger.get("fox") is None

    answer = await buyer.once("fox", Generate("a dog"))

    assert not answer.meta.replayed


async def test_an_unknown_outcome_is_never_sent_again(buyer: Ideogram, ledger: AnyLedger, sandbox: Sandbox):
    """A 5xx may have been billed: the key is in doubt, with its price, until it is resolved."""
    sandbox.fail(fault=Fault.status(500))
    errors = []
    for _ in range(2):
        with pytest.raises(InDoubtError) as caught:
            await buyer.once("fox", FOX)

        errors.append((caught.value.key, caught.value.attempt, caught.value.usd, caught.value.retryable))

    entry = await ledger.get("fox")

    assert [("fox", 1, PRICE, False)] * 2 == errors
    assert entry is not None
    assert (CallState.AMBIGUOUS, PRICE) == (entry.state, (await ledger.totals()).in_doubt_usd)
    assert 1 == len(sandbox.requests)


async def test_an_unreadable_answer_is_kept(buyer: Ideogram, sandbox: Sandbox):
    """It was billed: each repeat has its bytes."""
    sandbox.fail(fault=Fault.garbage_json)
    errors = []
    for _ in range(2):
        with pytest.raises(DecodeError) as caught:
            await buyer.once("fox", FOX)

        errors.append(caught.value.raw)

    assert (1, 1) == (len(set(errors)), len(sandbox.requests))


async def test_an_error_in_doubt_can_be_pickled(buyer: Ideogram, sandbox: Sandbox):
    """A queue passes it on with all it says."""
    sandbox.fail(fault=Fault.status(500))
    with pytest.raises(InDoubtError) as caught:
        await buyer.once("fox", FOX)

    copied = pickle.loads(pickle.dumps(caught.value))

    assert (str(caught.value), vars(caught.value)) == (str(copied), vars(copied))


@pytest.mark.parametrize("how", ["lost", "retry", "adopt"])
async def test_resolved_by_hand(buyer: Ideogram, ledger: AnyLedger, sandbox: Sandbox, how):
    """A doubt is given up, bought again, or answered by an image that was found."""
    sandbox.fail(fault=Fault.status(500))
    with pytest.raises(InDoubtError):
        await buyer.once("fox", FOX)

    url = f"{sandbox.url}/found.png" if how == "adopt" else None
    await ledger.resolve("fox", how, url=url)
    if how == "lost":
        with pytest.raises(InDoubtError):
            await buyer.once("fox", FOX)
    else:
        [image] = await buyer.once("fox", FOX)

        assert (how == "adopt") == (image.url == url)

    totals, calls = await ledger.totals(), {"lost": 1, "retry": 2, "adopt": 1}[how]

    assert (calls, PRICE * calls) == (len(sandbox.requests), totals.spent_usd + totals.in_doubt_usd)


async def test_a_call_goes_on_without_its_caller(buyer: Ideogram, sandbox: Sandbox):
    """A cancellation ends the wait of a call that was sent, and the next caller gets its answer."""
    sandbox.hold()
    running = asyncio.create_task(buyer.once("fox", FOX))
    await sandbox.wait_for_requests(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    waiting = asyncio.create_task(buyer.once("fox", FOX))
    await asyncio.sleep(0)
    sandbox.release()
    answer = await waiting

    assert (True, 1) == (answer.meta.replayed, len(sandbox.ledger.entries))


async def test_a_queued_call_ends_with_its_last_caller(sandbox: Sandbox, store: Store, ledger: AnyLedger):
    """A call that waits for its slots leaves no trace."""
    async with Ideogram("x", base_url=sandbox.url, max_in_flight=1, ledger=store()) as client:
        sandbox.hold()
        sending = asyncio.create_task(client.once("fox-0", FOX))
        await sandbox.wait_for_requests(1)
        queued = [asyncio.create_task(client.once("fox-1", FOX)) for _ in range(2)]
        while client.limiter.statistics().waiting != 1:
            await asyncio.sleep(0)

        for task in queued:
            task.cancel()

        await asyncio.gather(*queued, return_exceptions=True)
        sandbox.release()
        await sending

    assert ([CallState.ANSWERED], 1) == ([entry.state async for entry in ledger.entries()], len(sandbox.requests))


async def test_a_caller_that_waits_too_long(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """It raises that the call is in progress. The one that sends it waits to the end."""
    sandbox.hold()
    sending = asyncio.create_task(buyer.once("fox", FOX, wait=0))
    await sandbox.wait_for_requests(1)
    for client in (buyer, other):
        with pytest.raises(InProgressError, match=r"key 'fox' has no answer after 0.01 s") as caught:
            await client.once("fox", FOX, wait=0.01)

        assert caught.value.retryable

    sandbox.release()

    assert not (await sending).meta.replayed


async def send_and_fall_silent(client: Ideogram, sandbox: Sandbox) -> asyncio.Task[ImageGenerationResponseV3]:
    """Send a call that the sandbox holds, and stop its heartbeat, like a process that is suspended."""
    sandbox.hold()
    sending = asyncio.create_task(client.once("fox", FOX))
    await sandbox.wait_for_requests(1)
    [heartbeat] = client._pipeline.config.sessions.current().keyed_calls._heartbeats.values()
    heartbeat.stop()
    return sending


async def test_a_silent_owner_leaves_a_doubt_that_heals(sandbox: Sandbox, store: Store, other: Ideogram):
    """The call of a process that is suspended beyond its lease is in doubt. When it resumes, its answer counts."""
    ledger = store(lease=0.4)
    async with Ideogram("x", base_url=sandbox.url, ledger=ledger) as client:
        sending = await send_and_fall_silent(client, sandbox)
        with pytest.raises(InDoubtError, match="its owner is silent"):
            await other.once("fox", FOX)

        sandbox.release()
        answer = await sending

    assert answer == await other.once("fox", FOX)
    assert 1 == len(sandbox.ledger.entries)


@pytest.mark.parametrize("wait", [0, 0.02])
async def test_short_waits_for_a_silent_owner_add_up(sandbox: Sandbox, store: Store, other: Ideogram, wait: float):
    """Callers that never wait for as long as the lease get the doubt as an error, and not progress forever."""
    async with Ideogram("x", base_url=sandbox.url, ledger=store(lease=0.4)) as client:
        sending = await send_and_fall_silent(client, sandbox)
        progress = 0
        with pytest.raises(InDoubtError, match="its owner is silent"):
            async with asyncio.timeout(30):
                while True:
                    with suppress(InProgressError):
                        await other.once("fox", FOX, wait=wait)

                    progress += 1

        sandbox.release()
        await sending

    assert progress > 0


async def test_both_answers_are_kept(sandbox: Sandbox, store: Store, other: Ideogram, ledger: AnyLedger):
    """A silent owner resumes after the user had the call sent again."""
    async with Ideogram("x", base_url=sandbox.url, ledger=store(lease=0.4)) as client:
        sending = await send_and_fall_silent(client, sandbox)
        await ledger.resolve("fox", "retry")
        again = asyncio.create_task(other.once("fox", FOX))
        await sandbox.wait_for_requests(2)
        sandbox.release()
        answers = {await sending, await again}

    entry, totals = await ledger.get("fox"), await ledger.totals()
    kept = {entry.raw} | {reply.raw for reply in await ledger.strays("fox")}

    assert (2, 2, 2 * PRICE) == (len(answers), len(kept), totals.spent_usd + totals.in_doubt_usd)


async def test_a_living_owner_cannot_be_overruled(buyer: Ideogram, ledger: AnyLedger, sandbox: Sandbox):
    """Deciding about a call that runs would buy it twice."""
    sandbox.hold()
    sending = asyncio.create_task(buyer.once("fox", FOX))
    await sandbox.wait_for_requests(1)
    with pytest.raises(LedgerError, match="key 'fox' is being sent by a client that is alive"):
        await ledger.resolve("fox", "retry")

    sandbox.release()
    await sending
    with pytest.raises(LedgerError, match="key 'fox' is answered: there is nothing to decide"):
        await ledger.resolve("fox", "retry")


async def test_the_budget_holds_for_all_clients(sandbox: Sandbox, store: Store):
    """Ten of twenty calls fit into the budget of a ledger that two clients share."""
    ledgers = [store(max_cost_usd=10 * PRICE) for _ in range(2)]
    async with (
        Ideogram("x", base_url=sandbox.url, ledger=ledgers[0]) as first,
        Ideogram("x", base_url=sandbox.url, ledger=ledgers[1]) as second,
    ):
        calls = [client.once(f"{number}", FOX) for number in range(10) for client in (first, second)]
        calls += [client.once(f"x{number}", FOX) for number in range(5) for client in (first, second)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetError)]

    assert 10 == len(sandbox.ledger.entries)
    assert "the budget of 0.60 USD does not cover 0.06 USD more" in str(refused[0])


@pytest.mark.parametrize(
    ("key", "request_", "problem"),
    [
        ("", FOX, "key: must have 1 to 255 bytes"),
        ("x" * 256, FOX, "key: must have 1 to 255 bytes"),
        ("a\nb", FOX, r"key: 'a\\nb' contains control characters"),
        ("a\ud800", FOX, "contains control characters"),
        (7, FOX, "key: is int, not str"),
        ("models", ListModels(), "request: GET /models costs nothing: send it"),
        ("fox", Generate("x", num_images=99), "num_images"),
    ],
)
async def test_invalid_calls(buyer: Ideogram, sandbox: Sandbox, key, request_, problem: str):
    """The error names what is wrong, before anything is sent."""
    with pytest.raises(InvalidRequestError, match=problem):
        await buyer.once(key, request_)

    assert [] == sandbox.requests


async def test_a_ledger_is_needed(sandbox: Sandbox):
    """Without a record, a key could be sent twice."""
    async with Ideogram("x", base_url=sandbox.url) as client:
        with pytest.raises(TypeError, match="once needs a ledger: pass ledger= to it, or to Ideogram"):
            await client.once("fox", FOX)


async def test_a_ledger_belongs_to_one_service(buyer: Ideogram, store: Store):
    """An answer of the sandbox is not one of the service."""
    await buyer.once("fox", FOX)
    async with Ideogram("x", base_url="https://images.example", ledger=store()) as client:
        with pytest.raises(LedgerError, match=r"the ledger belongs to sandbox, not to https://images\.example"):
            await client.once("fox", FOX)


async def test_closing_gives_up_what_is_in_flight(sandbox: Sandbox, store: Store, ledger: AnyLedger):
    """It is in doubt, for the caller and in the ledger."""
    client = Ideogram("x", base_url=sandbox.url, ledger=store())
    sandbox.hold()
    sending = asyncio.create_task(client.once("fox", FOX))
    await sandbox.wait_for_requests(1)
    await client.aclose(grace=0)
    with pytest.raises(InDoubtError, match="the client was closed"):
        await sending

    entry = await ledger.get("fox")

    assert entry is not None
    assert CallState.AMBIGUOUS == entry.state


async def test_a_ledger_of_the_callers_own_fails(sandbox: Sandbox, path: Path, caplog: pytest.LogCaptureFixture):
    """The caller gets the answer, whose links are logged."""

    class Broken(SqliteLedger):
        async def settle(self, key: str, attempt: int, outcome: Outcome) -> Entry | None:
            raise RuntimeError("broken")

    async with Ideogram("x", base_url=sandbox.url, ledger=Broken(path)) as client:
        [image] = await client.once("fox", FOX)

    [record] = caplog.records

    assert f"could not be recorded: broken\n  {image.url}" in record.getMessage()


async def test_a_failure_is_reported_once(sandbox: Sandbox, store: Store):
    """The events of a keyed call are those of any call."""
    events = Events()
    sandbox.fail(fault=Fault.status(422))
    async with Ideogram("x", base_url=sandbox.url, ledger=store(), on_event=events) as client:
        with pytest.raises(SafetyError):
            await client.once("fox", FOX)

    assert ["Waiting", "Sending", "Answered", "Failed"] == events.names
