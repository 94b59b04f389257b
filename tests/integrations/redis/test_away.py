"""Redis away, back, frozen and emptied: work goes on, and nothing is paid twice."""

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

AWAY = r"Redis is unavailable \({}.+\); until it is back, this process uses at most 1 of 10 slots"
BACK = "Redis is available again; the limit is shared again"


class Log(logging.Handler):
    """Remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def log() -> Generator[Log]:
    logger, log = logging.getLogger("ideogram_async"), Log()
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    yield log
    logger.removeHandler(log)
    logger.setLevel(logging.NOTSET)


async def when(limiter: RedisLimiter, **wanted: float) -> None:
    """Wait until the limiter's statistics are so."""
    async with asyncio.timeout(30):
        while any(getattr(limiter.statistics(), name) != value for name, value in wanted.items()):
            await asyncio.sleep(0.001)


@asynccontextmanager
async def two_at_work(redis: RedisServer) -> AsyncGenerator[tuple[Sandbox, list[asyncio.Future[object]]]]:
    """Let two clients, each with a limiter of its own, wait for the images of a held box; all are made in the end."""
    async with Sandbox() as box:
        limiters = [RedisLimiter(redis.url), RedisLimiter(redis.url)]
        clients = [Ideogram("sandbox", base_url=box.url, limiter=limiter) for limiter in limiters]
        for limiter in limiters:
            limiter._rng = FixedRandom(0.001)

        box.hold()
        calls: list[asyncio.Future[object]] = [
            asyncio.ensure_future(clients[n % 2].generate(f"fox {n}", num_images=1 + n % 3)) for n in range(60)
        ]
        await box.wait_for_requests(4)
        yield box, calls
        box.release()
        await asyncio.gather(*calls)
        for client in clients:
            await client.aclose()

        assert (60, []) == (len(box.ledger.entries), box.ledger.duplicates)
        assert [(0, 0)] * 2 == [numbers(limiter)[1:3] for limiter in limiters]


async def test_away_from_the_start(redis: RedisServer, log: Log):
    """Without Redis a process that knows of no others takes one place at a time, and says so once."""
    redis.stop()
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one")
    await calls.ask("heavy", 8)
    await when(limiter, in_flight=1, waiting=1)

    assert (1.0, 1, 1, 0) == numbers(limiter)

    await calls.end("one")

    assert ["one", "heavy"] == calls.started

    await calls.end("heavy")
    async with asyncio.timeout(30):
        while other_tasks():
            await asyncio.sleep(0.001)

    assert 1 == len(log.said)
    assert re.fullmatch(AWAY.format("ConnectionError: Error "), log.said[0])


async def test_back_again(redis: RedisServer, log: Log):
    """When Redis is back, what is in flight is written down, and the whole limit is there again."""
    redis.stop()
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one", 3)
    await calls.ask("two", 3)
    await when(limiter, in_flight=3, waiting=1)
    redis.start()
    await when(limiter, in_flight=6, waiting=0)

    assert 6 == redis.snapshot().in_flight
    assert ["Redis is unavailable", BACK] == [words.partition(" (")[0] for words in log.said]

    await calls.end("one", "two")
    await redis.until(lambda snapshot: not snapshot.holding)


async def test_a_share_for_each(redis: RedisServer):
    """When Redis goes away, each process keeps to its part of the limit; what it has in flight counts."""
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

    await when(theirs.limiter, limit=5.0)

    assert (5.0, 5, 3, 0) == numbers(theirs.limiter)

    await ours.ask("more")
    await when(ours.limiter, limit=5.0)

    assert (5.0, 6, 1, 0) == numbers(ours.limiter)

    for crowd in (ours, theirs):
        crowd.cancel_all()


async def test_a_429_while_it_is_away(redis: RedisServer):
    """Without Redis each process learns from its own 429s."""
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("a", 4)
    await calls.ask("b", 4)
    await redis.until(lambda snapshot: snapshot.in_flight == 8)
    redis.stop()
    await calls.ask("c", 4)
    await when(limiter, limit=10.0, waiting=1)
    await calls.reject("a", limit=2)

    assert 2.0 == limiter.statistics().limit

    calls.cancel_all()


@pytest.mark.parametrize("fate", ["stopped", "stopped and started", "frozen", "frozen and thawed", "flushed"])
async def test_work_goes_on(redis: RedisServer, fate: str):
    """Whatever happens to Redis in the middle of a run, all images are made, and none is paid for twice."""
    async with two_at_work(redis):
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


async def test_frozen_redis_delays_no_answer(redis: RedisServer):
    """A call gives its places back without waiting for Redis."""
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one")
    await redis.until(lambda snapshot: snapshot.in_flight == 1)
    await when(limiter, in_flight=1)
    redis.freeze()
    await calls.end("one")

    assert (10.0, 0, 0, 0) == numbers(limiter)


async def test_a_frozen_process_gets_its_places_back(redis: RedisServer):
    """A process that was silent for longer than its lease is counted again as soon as it speaks."""
    calls = Calls(limiter := RedisLimiter(redis.url, lease=0.3))
    await calls.ask("six", 6)
    await redis.until(lambda snapshot: snapshot.in_flight == 6)
    # Its lease is over in Redis, where time goes on while this event loop stands still.
    while redis.snapshot().holding:
        pass

    await redis.until(lambda snapshot: snapshot.in_flight == 6)

    assert 6 == limiter.statistics().in_flight

    await calls.end("six")
    await redis.until(lambda snapshot: not snapshot.holding)


async def test_a_script_that_fails_is_as_good_as_no_redis(redis: RedisServer, log: Log):
    """A Redis that answers with an error, a wrong type in a key say, is away as well."""
    redis.run("redis.call('SET', KEYS[1], 'nonsense')", ["ideogram:{default}:slots"], [])
    calls = Calls(limiter := RedisLimiter(redis.url))
    await calls.ask("one")
    await when(limiter, in_flight=1)

    assert 1 == len(log.said)
    assert re.fullmatch(AWAY.format("ResponseError: WRONGTYPE"), log.said[0])

    await calls.end("one")


async def test_a_wrong_password_is_told_and_not_shown(redis: RedisServer, log: Log):
    """A Redis that lets nobody in is away; the log says why, and has no password in it."""
    redis.close_with("another")
    calls = Calls(limiter := RedisLimiter(redis.url.replace("unix://", "unix://:canary@")))
    await calls.ask("one")
    await when(limiter, in_flight=1)

    assert 1 == len(log.said)
    assert re.fullmatch(AWAY.format(".*password"), log.said[0])
    assert "canary" not in log.said[0]

    await calls.end("one")
