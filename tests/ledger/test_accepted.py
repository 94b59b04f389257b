"""Keyed calls that the service accepts first: on record before a poll, which any caller may ask for."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from support.clients import Events
from support.ledgers import AnyLedger, Store, claim_of

from ideogram_async import (
    AuthenticationError,
    BudgetError,
    Ideogram,
    IdeogramError,
    InDoubtError,
    InProgressError,
    KeyConflictError,
    LedgerError,
    Timeout,
    v2,
)
from ideogram_async._ledger import record
from ideogram_async._transport import polling
from ideogram_async.errors import GenerationFailed, WaitTimeout
from ideogram_async.ledger import CallState, Entry, Outcome, SqliteLedger, Verdict
from ideogram_async.sandbox import Fault, Sandbox

PRICE = Decimal("0.06")
FOX = v2.Generate46("a red fox", num_images=2)
POLL = "GET /v2/generations/{generation_id}"
SUBMITTED = 2
"""Requests of a call whose acceptance is on record: its submission, and the first poll."""


async def accept(sandbox: Sandbox, client: Ideogram, key: str = "fox") -> asyncio.Task[v2.Generation]:
    """Buy a key whose generation goes on until the sandbox is released, and return the call once it is accepted."""
    sandbox.hold()
    call = asyncio.create_task(client.once(key, FOX))
    await sandbox.wait_for_requests(len(sandbox.requests) + SUBMITTED)
    return call


async def entry_of(ledger: AnyLedger, key: str = "fox") -> Entry:
    entry = await ledger.get(key)

    assert entry is not None
    return entry


async def test_an_acceptance_is_on_record_before_the_first_poll(
    buyer: Ideogram, other: Ideogram, sandbox: Sandbox, ledger: AnyLedger
):
    """The record has the id and the acknowledgement. Then it has the answer."""
    call = await accept(sandbox, buyer)
    entry, totals = await entry_of(ledger), await ledger.totals()
    sandbox.release()
    answer, again = await call, await other.once("fox", FOX)
    after = await entry_of(ledger)

    assert (CallState.ACCEPTED, 1, None) == (entry.state, totals.calls[CallState.ACCEPTED], entry.settled_at)
    assert entry.generation_id == json.loads(entry.raw or b"")["generation_id"] == answer.generation_id
    assert (CallState.ANSWERED, answer.generation_id) == (after.state, after.generation_id)
    assert (answer, False, True) == (again, answer.meta.replayed, again.meta.replayed)
    assert type(again.seed) is int
    assert 1 == len(sandbox.ledger.entries)


async def test_anybody_asks_for_it_after_its_client_has_given_up(
    sandbox: Sandbox, store: Store, other: Ideogram, ledger: AnyLedger
):
    """A wait that ends in time leaves the call accepted, and another client gets the answer without a lease."""
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=store(), timeout=Timeout(total=1)) as client:
        sandbox.hold()
        with pytest.raises(WaitTimeout) as error:
            await client.once("fox", FOX)

    entry = await entry_of(ledger)
    sandbox.release()
    answer = await other.once("fox", FOX)

    assert (CallState.ACCEPTED, str(error.value.ticket)) == (entry.state, entry.generation_id)
    assert (answer.generation_id, True) == (entry.generation_id, answer.meta.replayed)
    assert 1 == len(sandbox.ledger.entries)


async def test_a_closed_client_leaves_it_accepted(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """Its callers learn that the generation continues, and nothing is in doubt."""
    call = await accept(sandbox, buyer)
    await buyer.aclose(grace=0)
    with pytest.raises(WaitTimeout, match="the client was closed before the generation"):
        await call

    sandbox.release()

    assert "completed" == (await other.once("fox", FOX)).status
    assert 1 == len(sandbox.ledger.entries)


async def test_a_cancelled_caller_leaves_it_running(buyer: Ideogram, sandbox: Sandbox, ledger: AnyLedger):
    """The client goes on to wait, and records the answer."""
    call = await accept(sandbox, buyer)
    call.cancel()
    await asyncio.wait({call})
    accepted = await entry_of(ledger)
    sandbox.release()
    await buyer.aclose()

    assert call.cancelled()
    assert [CallState.ACCEPTED, CallState.ANSWERED] == [accepted.state, (await entry_of(ledger)).state]


async def test_callers_of_two_clients_share_a_generation(
    buyer: Ideogram, other: Ideogram, sandbox: Sandbox, ledger: AnyLedger
):
    """Both ask for it at once, one answer is on record, and no other one is kept beside it."""
    call = await accept(sandbox, buyer)
    others = [asyncio.create_task(other.once("fox", FOX)) for _ in range(10)]
    await sandbox.wait_for_requests(len(sandbox.requests) + 10)
    sandbox.release()
    answers = await asyncio.gather(call, *others)

    assert 1 == len({answer.generation_id for answer in answers}) == len(sandbox.ledger.entries)
    assert [] == await ledger.strays("fox")


async def test_a_client_with_fewer_slots_asks_for_it(buyer: Ideogram, sandbox: Sandbox, store: Store):
    """It takes all its slots, and reports an answer, but no call that was sent."""
    call, events = await accept(sandbox, buyer), Events()
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=store(), max_in_flight=1, on_event=events) as small:
        waiting = asyncio.create_task(small.once("fox", FOX))
        while not (in_flight := small.limiter.statistics().in_flight):
            await asyncio.sleep(0)

        sandbox.release()

        assert (await call).images == (await waiting).images

    assert 1 == in_flight
    assert ["Waiting", "Answered"] == events.names


async def test_another_clients_call_is_waited_for_in_time(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """A caller that asks for it waits as long as it wants, and ends nothing."""
    call = await accept(sandbox, buyer)
    with pytest.raises(InProgressError):
        await other.once("fox", FOX, wait=0.1)

    with pytest.raises(KeyConflictError):
        await other.once("fox", v2.Generate46("a dog"))

    sandbox.release()

    assert await call == await other.once("fox", FOX, wait=0.1)


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_a_failed_generation_frees_its_key(
    buyer: Ideogram, other: Ideogram, sandbox: Sandbox, ledger: AnyLedger, is_given_up: bool
):
    """It was not billed, whichever caller asks for it, and the key can be bought again."""
    sandbox.fail(fault=Fault.failed("internal_error"))
    call = await accept(sandbox, buyer)
    if is_given_up:
        await buyer.aclose(grace=0)
        await asyncio.wait({call})
        call = asyncio.create_task(other.once("fox", FOX))

    sandbox.release()
    with pytest.raises(GenerationFailed, match="internal_error"):
        await call

    assert (None, 0, 0) == (
        await ledger.get("fox"),
        (await ledger.totals()).in_flight_usd,
        len(sandbox.ledger.entries),
    )
    assert "completed" == (await other.once("fox", FOX)).status


async def test_a_failed_generation_after_a_doubt(store: Store, ledger: AnyLedger):
    """The earlier attempt is still in doubt, and nothing that comes late of the failed one changes that."""
    await ledger.claim(claim_of("fox", "first"))
    await ledger.settle("fox", 1, Outcome(verdict=Verdict.UNKNOWN, token="first"))
    await ledger.resolve("fox", "retry")
    await ledger.claim(claim_of("fox", "second"))
    acceptance = Outcome.of_acceptance(v2.Accepted("g"), "second")
    await ledger.settle("fox", 2, acceptance)
    await ledger.settle("fox", 2, Outcome(verdict=Verdict.NOT_BILLED, token="second"))
    await ledger.settle("fox", 2, acceptance)
    entry = await entry_of(ledger)

    assert (CallState.AMBIGUOUS, None, PRICE) == (
        entry.state,
        entry.generation_id,
        (await ledger.totals()).in_doubt_usd,
    )


LOST = {
    "unknown id": Fault.status(404),
    "only an error": Fault.status(200, {"status": "completed", "error": "the images are lost"}),
}


@pytest.fixture(params=LOST)
async def lost(
    request: pytest.FixtureRequest,
    buyer: Ideogram,
    sandbox: Sandbox,
    ledger: AnyLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> Entry:
    """The entry of a call that the service has accepted and lost: each poll says so."""
    monkeypatch.setattr(polling, "MISSING_SECONDS", 0)
    sandbox.fail(POLL, fault=LOST[request.param], times=2)
    for _ in range(2):
        with pytest.raises(IdeogramError, match=r"does not know the generation|the images are lost"):
            await buyer.once("fox", FOX)

    return await entry_of(ledger)


async def test_a_lost_generation_is_given_up(lost: Entry, other: Ideogram, ledger: AnyLedger):
    """Its price stays booked as in doubt, and the key is not bought again."""
    await ledger.resolve("fox", "lost")
    totals = await ledger.totals()
    with pytest.raises(InDoubtError, match="it was given up"):
        await other.once("fox", FOX)

    assert CallState.ACCEPTED is lost.state
    assert (lost.usd, 0) == (totals.in_doubt_usd, totals.in_flight_usd)


async def test_a_lost_generation_is_bought_again(lost: Entry, other: Ideogram, sandbox: Sandbox, ledger: AnyLedger):
    """Only once it was given up, and with money of its own."""
    with pytest.raises(LedgerError, match="key 'fox' is accepted: it may still be answered, so give it up first"):
        await ledger.resolve("fox", "retry")

    await ledger.resolve("fox", "lost")
    await ledger.resolve("fox", "retry")
    answer, totals = await other.once("fox", FOX), await ledger.totals()

    assert lost.generation_id != answer.generation_id
    assert 2 == len(sandbox.ledger.entries)
    assert (lost.usd, lost.usd) == (totals.spent_usd, totals.in_doubt_usd)


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_the_image_of_a_lost_generation_is_adopted(
    lost: Entry, other: Ideogram, sandbox: Sandbox, ledger: AnyLedger, is_given_up: bool
):
    """It is the answer, and that of the generation is kept beside it if it comes after all."""
    if is_given_up:
        await ledger.resolve("fox", "lost")

    late = Outcome(verdict=Verdict.ANSWERED, token=lost.token, status=200, raw=b'{"data": []}', headers="{}")
    await ledger.resolve("fox", "adopt", url=f"{sandbox.url}/fox.png")
    await ledger.settle("fox", 1, late)
    answer, strays, totals = await other.once("fox", FOX), await ledger.strays("fox"), await ledger.totals()

    assert [f"{sandbox.url}/fox.png"] == [image.url for image in answer.images]
    assert [b'{"data": []}'] == [reply.raw for reply in strays]
    assert (lost.usd, 0) == (totals.spent_usd, totals.in_doubt_usd)


async def test_a_generation_that_was_given_up_is_answered(buyer: Ideogram, sandbox: Sandbox, ledger: AnyLedger):
    """A client that still waits for it records the answer, which ends the doubt."""
    call = await accept(sandbox, buyer)
    await ledger.resolve("fox", "lost")
    sandbox.release()
    answer, entry, totals = await call, await entry_of(ledger), await ledger.totals()

    assert (CallState.ANSWERED, answer.generation_id) == (entry.state, entry.generation_id)
    assert 0 == totals.in_doubt_usd


async def test_an_invalid_key_ends_the_wait_alone(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """A poll that is refused is that error, and leaves the call accepted."""
    sandbox.fail(POLL, fault=Fault.status(401))
    with pytest.raises(AuthenticationError):
        await buyer.once("fox", FOX)

    assert "completed" == (await other.once("fox", FOX)).status
    assert 1 == len(sandbox.ledger.entries)


async def test_a_submission_without_an_answer_is_in_doubt(buyer: Ideogram, other: Ideogram, sandbox: Sandbox):
    """Its acknowledgement was lost, so no caller can ask for it."""
    sandbox.fail(fault=Fault.reset_before_headers)
    with pytest.raises(InDoubtError):
        await buyer.once("fox", FOX)

    with pytest.raises(InDoubtError):
        await other.once("fox", FOX)


async def test_a_budget_keeps_the_price_of_an_accepted_call(store: Store):
    """It is in flight until the generation has failed, which returns it, or is answered."""
    async with store(max_cost_usd=PRICE) as ledger:
        await ledger.claim(claim_of("fox", "first", PRICE))
        await ledger.settle("fox", 1, Outcome.of_acceptance(v2.Accepted("g"), "first"))
        booked = (await ledger.totals()).in_flight_usd
        with pytest.raises(BudgetError):
            await ledger.claim(claim_of("dog", "second", PRICE))

        await ledger.settle("fox", 1, Outcome(verdict=Verdict.NOT_BILLED, token="first"))
        entry = await ledger.claim(claim_of("dog", "third", PRICE))

    assert (PRICE, "third") == (booked, entry.token)


async def test_a_ledger_that_is_away_when_a_call_is_accepted(
    sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The callers get the answer all the same, and the log has the id until it is on record."""
    monkeypatch.setattr(record, "RETRY_SECONDS", 0.05)
    ledger = AwayLedger(path)
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
        answer = await client.once("fox", FOX)
        ledger.is_away = False

    async with SqliteLedger(path) as ledger:
        entry = await entry_of(ledger)

    assert f"the outcome (accepted, generation {answer.generation_id}) could not be recorded" in caplog.text
    assert (CallState.ANSWERED, answer.generation_id) == (entry.state, json.loads(entry.raw or b"")["generation_id"])


class AwayLedger(SqliteLedger):
    """A ledger that records no acceptance."""

    is_away = True

    async def settle(self, key: str, attempt: int, outcome: Outcome) -> Entry | None:
        if self.is_away and outcome.verdict is Verdict.ACCEPTED:
            raise LedgerError("away", retryable=True)

        return await super().settle(key, attempt, outcome)
