"""Processes that share a ledger, are killed, and stand still: no key is paid twice, and no answer is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal

import pytest
from support.keyed import buying
from support.ledgers import AnyLedger, Store
from support.postgres import new_schema
from support.sandbox_process import SandboxProcess

from ideogram_async import Generate, Ideogram, InDoubtError, v2
from ideogram_async.ledger import CallState
from ideogram_async.sandbox import Sandbox

pytestmark = pytest.mark.programs

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "5"))
KILLS_OF_A_RUN = 5
"""More would find all calls answered or in doubt."""
LIMIT = 10
PRICE = Decimal("0.06")


@pytest.fixture(scope="module")
def service() -> Iterator[SandboxProcess]:
    """A sandbox that outlives the processes that buy."""
    with SandboxProcess(latency=[0.02, 0.1]) as service:
        yield service


def buy_in_processes(url: str, store: Store, keys: list[list[str]], **settings: object) -> list[str]:
    """Buy the keys of each process at once with those of the others, and return what came of them."""
    with ExitStack() as stack:
        pipes = [stack.enter_context(buying(url, store, part, **settings))[1] for part in keys]
        messages = [(pipe.recv(), pipe.recv()) for pipe in pipes]

    return [result for _, results in messages for result in results]


async def test_two_hundred_callers_of_a_key(service: SandboxProcess, store: Store):
    """Eight processes with 25 callers each send one call, and all have its answer."""
    service.reset()
    results = buy_in_processes(service.url, store, [["fox"] * 25] * 8)

    assert (200, 1, 1) == (len(results), len(set(results)), service.ledger()["calls"])
    assert results[0].startswith("http")


async def test_a_budget_holds_over_processes(service: SandboxProcess, store: Store, ledger: AnyLedger):
    """Four processes pay for ten calls, not one more or less, and refused calls cost nothing."""
    service.reset()
    names = [[f"{process}-{number}" for number in range(10)] for process in range(4)]
    mixed = [[*keys, *(f"unsafe-{key}" for key in keys[:5])] for keys in names]
    results = Counter(map(kind_of, buy_in_processes(service.url, store, mixed, max_cost_usd=10 * PRICE)))

    assert 60 == results["answer"] + results["BudgetError"] + results["SafetyError"]
    assert results["answer"] == service.ledger()["calls"] <= 10

    # While a call runs that is refused at last, its money is not free for another.
    results = Counter(map(kind_of, buy_in_processes(service.url, store, names, max_cost_usd=10 * PRICE)))

    assert {"answer": 10, "BudgetError": 30} == results
    assert (10, 10 * PRICE) == (service.ledger()["calls"], (await ledger.totals()).spent_usd)


def kind_of(result: str) -> str:
    return "answer" if result.startswith("http") else result


@pytest.mark.parametrize("is_bought_again", [False, True])
async def test_an_owner_that_stands_still(
    sandbox: Sandbox, store: Store, other: Ideogram, ledger: AnyLedger, is_bought_again: bool
):
    """Other callers get a doubt, which ends when it resumes. What the user bought meanwhile is kept, too."""
    sandbox.hold()
    with buying(sandbox.url, store, ["fox"], lease=ledger.lease) as (process, pipe):
        await sandbox.wait_for_requests(1)
        os.kill(process.pid, signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(InDoubtError, match="its owner is silent"):
            await other.once("fox", Generate("picture fox"))

        elapsed = (loop.time() - began) / ledger.lease
        assert 1 == len(sandbox.requests)

        if is_bought_again:
            await ledger.resolve("fox", "retry")
            second = asyncio.create_task(other.once("fox", Generate("picture fox")))
            await sandbox.wait_for_requests(2)

        sandbox.release()
        os.kill(process.pid, signal.SIGCONT)
        _, [link] = [await asyncio.to_thread(pipe.recv) for _ in range(2)]
        if is_bought_again:
            await second

    [image] = await other.once("fox", Generate("picture fox"))
    kept = [await ledger.get("fox"), *await ledger.strays("fox")]

    assert (1 + is_bought_again, 1 + is_bought_again) == (len(sandbox.ledger.entries), len(kept))
    assert any(link.encode() in reply.raw for reply in kept)
    assert is_bought_again or image.url == link
    sys.stdout.write(f"in doubt after {elapsed:.2f} leases\n")


async def test_a_killed_owner_of_an_accepted_call(sandbox: Sandbox, store: Store, other: Ideogram, ledger: AnyLedger):
    """Nothing is in doubt: another process gets the answer, without waiting for the lease."""
    sandbox.hold()
    with buying(sandbox.url, store, ["v2-fox"], lease=60.0) as (process, _):
        # The acceptance is on record before the first poll.
        await sandbox.wait_for_requests(2)
        process.kill()
        await asyncio.to_thread(process.join)

    entry = await ledger.get("v2-fox")
    sandbox.release()
    answer = await other.once("v2-fox", v2.Generate46("picture v2-fox"))

    assert entry is not None
    assert (CallState.ACCEPTED, answer.generation_id) == (entry.state, entry.generation_id)
    assert (1, True) == (len(sandbox.ledger.entries), answer.meta.replayed)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_random_kills(service: SandboxProcess, store: Store, version: str):
    """Nothing is paid twice, a kill leaves at most the images in flight in doubt, and queued calls leave no trace.

    A call that was accepted is never in doubt: the next process gets its answer.
    """
    rng = random.Random(5)
    keys = [f"{version}-{number}" for number in range(60)]
    resumed = 0
    killed = runs = doubts = highest = 0
    while killed < KILLS:
        runs += 1
        service.reset()
        place = Store(store.location, new_schema()) if store.schema else Store(f"{store.location}-{runs}")
        accepted: dict[str, str | None] = {}
        in_doubt, kills, is_over = 0, 0, False
        async with place(lease=0.2) as ledger:
            while killed < KILLS and kills < KILLS_OF_A_RUN and not is_over:
                is_over = kill_at_random(service, place, keys, rng)
                kills += not is_over
                killed += not is_over
                billed = service.ledger()
                calls = (await ledger.totals()).calls
                unknown = calls[CallState.SENDING] + calls[CallState.AMBIGUOUS]
                highest = max(highest, unknown - in_doubt)

                assert (0, True) == (billed["duplicates"], billed["calls"] <= sum(calls.values()))
                assert unknown - in_doubt <= LIMIT
                assert 0 == calls[CallState.PENDING]
                in_doubt = unknown
                accepted |= {entry.key: entry.generation_id async for entry in ledger.entries(CallState.ACCEPTED)}

            if not is_over:
                buy_in_processes(service.url, place, [keys], lease=0.2)

            calls, billed = (await ledger.totals()).calls, service.ledger()
            answered = {entry.key: entry.generation_id async for entry in ledger.entries(CallState.ANSWERED)}

        in_doubt = calls[CallState.SENDING] + calls[CallState.AMBIGUOUS]
        doubts, resumed = doubts + in_doubt, resumed + len(accepted)

        assert accepted.items() <= answered.items()
        assert len(keys) == calls[CallState.ANSWERED] + in_doubt
        assert (0, True) == (billed["duplicates"], calls[CallState.ANSWERED] <= billed["calls"] <= len(keys))

    sys.stdout.write(
        f"{killed} kills in {runs} runs of 60 ({version}): {doubts} in doubt, at most {highest} by a kill,"
        f" {resumed} accepted and answered later, 0 paid twice\n"
    )


def kill_at_random(service: SandboxProcess, store: Store, keys: list[str], rng: random.Random) -> bool:
    """Kill a process at a random moment. Return whether it had ended before."""
    with buying(service.url, store, keys, lease=0.2) as (process, pipe):
        pipe.recv()
        if pipe.poll(rng.uniform(0, 0.3)):
            return bool(pipe.recv())

        process.kill()
        process.join()

        assert -signal.SIGKILL == process.exitcode
        return False
