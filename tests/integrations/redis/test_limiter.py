"""Calls of a limiter in Redis: waiting, grants, cancellation and cleanup."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from redis.asyncio import Redis
from support.callers import Calls, FixedRandom, numbers
from support.leaks import other_tasks
from support.paths import ROOT
from support.redisserver import RedisServer

from ideogram_async import Ideogram, InvalidRequestError
from ideogram_async.integrations.redis import RedisLimiter
from ideogram_async.sandbox import Fault, Sandbox


class Crowd(Calls):
    """Calls of one process, with waits for their effect in Redis."""

    def __init__(self, redis: RedisServer, limiter: RedisLimiter) -> None:
        super().__init__(limiter)
        self.redis = redis

    async def ask_and_wait(self, name: str, weight: int = 1) -> None:
        """Start a call and wait until it holds its slots."""
        await self.ask(name, weight)
        await self.wait_for(name)

    async def wait_for(self, name: str) -> None:
        async with asyncio.timeout(30):
            while name not in self.started:
                await asyncio.sleep(0.001)

    async def wait_until_empty(self) -> None:
        """Wait until Redis holds no call and no task is left."""
        await self.redis.until(lambda snapshot: not snapshot.in_flight and not snapshot.queued)
        async with asyncio.timeout(30):
            while other_tasks():
                await asyncio.sleep(0.001)


@pytest.fixture
def ours(redis: RedisServer) -> Crowd:
    return Crowd(redis, RedisLimiter(redis.url))


@pytest.fixture
def theirs(redis: RedisServer) -> Crowd:
    return Crowd(redis, RedisLimiter(redis.url))


# ---- slots


async def test_a_call_waits_for_those_of_others(redis: RedisServer, ours: Crowd, theirs: Crowd):
    """A call waits until another process has released enough slots, and is granted them at once."""
    await ours.ask_and_wait("six", 6)
    await theirs.ask("five", 5)
    snapshot = await redis.until(lambda snapshot: snapshot.queued == 1)

    assert (6, []) == (snapshot.in_flight, theirs.started)
    assert (10.0, 0, 1, 0) == numbers(theirs.limiter)
    assert "<RedisLimiter: 6 of 10 slots in use, 0 waiting>" == repr(ours.limiter)

    await ours.end("six")
    await theirs.wait_for("five")

    assert (10.0, 5, 0, 0) == numbers(theirs.limiter)

    await theirs.end("five")
    await theirs.wait_until_empty()

    assert [] == redis.keys


async def test_different_limits(redis: RedisServer, ours: Crowd, caplog: pytest.LogCaptureFixture):
    """The smallest limit of all processes applies, and the log of the others names both numbers, once."""
    small = Crowd(redis, RedisLimiter(redis.url, max_in_flight=3))
    await small.ask_and_wait("two", 2)
    await ours.ask_and_wait("one", 1)
    await ours.ask("another")
    await redis.until(lambda snapshot: snapshot.queued == 1)

    assert (3.0, 1, 1, 0) == numbers(ours.limiter)

    await small.end("two")
    await ours.wait_for("another")

    assert (10.0, 2, 0, 0) == numbers(ours.limiter)
    assert ["max_in_flight is 10 in this process, but 3 in another one of the account: 3 applies to all"] == [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING"
    ]

    await ours.end("one")
    await ours.end("another")
    await ours.wait_until_empty()


async def test_a_waiting_process_is_woken(
    redis: RedisServer, ours: Crowd, theirs: Crowd, monkeypatch: pytest.MonkeyPatch
):
    """A process receives a message about its grant, and does not need to poll."""
    monkeypatch.setattr("ideogram_async.integrations.redis.limiter.SYNC_INTERVAL", 3600.0)
    await ours.ask_and_wait("all", 10)
    await theirs.ask("one")
    await redis.until(lambda snapshot: snapshot.queued == 1)
    # The waiting process has a second connection for its subscription.
    while redis.connections() < 3:
        await asyncio.sleep(0.001)

    await ours.end("all")
    await theirs.wait_for("one")

    assert ["one"] == theirs.started

    await theirs.end("one")
    await theirs.wait_until_empty()


async def test_a_lost_message(redis: RedisServer, ours: Crowd, theirs: Crowd):
    """Without a message, a waiting process still syncs by itself."""
    theirs.limiter._slots()._store = _WithoutMessages(redis)  # type: ignore[attr-defined]
    await ours.ask_and_wait("all", 10)
    await theirs.ask("one")
    await redis.until(lambda snapshot: snapshot.queued == 1)
    await ours.end("all")
    await theirs.wait_for("one")

    assert ["one"] == theirs.started

    await theirs.end("one")
    await theirs.wait_until_empty()


async def test_weight_0_needs_no_redis(redis: RedisServer):
    """A call without images never waits, and does not use Redis."""
    redis.stop()
    limiter = RedisLimiter(redis.url)
    async with limiter.acquire(0) as lease:
        assert 0.0 == lease.queued
        assert set() == other_tasks()


@pytest.mark.parametrize("weight", [11, -1])
def test_impossible_weights_are_refused_at_once(weight: int):
    """More images than the configured limit is an invalid request, before anything waits."""
    with pytest.raises(InvalidRequestError, match="between 0 and max_in_flight, which is 10"):
        RedisLimiter("redis://localhost").acquire(weight)


async def test_accounts_are_separate(redis: RedisServer, ours: Crowd):
    """Each account has its own slots."""
    other = Crowd(redis, RedisLimiter(redis.url, account="other"))
    await ours.ask_and_wait("all", 10)
    await other.ask_and_wait("all", 10)

    assert 10 == redis.snapshot("other").in_flight

    await ours.end("all")
    await other.end("all")
    await other.wait_until_empty()


# ---- cancellation


async def test_cancelled_in_the_queue(redis: RedisServer, ours: Crowd, theirs: Crowd):
    """A call that is cancelled while it waits leaves the queue."""
    await ours.ask_and_wait("all", 10)
    await theirs.ask("two", 2)
    await redis.until(lambda snapshot: snapshot.queued == 1)
    theirs.cancel("two")
    await redis.until(lambda snapshot: snapshot.queued == 0)

    assert (10.0, 0, 0, 0) == numbers(theirs.limiter)

    await ours.end("all")
    await ours.wait_until_empty()

    assert [] == redis.keys


async def test_cancelled_before_its_grant_is_known(redis: RedisServer, ours: Crowd, theirs: Crowd):
    """Slots that were granted at the moment of a cancellation are released."""
    await ours.ask_and_wait("all", 10)
    await theirs.ask("ten", 10)
    await redis.until(lambda snapshot: snapshot.queued == 1)
    await ours.end("all")
    # Granted in Redis, but not yet synced by its own process, which is this one.
    while not redis.snapshot().in_flight == 10 == sum(map(len, redis.snapshot().waiting.values())) + 10:
        pass

    theirs.cancel("ten")
    await ours.ask_and_wait("next", 10)

    assert [] == theirs.started

    await ours.end("next")
    await ours.wait_until_empty()


async def test_everything_cancelled_at_once(redis: RedisServer):
    """If every task is cancelled, as at the end of a program, nothing is left in Redis."""
    crowd = Crowd(redis, RedisLimiter(redis.url))
    await crowd.ask_and_wait("all", 10)
    await crowd.ask("one")
    await redis.until(lambda snapshot: snapshot.queued == 1)
    tasks = other_tasks()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert ([], set()) == (redis.keys, other_tasks())


async def test_a_cancelled_sync_task_is_replaced(redis: RedisServer, ours: Crowd):
    """If the limiter's own task is cancelled, waiting calls continue, and the next call starts it again."""
    await ours.ask_and_wait("all", 10)
    sync_task = ours.limiter._slots()._sync_task  # type: ignore[attr-defined]
    await ours.ask("waiting")
    sync_task.cancel()
    await asyncio.wait([sync_task])
    await ours.end("all")
    await ours.wait_for("waiting")
    await ours.ask_and_wait("next")

    assert 2 == (await redis.until(lambda snapshot: snapshot.in_flight == 2)).in_flight

    await ours.end("waiting", "next")
    await ours.wait_until_empty()


