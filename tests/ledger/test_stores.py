"""What a ledger stores, the same in every database."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve
from support.clients import CANARY
from support.ledgers import AnyLedger, Store, claim_of, outcome_of

from ideogram_async import BudgetError, Generate, Ideogram, InDoubtError, LedgerError
from ideogram_async._ledger.rows import COLUMNS
from ideogram_async._ledger.transactions import Transaction
from ideogram_async.ledger import CallState, Totals, Verdict
from ideogram_async.sandbox import Fault, Sandbox

ENTRIES = int(os.environ.get("IDEOGRAM_ASYNC_ENTRIES", "5000"))


async def test_entries_are_in_the_order_of_their_keys(ledger: AnyLedger):
    """Bytes decide, not the language of a database, and each state can be chosen."""
    keys = ["a", "B", "_", "\xe4", "\u4e00", "\U0001f98a", "a/b", "'; --%s?"]
    for key in keys:
        await ledger.claim(claim_of(key, key))

    await ledger.settle("a", 1, outcome_of("a"))

    assert sorted(keys, key=str.encode) == [entry.key async for entry in ledger.entries()]
    assert ["a"] == [entry.key async for entry in ledger.entries("answered")]
    assert 7 == len([entry async for entry in ledger.entries("sending", "lost")])


async def test_an_entry_is_what_was_claimed(ledger: AnyLedger):
    """The entry that a claim returns is the one that is read later, with times in UTC."""
    claimed = await ledger.claim(claim_of("fox", "token"))
    settled = await ledger.settle("fox", 1, outcome_of("token"))

    assert ("token", 1, CallState.SENDING, UTC) == (
        *(claimed.token, claimed.attempt, claimed.state, claimed.started_at.tzinfo),
    )
    assert settled == await ledger.get("fox")
    assert settled is not None
    assert (b"token", claimed.started_at) == (settled.raw, settled.started_at)


async def test_an_error_of_any_text_is_recorded(ledger: AnyLedger):
    """A zero byte or half a surrogate pair in the words of a server does not keep an outcome from the ledger."""
    await ledger.claim(claim_of("fox", "token"))
    await ledger.settle("fox", 1, outcome_of("token", Verdict.UNKNOWN, "a\0b\ud800\u4e00"))
    entry = await ledger.get("fox")

    assert entry is not None
    assert (CallState.AMBIGUOUS, "a\\0b\\ud800\u4e00") == (entry.state, entry.error)


async def test_a_part_of_a_unit_is_booked_as_a_whole(ledger: AnyLedger):
    """Less than a millionth of a USD counts as one: a budget is never passed by rounding."""
    await ledger.claim(claim_of("fox", "token", Decimal("0.0000004")))

    assert Decimal("0.000001") == (await ledger.totals()).in_flight_usd


async def test_forgotten_calls(ledger: AnyLedger):
    """Only calls that were answered or given up are forgotten. What they cost still counts."""
    verdicts = {"answered": Verdict.ANSWERED, "ambiguous": Verdict.UNKNOWN, "lost": Verdict.UNKNOWN}
    for key in ("sending", *verdicts):
        await ledger.claim(claim_of(key, key))

    for key, verdict in verdicts.items():
        await ledger.settle(key, 1, outcome_of(key, verdict))

    await ledger.resolve("lost", "lost")
    before = await ledger.totals()

    assert 0 == await ledger.forget(datetime.now(UTC) - timedelta(hours=1))
    assert 2 == await ledger.forget(datetime.now(UTC) + timedelta(hours=1))
    assert ["ambiguous", "sending"] == [entry.key async for entry in ledger.entries()]
    assert Decimal("0.24") == sum_of(before) == sum_of(await ledger.totals())


def sum_of(totals: Totals) -> Decimal:
    return totals.spent_usd + totals.in_doubt_usd + totals.in_flight_usd


def test_one_event_loop_after_another(store: Store):
    """A ledger that was left open serves the next loop."""
    ledger = store()
    counts = [asyncio.run(ledger.totals()).calls[CallState.ANSWERED] for _ in range(3)]
    asyncio.run(ledger.aclose())

    assert [0, 0, 0] == counts


def test_one_of_two_event_loops(store: Store):
    """Two threads begin at once: the calls of one are refused, and none waits for the other's loop."""
    ledger, barrier = store(), threading.Barrier(2)

    async def read() -> list[Totals | BaseException]:
        barrier.wait()
        results = await asyncio.gather(*(ledger.totals() for _ in range(3)), return_exceptions=True)
        await asyncio.to_thread(barrier.wait)
        await ledger.aclose()
        return results

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: asyncio.run(read()), range(2))

    results = [[type(result) for result in each] for each in (first, second)]

    assert [[Totals] * 3, [LedgerError] * 3] == sorted(results, key=lambda each: each[0] is LedgerError)


