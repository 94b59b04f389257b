"""Redis stopped, restarted, frozen and flushed: calls continue, and nothing is billed twice."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import pytest
from support.callers import Calls, FixedRandom, numbers
from support.leaks import other_tasks
from support.redisserver import RedisServer

from ideogram_async import Ideogram
from ideogram_async.integrations.redis import RedisLimiter
from ideogram_async.sandbox import Sandbox

UNAVAILABLE = r"Redis is unavailable \({}.+\); until it is back, this process uses at most 1 of 10 slots"
AVAILABLE = "Redis is available again; the limit is shared again"


class Log(logging.Handler):
    """A handler that keeps the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def log() -> Generator[Log]:
    logger, log = logging.getLogger("ideogram_async"), Log()
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    yield log
    logger.removeHandler(log)
    logger.setLevel(logging.NOTSET)


async def wait_until(limiter: RedisLimiter, **wanted: float) -> None:
    """Wait until the limiter's statistics have these values."""
    async with asyncio.timeout(30):
        while any(getattr(limiter.statistics(), name) != value for name, value in wanted.items()):
            await asyncio.sleep(0.001)


@asynccontextmanager
async def two_clients(redis: RedisServer) -> AsyncGenerator[tuple[Sandbox, list[asyncio.Future[object]]]]:
    """Run 60 calls of two clients, each with its own limiter; the sandbox holds them until the block ends."""
    async with Sandbox() as sandbox:
        limiters = [RedisLimiter(redis.url), RedisLimiter(redis.url)]
        clients = [Ideogram("sandbox", base_url=sandbox.url, limiter=limiter) for limiter in limiters]
        for limiter in limiters:
            limiter._rng = FixedRandom(0.001)

        sandbox.hold()
        calls: list[asyncio.Future[object]] = [
            asyncio.ensure_future(clients[n % 2].generate(f"fox {n}", num_images=1 + n % 3)) for n in range(60)
        ]
        await sandbox.wait_for_requests(4)
        yield sandbox, calls
        sandbox.release()
        await asyncio.gather(*calls)
        for client in clients:
            await client.aclose()

        assert (60, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)
        assert [(0, 0)] * 2 == [numbers(limiter)[1:3] for limiter in limiters]


async def test_unavailable_from_the_start(redis: RedisServer, log: Log):
    """Without Redis a process uses one slot, because it does not know the others, and logs it once."""
    redis.stop()
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one")
    await calls.ask("heavy", 8)
    await wait_until(limiter, in_flight=1, waiting=1)

    assert (1.0, 1, 1, 0) == numbers(limiter)

    await calls.end("one")

    assert ["one", "heavy"] == calls.started

    await calls.end("heavy")
    async with asyncio.timeout(30):
        while other_tasks():
            await asyncio.sleep(0.001)

    assert 1 == len(log.messages)
    assert re.fullmatch(UNAVAILABLE.format("ConnectionError: Error "), log.messages[0])


async def test_available_again(redis: RedisServer, log: Log):
    """After the outage, calls in flight are recorded again, and the whole limit is available."""
    redis.stop()
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one", 3)
    await calls.ask("two", 3)
    await wait_until(limiter, in_flight=3, waiting=1)
    redis.start()
    await wait_until(limiter, in_flight=6, waiting=0)

    assert 6 == redis.snapshot().in_flight
    assert ["Redis is unavailable", AVAILABLE] == [message.partition(" (")[0] for message in log.messages]

    await calls.end("one", "two")
    await redis.until(lambda snapshot: not snapshot.holding)


async def test_a_share_for_each(redis: RedisServer):
    """While Redis is unavailable, each process is limited to its share, including what is in flight."""
    ours, theirs = (Calls(RedisLimiter(redis.url)) for _ in range(2))
    await ours.ask("six", 6)
    await theirs.ask("one", 1)
    await redis.until(lambda snapshot: snapshot.in_flight == 7)
    async with asyncio.timeout(30):
        while {5} != {crowd.limiter._slots()._share for crowd in (ours, theirs)}:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)

    redis.stop()
    for number in range(7):
        await theirs.ask(f"more-{number}")

    await wait_until(theirs.limiter, limit=5.0)

    assert (5.0, 5, 3, 0) == numbers(theirs.limiter)

    await ours.ask("more")
    await wait_until(ours.limiter, limit=5.0)

    assert (5.0, 6, 1, 0) == numbers(ours.limiter)

    for crowd in (ours, theirs):
        crowd.cancel_all()


async def test_429_while_unavailable(redis: RedisServer):
    """Without Redis each process learns from its own 429s."""
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("a", 4)
    await calls.ask("b", 4)
    await redis.until(lambda snapshot: snapshot.in_flight == 8)
    redis.stop()
    await calls.ask("c", 4)
    await wait_until(limiter, limit=10.0, waiting=1)
    await calls.reject("a", limit=2)

    assert 2.0 == limiter.statistics().limit

    calls.cancel_all()


@pytest.mark.parametrize("fate", ["stopped", "stopped and started", "frozen", "frozen and thawed", "flushed"])
async def test_calls_continue(redis: RedisServer, fate: str):
    """In every kind of outage all images are made, and none is billed twice."""
    async with two_clients(redis):
        match fate.split():
            case ["stopped", *more]:
                redis.stop()
                if more:
                    redis.start()
            case ["frozen", *more]:
                redis.freeze()
                if more:
                    redis.thaw()
            case _:
                redis.flush()


async def test_frozen_redis_delays_no_release(redis: RedisServer):
    """A call releases its slots without waiting for Redis."""
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one")
    await redis.until(lambda snapshot: snapshot.in_flight == 1)
    await wait_until(limiter, in_flight=1)
    redis.freeze()
    await calls.end("one")

    assert (10.0, 0, 0, 0) == numbers(limiter)


async def test_a_suspended_process_is_counted_again(redis: RedisServer):
    """A process that was silent for longer than its lease is counted again at its next sync."""
    calls = Calls(limiter := RedisLimiter(redis.url, lease=0.3))
    await calls.ask("six", 6)
    await redis.until(lambda snapshot: snapshot.in_flight == 6)
    # Its lease expires in Redis, where time passes while this event loop is blocked.
    while redis.snapshot().holding:
        pass

    await redis.until(lambda snapshot: snapshot.in_flight == 6)

    assert 6 == limiter.statistics().in_flight

    await calls.end("six")
    await redis.until(lambda snapshot: not snapshot.holding)


async def test_a_failing_script(redis: RedisServer, log: Log):
    """A Redis that returns an error, such as a wrong type in a key, counts as unavailable."""
    redis.run("redis.call('SET', KEYS[1], 'nonsense')", ["ideogram:{default}:slots"], [])
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one")
    await wait_until(limiter, in_flight=1)

    assert 1 == len(log.messages)
    assert re.fullmatch(UNAVAILABLE.format("ResponseError: WRONGTYPE"), log.messages[0])

    await calls.end("one")


async def test_a_wrong_password_is_logged_without_it(redis: RedisServer, log: Log):
    """A Redis that refuses the password counts as unavailable; the log has the reason, not the password."""
    redis.require_password("another")
    calls = Calls(limiter := RedisLimiter(redis.url.replace("unix://", "unix://:canary@")))
    await calls.ask("one")
    await wait_until(limiter, in_flight=1)

    assert 1 == len(log.messages)
    assert re.fullmatch(UNAVAILABLE.format(".*password"), log.messages[0])
    assert "canary" not in log.messages[0]

    await calls.end("one")