# ---- 429


async def test_a_429_reaches_all_processes(redis: RedisServer, ours: Crowd, theirs: Crowd):
    """The limit and the gate that follow from a 429 of one process apply to the others."""
    ours.limiter._rng = FixedRandom(3600.0)
    await ours.ask_and_wait("refused", 4)
    await theirs.ask_and_wait("three", 3)
    await ours.reject("refused", limit=5)
    await redis.until(lambda snapshot: snapshot.congestion is not None)
    await theirs.ask("next")
    await redis.until(lambda snapshot: snapshot.queued == 1)
    async with asyncio.timeout(30):
        while theirs.limiter.statistics().limit == 10.0:
            await asyncio.sleep(0.001)

    assert (3.0, 3, 1, 0) == numbers(theirs.limiter)
    assert 1 == ours.limiter.statistics().rejected

    theirs.cancel("next")
    await theirs.end("three")
    await theirs.wait_until_empty()


async def test_the_limit_of_the_service(redis: RedisServer):
    """Against a service that allows 4 images at once, both processes learn it, and all images are made."""
    limiters = [RedisLimiter(redis.url), RedisLimiter(redis.url)]
    for limiter in limiters:
        limiter._rng = FixedRandom(0.001)
    async with Sandbox(max_in_flight=4) as sandbox:
        clients = [Ideogram("sandbox", base_url=sandbox.url, limiter=limiter) for limiter in limiters]
        sandbox.hold()
        calls = [asyncio.ensure_future(clients[n % 2].generate(f"fox {n}", num_images=1 + n % 3)) for n in range(40)]
        await sandbox.wait_for_requests(2)
        sandbox.release()
        await asyncio.gather(*calls)
        for client in clients:
            await client.aclose()

        assert (40, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)
        assert 4.0 >= max(limiter.statistics().limit for limiter in limiters)