async def test_a_price_that_was_not_known(store: Store):
    """The budget counts what a call costs once its price is known, for each of its attempts."""
    async with store(max_cost_usd=1) as ledger:
        await ledger.claim(claim_of("fox", "first", usd=None))
        await ledger.settle("fox", 1, outcome_of("first", Verdict.UNKNOWN))
        await ledger.resolve("fox", "retry")
        with pytest.raises(BudgetError):
            await ledger.claim(claim_of("fox", "second", Decimal("0.60")))

        await ledger.claim(claim_of("fox", "third", Decimal("0.30")))
        await ledger.settle("fox", 2, outcome_of("third"))
        totals = await ledger.totals()

    assert (Decimal("0.30"), Decimal("0.30")) == (totals.spent_usd, totals.in_doubt_usd)


@pytest.mark.parametrize("keep_requests", [True, False])
async def test_requests_are_kept_if_asked(
    request: pytest.FixtureRequest, sandbox: Sandbox, store: Store, keep_requests: bool
):
    """The key of the account is in no ledger."""
    ledger = store(keep_requests=keep_requests)
    async with Ideogram(CANARY, base_url=sandbox.url, ledger=ledger) as client:
        await client.once("fox", Generate("a red fox"))
        sandbox.fail(fault=Fault.status(500))
        with pytest.raises(InDoubtError):
            await client.once("cat", Generate("a cat"))

        entry = await ledger.get("fox")

    server = request.getfixturevalue("postgres") if store.schema else None
    contents = server.dump(store.schema) if server else read_all(Path(store.location).parent)
    serialized = '{"fields":{"prompt":"a red fox"},"operation":"POST /v1/ideogram-v3/generate"}'

    assert entry is not None
    assert (serialized if keep_requests else None) == entry.request
    assert ("/ephemeral/" in contents, CANARY in contents) == (True, False)


def read_all(folder: Path) -> str:
    return "".join(path.read_bytes().decode(errors="replace") for path in folder.iterdir())


async def test_entries_are_read_in_pages(ledger: AnyLedger):
    """A list of all calls needs no more memory than some of them."""
    await ledger.claim(claim_of("a", "token"))
    await ledger.settle("a", 1, evolve(outcome_of("token"), raw=bytes(40_000_000 // ENTRIES)))
    await ledger._run(copy_entry)
    before = highest = resident()
    count = 0
    async for _ in ledger.entries():
        count += 1
        if not count % 100:
            highest = max(highest, resident())

    assert ENTRIES == count
    assert highest - before < 30_000_000
    sys.stdout.write(f"{count} entries: +{(highest - before) / 1e6:.1f} MB\n")


def copy_entry() -> Transaction[None]:
    """Copy the only entry under other keys."""
    columns = COLUMNS.replace("key, ", "", 1)
    yield (
        f"WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ENTRIES})"
        f" INSERT INTO call ({COLUMNS}) SELECT 'b' || n, {columns} FROM call, numbers",
        (),
    )


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
