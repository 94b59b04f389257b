"""Two workers of a real uvicorn on one account, with the limit in a real Redis and many browsers at the door."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from support.paths import SUPPORT
from support.redisserver import REDIS_SERVER, RedisServer

from ideogram_async.sandbox import Sandbox

pytestmark = pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")

GRACE = 60
PATIENCE = 120
"""Seconds for all that a test does with the workers: the last guard is pytest's own."""
TIMEOUT = aiohttp.ClientTimeout(total=PATIENCE)
TROUBLE = re.compile(r"Warning|Traceback|ERROR|CRITICAL|was destroyed|never retrieved|never awaited|Unclosed|leaked")


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer]:
    """Give a redis-server of the test's own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Site:
    """The app as browsers see it, and its supervisor."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self.statuses: Counter[int | str] = Counter()

    async def visit(self, path: str) -> bytes:
        """Post a form over a connection of its own, and read the answer to its end."""
        try:
            # No GET: aiohttp would send it once more when a worker dies.
            async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.post(self.url + path) as response:
                body = await response.read()
        except aiohttp.ClientError as error:
            self.statuses[type(error).__name__] += 1
            return b""

        self.statuses[response.status] += 1
        return body

    async def pids(self) -> set[int]:
        """Ask who is at work, until both workers have answered."""
        found: set[int] = set()
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while len(found) < 2:
                async with session.get(f"{self.url}/pid", headers={"Connection": "close"}) as response:
                    found.add(int(await response.text()))

        return found

    async def end(self) -> list[str]:
        """Wait for its end, and return what it said of trouble."""
        async with asyncio.timeout(GRACE):
            _, said = await self.process.communicate()

        assert 0 == self.process.returncode

        # The supervisor never closes the socket that it was given, which is none of our business.
        door = re.escape(f"laddr=('127.0.0.1', {self.url.rpartition(':')[2]})>")
        text = re.sub(
            rf".*ResourceWarning: unclosed <socket.socket [^\n]*{door}\n(.*tracemalloc.*\n)?", "", said.decode()
        )
        return [line for line in text.splitlines() if TROUBLE.search(line)]


@asynccontextmanager
async def two_workers(box: Sandbox, redis: RedisServer, *, lease: float = 90.0) -> AsyncGenerator[Site]:
    """Serve the app with two workers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        words = ["--workers", "2", "--fd", str(listener.fileno()), "--app-dir", str(SUPPORT)]
        words += ["--timeout-graceful-shutdown", str(GRACE), "--log-level", "warning", "--lifespan", "on"]
        settings = {"IDEOGRAM_BASE_URL": box.url, "IDEOGRAM_API_KEY": "sandbox", "REDIS_URL": redis.url}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "default", "-m", "uvicorn", "workers_app:app", *words),
            env={**os.environ, **settings, "LEASE": str(lease)},
            stderr=asyncio.subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}", process)
        try:
            async with asyncio.timeout(PATIENCE):
                yield site
        except TimeoutError:
            raise AssertionError(f"{site.statuses} after {PATIENCE} s; Redis: {redis.state}") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()


async def test_200_browsers_and_one_limit(redis: RedisServer):
    """Two workers show an image to each of 200 browsers at once, without a 429, and leave nothing behind."""
    async with Sandbox(latency=(0.01, 0.05)) as box, two_workers(box, redis) as site:
        assert 2 == len(await site.pids())

        images = await asyncio.gather(*(site.visit(f"/fox/{n}.png") for n in range(200)))
        site.process.terminate()
        trouble = await site.end()

        assert {200: 200} == site.statuses
        assert 200 == sum(image.startswith(b"\x89PNG") for image in images)
        assert {200} == {request.status for request in box.requests}
        assert 10 >= box.peak_in_flight
        assert (200, []) == (len(box.ledger.entries), box.ledger.duplicates)

    assert [] == trouble
    assert ([], 0) == (redis.keys, redis.connections())


async def test_sigterm_during_load(redis: RedisServer):
    """Told to end in the middle of it, the workers finish what they have taken on, and end in good order."""
    async with Sandbox(latency=(0.01, 0.05)) as box, two_workers(box, redis) as site:
        await site.pids()
        visits = asyncio.gather(*(site.visit(f"/fox/{n}.png") for n in range(60)))
        arrived = asyncio.ensure_future(box.wait_for_requests(20))
        # Visits that all fail before would be waited for in vain.
        await asyncio.wait([arrived, visits], return_when=asyncio.FIRST_COMPLETED)

        assert arrived.done(), site.statuses

        site.process.terminate()
        trouble = await site.end()
        await box.wait_idle()
        entries, duplicates = len(box.ledger.entries), box.ledger.duplicates

    # Whoever stood before a closed door was not served, and nothing was paid for him. The rest were.
    await visits

    assert {200} >= {status for status in site.statuses if isinstance(status, int)}
    assert (site.statuses[200], []) == (entries, duplicates)
    assert 20 <= entries
    assert [] == trouble
    assert ([], 0) == (redis.keys, redis.connections())


async def test_a_killed_worker_leaves_its_places(redis: RedisServer):
    """After kill -9 of a worker its places are free when its lease is over; the other one serves all of its own."""
    lease = 3.0
    async with Sandbox() as box, two_workers(box, redis, lease=lease) as site:
        pid, _ = await site.pids()
        box.hold()
        visits = asyncio.gather(*(site.visit(f"/fox/{n}.png") for n in range(60)))
        snapshot = await redis.until(lambda snapshot: snapshot.in_flight == 10 and len(snapshot.holding) == 2)
        os.kill(pid, signal.SIGKILL)
        killed_at = redis.time()
        latest = max(snapshot.expires_at.values())
        box.release()
        await visits
        await redis.until(lambda snapshot: not snapshot.holding)
        site.process.terminate()
        trouble = await site.end()

        assert {200} >= {status for status in site.statuses if isinstance(status, int)}
        assert 0 < site.statuses[200] < 60
        assert {200} == {request.status for request in box.requests}
        assert [] == box.ledger.duplicates
        assert lease >= latest - killed_at

    assert [] == trouble
    assert ([], 0) == (redis.keys, redis.connections())