async def test_a_free_call_does_not_change_the_limit(redis: RedisServer):
    """A GET that is rejected with 429 changes nothing for the images."""
    limiter = RedisLimiter(redis.url)
    async with Sandbox() as sandbox, Ideogram("sandbox", base_url=sandbox.url, limiter=limiter) as client:
        sandbox.fail("GET /models", fault=Fault.status(429))
        await client.models.list()

    assert [] == redis.keys


# ---- loops


PRELUDE = """
    import asyncio
    from ideogram_async import Ideogram
    from ideogram_async.integrations.redis import RedisLimiter
    from ideogram_async.sandbox import Sandbox
    from ideogram_async.sandbox.thread import running_in_thread

    async def work():
        async with client:
            await asyncio.gather(*(client.generate(f"fox {n}", num_images=4) for n in range(8)))
"""
PROGRAMS = {
    "three loops": """
        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url, limiter=RedisLimiter(URL))
            for _ in range(3):
                asyncio.run(work())
    """,
    "a loop that ends over calls": """
        async def leave():
            tasks.extend(asyncio.create_task(client.generate("fox", num_images=4)) for _ in range(8))
            await sandbox.wait_for_requests(2)

        tasks = []
        with running_in_thread(Sandbox()) as sandbox:
            sandbox.hold()
            client = Ideogram("sandbox", base_url=sandbox.url, limiter=RedisLimiter(URL))
            asyncio.run(leave())
            sandbox.release()
            asyncio.run(work())
    """,
    "no Redis": """
        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url, limiter=RedisLimiter("unix:///nowhere/redis.sock"))
            for _ in range(2):
                asyncio.run(work())
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_event_loops_end_without_warnings(redis: RedisServer, name: str):
    """A program that uses it in its event loops ends without a warning, and leaves nothing in Redis."""
    program = textwrap.dedent(PRELUDE) + f"\nURL = {redis.url!r}\n" + textwrap.dedent(PROGRAMS[name])
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    # On a busy machine asyncio's debug mode reports slow steps.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]

    assert (0, "", []) == (done.returncode, done.stdout, lines)
    assert ([], 0) == (redis.keys, redis.connections())


async def test_a_client_of_the_caller_is_not_closed(redis: RedisServer):
    """A Redis client that was passed in is used, and not closed."""
    async with Redis.from_url(redis.url) as client:
        crowd = Crowd(redis, RedisLimiter(client))
        await crowd.ask_and_wait("one")
        await crowd.end("one")
        await crowd.wait_until_empty()

        assert await client.ping()


# ---- settings


@pytest.mark.parametrize(
    ("redis_url", "settings", "message"),
    [
        ("http://localhost", {}, "scheme"),
        ("redis://localhost", {"account": ""}, "account"),
        ("redis://localhost", {"lease": 0}, "lease must be more than 0 seconds, not 0"),
        ("redis://localhost", {"max_in_flight": 0}, "max_in_flight must be at least 1"),
    ],
)
def test_invalid_settings(redis_url: str, settings: dict[str, Any], message: str):
    """An invalid setting raises an error at construction."""
    with pytest.raises(ValueError, match=message):
        RedisLimiter(redis_url, **settings)


def test_a_password_is_not_shown():
    """Neither the limiter nor its parts show the URL, which may contain a password."""
    limiter = RedisLimiter("redis://user:canary-password@localhost")

    assert "canary" not in repr(limiter) + repr(limiter._store)


class _WithoutMessages:
    """A store whose members never subscribe."""

    lease = 90.0

    def __init__(self, redis: RedisServer) -> None:
        self._store = RedisLimiter(redis.url)._store

    def join(self, *args: Any) -> Any:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def join() -> Any:
            async with self._store.join(*args) as member:
                member.subscribe = lambda: None  # type: ignore[method-assign]
                yield member

        return join()
