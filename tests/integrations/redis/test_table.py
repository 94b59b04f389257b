"""What the script in Redis decides: who is next, what a 429 changes, and what becomes of the dead."""

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
    """Says to the table what a test wants it to say."""

    def __init__(self, redis: RedisServer, name: str, *, configured: int = 10, lease: int = HOUR) -> None:
        self.redis = redis
        self.name = name
        self.configured = configured
        self.lease = lease
        self.calls: dict[int, int] = {}
        self.holding: list[int] = []
        self.reply: dict[str, Any] = {}

    def say(self, *outcomes: dict[str, Any]) -> list[int]:
        """Say what there is, and return the numbers of the calls that hold places."""
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

    def insist(self) -> None:
        """Say it again and again until a call holds places; it has half a minute."""
        ends_at = self.redis.time() + 30
        while not self.say():
            assert self.redis.time() < ends_at

    def ask(self, number: int, weight: int = 1) -> list[int]:
        self.calls[number] = weight
        return self.say()

    def end(self, number: int, *outcomes: dict[str, Any]) -> list[int]:
        del self.calls[number]
        self.holding = [n for n in self.holding if n != number]
        return self.say(*outcomes)

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


# ---- places


def test_all_processes_share_the_places(ours: Process, theirs: Process):
    """A call waits while others hold the places, whosever they are, and is let in by whoever leaves."""
    assert [1] == ours.ask(1, 6)
    assert [] == theirs.ask(1, 5)
    assert [] == ours.end(1)
    assert [1] == theirs.say()


def test_what_was_granted_meanwhile_stays_granted(ours: Process, theirs: Process):
    """A call that was let in by another process holds its places, whenever its own hears of it."""
    ours.ask(1, 10)
    theirs.ask(1, 10)
    ours.end(1)

    assert [] == ours.ask(2, 1)
    assert [1] == theirs.say()


def test_what_is_not_named_any_more_is_given_back(ours: Process, theirs: Process):
    """A call that was let in, and has been cancelled before its process heard of it, leaves its places."""
    ours.ask(1, 10)
    theirs.ask(1, 10)
    ours.end(1)
    theirs.end(1)

    assert [2] == ours.ask(2, 10)


def test_saying_it_twice_changes_nothing(ours: Process, theirs: Process):
    """The same words again, a reply having been lost, hold the same places."""
    ours.ask(1, 4)

    assert [1] == ours.say()
    assert [1] == theirs.ask(1, 6)
    assert [] == theirs.end(1)


def test_nothing_is_left_in_the_end(redis: RedisServer, ours: Process, theirs: Process):
    """When nobody holds or wants anything, Redis holds nothing."""
    ours.ask(1, 6)
    theirs.ask(1, 6)
    ours.end(1)
    theirs.end(1)

    assert [] == redis.keys


def test_a_table_that_was_lost_is_known_again(redis: RedisServer, ours: Process, theirs: Process):
    """After a flush, a process that names what it holds keeps it, and others wait for it."""
    ours.ask(1, 6)
    redis.flush()

    assert [1] == ours.say()
    assert [] == theirs.ask(1, 5)


def test_the_dead_hold_nothing(redis: RedisServer, ours: Process):
    """A process that says nothing until its lease is over has neither places nor a place in the line."""
    dead = Process(redis, "dead", lease=1)
    dead.ask(1, 10)
    dead.ask(2, 10)
    ours.calls[1] = 1
    ours.insist()

    assert {"ours": [1]} == redis.snapshot().holding
    assert {"ours": []} == redis.snapshot().waiting


def test_the_keys_die_with_the_last(redis: RedisServer):
    """Where every process is dead, what they left expires by itself."""
    Process(redis, "dead", lease=1).ask(1, 10)
    while redis.keys:
        pass

    assert [] == redis.keys


# ---- order


def test_first_come_first_served(ours: Process, theirs: Process):
    """Equal calls go in the order in which they came, over all processes."""
    ours.ask(1, 10)
    theirs.ask(1, 10)
    ours.ask(2, 10)
    ours.end(1)

    assert [1] == theirs.say()
    assert [] == ours.say()


def test_the_largest_that_fits_goes_next(ours: Process, theirs: Process):
    """Among those that wait, the largest that fits goes next."""
    ours.ask(1, 8)
    theirs.ask(1, 3)
    theirs.ask(2, 1)

    assert [2] == theirs.holding
    assert [] == ours.end(1)
    assert [2, 1] == theirs.say()


def test_passed_often_enough_is_passed_no_more(ours: Process, theirs: Process):
    """A call that was passed 16 times goes next, or nobody does."""
    ours.ask(1, 1)
    theirs.ask(1, 10)
    for number in range(2, 18):
        ours.ask(number, 1)
        ours.end(number)
    ours.ask(18, 1)

    assert [1] == ours.holding

    ours.end(1)

    assert [1] == theirs.say()


@pytest.mark.parametrize("seed", range(20))
def test_it_decides_as_one_process_does(redis: RedisServer, seed: int):
    """Whatever calls come, end, are accepted or refused: who is next and what the limit is, both limiters agree."""
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
            # Moments in Redis are milliseconds: within one, the number decides.
            numbers[waiter := Waiter(process.calls[new])] = new
            queue.push(waiter)

        process.say(*outcomes)
        while waiter := queue.pop_next(_room(congestion, held)):
            waiter.epoch = congestion.epoch
            held[numbers[waiter]] = waiter

        assert round(congestion.limit, 9) == round(process.limit, 9)
        assert sorted(held) == sorted(n for one in processes for n in one.say())


