"""Decisions of the script in Redis: grants, the effects of a 429, and expired processes."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.callers import FixedRandom
from support.leaks import other_tasks
from support.redisserver import RedisServer

import ideogram_async.integrations.redis as package
from ideogram_async._limiter.congestion import Congestion
from ideogram_async._limiter.slots import Waiter, WaitQueue
from ideogram_async.integrations.redis.store import RULES, Member, SlotStore

SCRIPT = Path(package.__file__).with_name("slots.lua").read_text()
HOUR = 3_600_000


class Process:
    """A process whose updates a test writes."""

    def __init__(self, redis: RedisServer, name: str, *, configured: int = 10, lease: int = HOUR) -> None:
        self.redis = redis
        self.name = name
        self.configured = configured
        self.lease = lease
        self.calls: dict[int, int] = {}
        self.holding: list[int] = []
        self.reply: dict[str, Any] = {}

    def sync(self, *outcomes: dict[str, Any]) -> list[int]:
        """Send an update and return the numbers of the calls that hold slots."""
        facts = {
            **RULES,
            "lease": self.lease,
            "configured": self.configured,
            "holding": [[n, self.calls[n]] for n in self.holding],
            "waiting": [[n, weight] for n, weight in self.calls.items() if n not in self.holding],
            "outcomes": outcomes,
        }
        keys = ["ideogram:{default}:slots", "ideogram:{default}:congestion"]
        reply = self.redis.run(SCRIPT, keys, [self.name, "wake:", json.dumps(facts)])
        self.reply = json.loads(reply)
        self.holding = [number for number, _, _ in self.reply["holding"]]
        return self.holding

    def sync_until_granted(self) -> None:
        """Sync until a call holds slots, for at most half a minute."""
        ends_at = self.redis.time() + 30
        while not self.sync():
            assert self.redis.time() < ends_at

    def ask(self, number: int, weight: int = 1) -> list[int]:
        self.calls[number] = weight
        return self.sync()

    def end(self, number: int, *outcomes: dict[str, Any]) -> list[int]:
        del self.calls[number]
        self.holding = [n for n in self.holding if n != number]
        return self.sync(*outcomes)

    def rejected(self, number: int = 0, *, epoch: int = 0, pause: float = 0.0, **facts: float) -> dict[str, Any]:
        return {"number": number, "epoch": epoch, "retry_after": 0, "pause": pause, **facts}

    @property
    def limit(self) -> float:
        return float(self.reply["limit"])


def accepted(weight: int = 1, *, epoch: int = 0) -> dict[str, Any]:
    return {"epoch": epoch, "weight": weight}


@pytest.fixture
def ours(redis: RedisServer) -> Process:
    return Process(redis, "ours")


@pytest.fixture
def theirs(redis: RedisServer) -> Process:
    return Process(redis, "theirs")


# ---- slots


def test_all_processes_share_the_slots(ours: Process, theirs: Process):
    """A call waits while other processes hold the slots, and is granted them when they are released."""
    assert [1] == ours.ask(1, 6)
    assert [] == theirs.ask(1, 5)
    assert [] == ours.end(1)
    assert [1] == theirs.sync()


def test_a_grant_by_another_process_holds(ours: Process, theirs: Process):
    """A grant by another process holds until its own process syncs."""
    ours.ask(1, 10)
    theirs.ask(1, 10)
    ours.end(1)

    assert [] == ours.ask(2, 1)
    assert [1] == theirs.sync()


def test_calls_missing_from_an_update_are_released(ours: Process, theirs: Process):
    """A call that is granted, but cancelled before its process syncs, releases its slots."""
    ours.ask(1, 10)
    theirs.ask(1, 10)
    ours.end(1)
    theirs.end(1)

    assert [2] == ours.ask(2, 10)


def test_a_repeated_update_changes_nothing(ours: Process, theirs: Process):
    """The same update again, after a lost reply, holds the same slots."""
    ours.ask(1, 4)

    assert [1] == ours.sync()
    assert [1] == theirs.ask(1, 6)
    assert [] == theirs.end(1)


def test_no_keys_without_calls(redis: RedisServer, ours: Process, theirs: Process):
    """Redis has no keys while no call holds or waits for slots."""
    ours.ask(1, 6)
    theirs.ask(1, 6)
    ours.end(1)
    theirs.end(1)

    assert [] == redis.keys


def test_a_flushed_redis_is_restored(redis: RedisServer, ours: Process, theirs: Process):
    """After a flush, a process keeps what it holds, and others wait for it."""
    ours.ask(1, 6)
    redis.flush()

    assert [1] == ours.sync()
    assert [] == theirs.ask(1, 5)


def test_expired_processes_hold_nothing(redis: RedisServer, ours: Process):
    """A process that does not sync before its lease expires loses its slots and its place in the queue."""
    expired = Process(redis, "expired", lease=1)
    expired.ask(1, 10)
    expired.ask(2, 10)
    ours.calls[1] = 1
    ours.sync_until_granted()

    assert {"ours": [1]} == redis.snapshot().holding
    assert {"ours": []} == redis.snapshot().waiting


def test_the_keys_expire(redis: RedisServer):
    """Keys of ended processes expire by themselves."""
    Process(redis, "expired", lease=1).ask(1, 10)
    while redis.keys:
        pass

    assert [] == redis.keys


# ---- order


def test_first_come_first_served(ours: Process, theirs: Process):
    """Equal calls are granted in order of arrival, over all processes."""
    ours.ask(1, 10)
    theirs.ask(1, 10)
    ours.ask(2, 10)
    ours.end(1)

    assert [1] == theirs.sync()
    assert [] == ours.sync()


def test_the_largest_that_fits_goes_next(ours: Process, theirs: Process):
    """Among the queued calls, the largest that fits goes next."""
    ours.ask(1, 8)
    theirs.ask(1, 3)
    theirs.ask(2, 1)

    assert [2] == theirs.holding
    assert [] == ours.end(1)
    assert [2, 1] == theirs.sync()


def test_skips_are_bounded(ours: Process, theirs: Process):
    """After 16 skips only the first queued call can go next."""
    ours.ask(1, 1)
    theirs.ask(1, 10)
    for number in range(2, 18):
        ours.ask(number, 1)
        ours.end(number)
    ours.ask(18, 1)

    assert [1] == ours.holding

    ours.end(1)

    assert [1] == theirs.sync()


@pytest.mark.parametrize("seed", range(20))
def test_it_decides_like_the_limiter_in_memory(redis: RedisServer, seed: int):
    """For any sequence of calls and outcomes, both limiters grant the same calls and learn the same limit."""
    rng = random.Random(seed)
    queue, congestion = WaitQueue(), Congestion(10, FixedRandom(0.0))
    numbers, held = dict[Waiter, int](), dict[int, Waiter]()
    processes = [Process(redis, name) for name in "abc"]
    for number in range(1, 150):
        process = rng.choice(processes)
        mine = [n for n in held if n % 3 == processes.index(process)]
        outcomes: list[dict[str, Any]] = []
        if mine and rng.random() < 0.6:
            waiter = held.pop(ended := rng.choice(mine))
            others = sum(other.weight for other in held.values())
            if rng.random() < 0.8:
                congestion.accept(0.0, epoch=waiter.epoch, weight=waiter.weight)
                outcomes.append(accepted(waiter.weight, epoch=waiter.epoch))
            else:
                server_limit = rng.choice([None, 4, 20])
                congestion.reject(0.0, epoch=waiter.epoch, others=others, max_in_flight=server_limit, retry_after=None)
                facts = {} if server_limit is None else {"server_limit": server_limit}
                outcomes.append(process.rejected(epoch=waiter.epoch, **facts))

            del process.calls[ended]
            process.holding = [n for n in process.holding if n != ended]
        else:
            new = 3 * number + processes.index(process)
            process.calls[new] = rng.randint(1, 8)
            # Times in Redis are whole milliseconds: within one, the number decides.
            numbers[waiter := Waiter(process.calls[new])] = new
            queue.push(waiter)

        process.sync(*outcomes)
        while waiter := queue.pop_next(_room(congestion, held)):
            waiter.epoch = congestion.epoch
            held[numbers[waiter]] = waiter

        assert round(congestion.limit, 9) == round(process.limit, 9)
        assert sorted(held) == sorted(n for one in processes for n in one.sync())


def _room(congestion: Congestion, held: dict[int, Waiter]) -> int:
    in_flight = sum(waiter.weight for waiter in held.values())
    return int(congestion.limit) - in_flight if held else congestion.configured


# ---- different limits


def test_the_smallest_limit_applies(redis: RedisServer, ours: Process):
    """While processes with different limits have calls, the smallest one applies to all."""
    small = Process(redis, "small", configured=4)
    ours.ask(1, 1)
    small.ask(1, 1)

    assert [1] == ours.ask(2, 3)
    assert (4.0, 4.0, 4) == (ours.limit, small.limit, ours.reply["smallest"])

    small.end(1)

    assert [1, 2] == ours.sync()
    assert (10.0, 10) == (ours.limit, ours.reply["smallest"])


def test_a_limit_ends_with_the_lease(redis: RedisServer, ours: Process):
    """The limit of a process that died ends with its lease, also if it was part of a back-off."""
    small = Process(redis, "small", configured=2, lease=1)
    small.ask(1, 2)
    small.sync(small.rejected(pause=1.0, server_limit=20))
    ours.calls[1] = 1
    ours.sync_until_granted()
    ours.end(1, *[accepted(10, epoch=1)] * 10)

    assert (10.0, 10, 10) == (ours.limit, ours.reply["ceiling"], ours.reply["smallest"])


# ---- 429


def test_a_429_cuts_the_limit_of_all(ours: Process, theirs: Process):
    """The limit becomes what else was in flight, for every process; one cut per epoch."""
    ours.ask(1, 3)
    theirs.ask(1, 2)
    ours.ask(2, 4)
    theirs.end(1, theirs.rejected(1))
    ours.end(2, ours.rejected(2))

    assert (7.0, 7.0) == (theirs.limit, ours.limit)


def test_the_refused_call_does_not_count(ours: Process, theirs: Process):
    """The refused call itself is not counted, whether it has released its slots or not."""
    theirs.ask(1, 5)
    ours.ask(1, 3)
    ours.sync(ours.rejected(1))

    assert 5.0 == ours.limit


def test_the_reported_limit_is_the_ceiling(ours: Process):
    """No success raises the limit above what the service has reported."""
    ours.ask(1, 9)
    ours.end(1, ours.rejected(1, server_limit=4))
    for number in range(2, 40):
        ours.ask(number)
        ours.end(number, accepted(epoch=1))

    assert 4.0 == ours.limit


def test_a_gate_delays_all_processes(ours: Process, theirs: Process):
    """After a 429 no slots are granted until the pause is over; Retry-After is a floor."""
    ours.ask(1)
    ours.end(1, ours.rejected(1, pause=1000.0, retry_after=200_000))

    assert [] == theirs.ask(1)
    assert 190_000 < theirs.reply["closed_for"] <= 200_000


@pytest.mark.parametrize(("gates", "seconds"), [(0, 2), (1, 4), (3, 16), (5, 30), (2000, 30)])
def test_pauses_grow_with_each_gate(ours: Process, gates: int, seconds: int):
    """Each gate without an accepted call is twice as long as the last, up to half a minute."""
    ours.sync(*(ours.rejected(epoch=epoch) for epoch in range(gates)))
    ours.sync(ours.rejected(epoch=gates, pause=2000.0))

    assert seconds == round(ours.reply["closed_for"] / 1000)


def test_one_probe(ours: Process, theirs: Process):
    """One call is sent when the gate opens; those of all processes follow when it is accepted."""
    ours.sync(ours.rejected(pause=1.0))
    ours.calls[1] = 1
    ours.sync_until_granted()

    assert [] == theirs.ask(1)

    ours.sync(accepted(epoch=1))

    assert [1] == theirs.sync()


def test_a_probe_without_a_response_is_replaced(ours: Process, theirs: Process):
    """A probe that ends without a response, for example cancelled, is followed by another."""
    ours.sync(ours.rejected(pause=1.0))
    ours.calls[1] = 1
    ours.sync_until_granted()

    theirs.ask(1)
    ours.end(1)

    assert [1] == theirs.sync()
    assert [] == ours.ask(2)


def test_a_probe_that_is_not_refused_counts_as_accepted(ours: Process, theirs: Process):
    """A probe counts as accepted after two seconds without a refusal."""
    ours.ask(8, 5)
    ours.sync(ours.rejected(pause=1.0))
    ours.end(8)
    ours.calls[1] = theirs.calls[1] = 1
    # Times in Redis are whole milliseconds.
    began_at = int(1000 * ours.redis.time())
    ours.sync_until_granted()
    theirs.sync_until_granted()

    assert 2000 <= int(1000 * theirs.redis.time()) - began_at


def test_more_than_the_learned_limit_is_sent_alone(ours: Process, theirs: Process):
    """A call above the current limit waits until nothing is in flight, and is then sent."""
    ours.ask(1, 1)
    ours.sync(ours.rejected(server_limit=2))

    assert [] == theirs.ask(1, 8)

    ours.end(1)

    assert [1] == theirs.sync()
    assert [] == ours.ask(2, 1)


def test_the_congestion_state_expires(redis: RedisServer, ours: Process):
    """The state is kept for ten minutes after the last 429; successes do not extend it."""
    ours.sync(ours.rejected(server_limit=4))
    redis.age(60_000)
    ours.sync(accepted(epoch=1))

    assert 500_000 < redis.expires_in("ideogram:{default}:congestion") <= 540_000


# ---- subscription


class LosesCancellation:
    """A client of Redis that loses a cancellation, because a message arrives at the same moment."""

    def __init__(self) -> None:
        self.is_listening = asyncio.Event()

    def register_script(self, script: str) -> None:
        """Ignore the script."""

    def pubsub(self) -> LosesCancellation:
        return self

    async def __aenter__(self) -> LosesCancellation:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def subscribe(self, channel: str) -> None:
        pass

    async def get_message(self, timeout: float) -> dict[str, str]:
        self.is_listening.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

        return {"type": "message"}


async def test_a_lost_cancellation_ends_the_subscription():
    """`close` ends a subscription whose cancellation is lost to a message."""
    redis = LosesCancellation()
    member = Member(redis, SlotStore(redis="redis://localhost", account="a", lease=1.0), "me", lambda: None)  # type: ignore[arg-type]
    member.subscribe()
    await redis.is_listening.wait()
    async with asyncio.timeout(30):
        await member.close()

    assert 0 == len(other_tasks())