def _room(congestion: Congestion, held: dict[int, Waiter]) -> int:
    in_flight = sum(waiter.weight for waiter in held.values())
    return int(congestion.limit) - in_flight if held else congestion.configured


# ---- 429


def test_a_429_cuts_the_limit_of_all(ours: Process, theirs: Process):
    """The limit becomes what was in flight beside the refused call, for every process; one cut for a wave of them."""
    ours.ask(1, 3)
    theirs.ask(1, 2)
    ours.ask(2, 4)
    theirs.end(1, theirs.rejected(1))
    ours.end(2, ours.rejected(2))

    assert (7.0, 7.0) == (theirs.limit, ours.limit)


def test_the_call_itself_does_not_count_where_it_still_holds(ours: Process, theirs: Process):
    """What was in flight beside a refused call is the same, whether it has left or not."""
    theirs.ask(1, 5)
    ours.ask(1, 3)
    ours.say(ours.rejected(1))

    assert 5.0 == ours.limit


def test_what_the_service_tells_is_the_ceiling(ours: Process):
    """No success raises the limit above what the service has told."""
    ours.ask(1, 9)
    ours.end(1, ours.rejected(1, server_limit=4))
    for number in range(2, 40):
        ours.ask(number)
        ours.end(number, accepted(epoch=1))

    assert 4.0 == ours.limit


def test_a_gate_holds_everybody_back(ours: Process, theirs: Process):
    """After a 429 nobody gets places until the pause is over, and Retry-After is a floor."""
    ours.ask(1)
    ours.end(1, ours.rejected(1, pause=1000.0, retry_after=200_000))

    assert [] == theirs.ask(1)
    assert 190_000 < theirs.reply["closed_for"] <= 200_000


@pytest.mark.parametrize(("in_vain", "seconds"), [(0, 2), (1, 4), (3, 16), (5, 30), (2000, 30)])
def test_pauses_grow_with_each_gate_in_vain(ours: Process, in_vain: int, seconds: int):
    """Each gate after which nothing was accepted is twice as long as the last, up to half a minute."""
    ours.say(*(ours.rejected(epoch=epoch) for epoch in range(in_vain)))
    ours.say(ours.rejected(epoch=in_vain, pause=2000.0))

    assert seconds == round(ours.reply["closed_for"] / 1000)


def test_one_call_tries_first(ours: Process, theirs: Process):
    """When the gate opens one call goes; the rest of all processes follow when it was accepted."""
    ours.say(ours.rejected(pause=1.0))
    ours.calls[1] = 1
    ours.insist()

    assert [] == theirs.ask(1)

    ours.say(accepted(epoch=1))

    assert [1] == theirs.say()


def test_a_probe_that_is_gone_makes_room_for_another(ours: Process, theirs: Process):
    """A probe that ends without an answer, cancelled say, is followed by another."""
    ours.say(ours.rejected(pause=1.0))
    ours.calls[1] = 1
    ours.insist()

    theirs.ask(1)
    ours.end(1)

    assert [1] == theirs.say()
    assert [] == ours.ask(2)


def test_a_probe_that_is_not_refused_is_believed(ours: Process, theirs: Process):
    """A refusal comes at once: a probe that is out for two seconds has been let in."""
    ours.ask(8, 5)
    ours.say(ours.rejected(pause=1.0))
    ours.end(8)
    ours.calls[1] = theirs.calls[1] = 1
    # Moments in the table are whole milliseconds.
    began_at = int(1000 * ours.redis.time())
    ours.insist()
    theirs.insist()

    assert 2000 <= int(1000 * theirs.redis.time()) - began_at


def test_more_than_the_learned_limit_goes_alone(ours: Process, theirs: Process):
    """A call that weighs more than today's limit waits until nothing is in flight, and then goes."""
    ours.ask(1, 1)
    ours.say(ours.rejected(server_limit=2))

    assert [] == theirs.ask(1, 8)

    ours.end(1)

    assert [1] == theirs.say()
    assert [] == ours.ask(2, 1)


def test_a_429_is_forgotten_some_time(redis: RedisServer, ours: Process):
    """What a 429 has taught is kept for ten minutes after the last of them; successes do not prolong it."""
    ours.say(ours.rejected(server_limit=4))
    redis.age(60_000)
    ours.say(accepted(epoch=1))

    assert 500_000 < redis.expires_in("ideogram:{default}:congestion") <= 540_000


# ---- listening


class Deaf:
    """A client of Redis that loses a cancellation, for a message has come in the same moment."""

    def __init__(self) -> None:
        self.is_listening = asyncio.Event()

    def register_script(self, script: str) -> None:
        """There is nothing to run."""

    def pubsub(self) -> Deaf:
        return self

    async def __aenter__(self) -> Deaf:
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


async def test_a_cancellation_that_is_lost_ends_the_listening():
    """Whoever leaves the table need not wait for a listener whose cancellation outcomes a message."""
    redis = Deaf()
    member = Member(redis, SlotStore(redis="redis://localhost", account="a", lease=1.0), "me", lambda: None)  # type: ignore[arg-type]
    member.subscribe()
    await redis.is_listening.wait()
    async with asyncio.timeout(30):
        await member.close()

    assert 0 == len(other_tasks())
