"""Two uvicorn workers on one account, with the limit in a Redis server."""

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
from support.redisserver import RedisServer

from ideogram_async.sandbox import Sandbox

pytestmark = pytest.mark.programs

SHUTDOWN_SECONDS = 60
HANG_TIMEOUT = 120
"""Seconds for a test, which never needs them."""
TIMEOUT = aiohttp.ClientTimeout(total=HANG_TIMEOUT)
PROBLEMS = re.compile(r"Warning|Traceback|ERROR|CRITICAL|was destroyed|never retrieved|never awaited|Unclosed|leaked")


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer]:
    """A redis-server for one test."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Site:
    """The app and its supervisor process."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self.statuses: Counter[int | str] = Counter()

    async def request(self, path: str) -> bytes:
        """Send a POST over a new connection and return the body of the response."""
        try:
            # Not a GET, which aiohttp would send again when a worker dies.
            async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.post(self.url + path) as response:
                body = await response.read()
        except aiohttp.ClientError as error:
            self.statuses[type(error).__name__] += 1
            return b""

        self.statuses[response.status] += 1
        return body

    async def pids(self) -> set[int]:
        """Return the process ids of both workers."""
        pids: set[int] = set()
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while len(pids) < 2:
                async with session.get(f"{self.url}/pid", headers={"Connection": "close"}) as response:
                    pids.add(int(await response.text()))

        return pids

    async def end(self) -> list[str]:
        """Wait for the exit of the app and return the warnings and errors of its output."""
        async with asyncio.timeout(SHUTDOWN_SECONDS):
            _, output = await self.process.communicate()

        assert 0 == self.process.returncode

        # The supervisor never closes the socket that it inherits.
        address = re.escape(f"laddr=('127.0.0.1', {self.url.rpartition(':')[2]})>")
        text = re.sub(
            rf".*ResourceWarning: unclosed <socket.socket [^\n]*{address}\n(.*tracemalloc.*\n)?", "", output.decode()
        )
        return [line for line in text.splitlines() if PROBLEMS.search(line)]


@asynccontextmanager
async def two_workers(sandbox: Sandbox, redis: RedisServer, *, lease: float = 90.0) -> AsyncGenerator[Site]:
    """Run the app with two workers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        arguments = ["--workers", "2", "--fd", str(listener.fileno()), "--app-dir", str(SUPPORT)]
        arguments += [
            "--timeout-graceful-shutdown",
            str(SHUTDOWN_SECONDS),
            "--log-level",
            "warning",
            "--lifespan",
            "on",
        ]
        settings = {"IDEOGRAM_BASE_URL": sandbox.url, "IDEOGRAM_API_KEY": "sandbox", "REDIS_URL": redis.url}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "default", "-m", "uvicorn", "workers_app:app", *arguments),
            env={**os.environ, **settings, "LEASE": str(lease)},
            stderr=asyncio.subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}", process)
        try:
            async with asyncio.timeout(HANG_TIMEOUT):
                yield site
        except TimeoutError:
            raise AssertionError(f"{site.statuses} after {HANG_TIMEOUT} s; Redis: {redis.state}") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()


async def test_200_requests_and_one_limit(redis: RedisServer):
    """Two workers answer 200 concurrent requests without a 429, and leave nothing in Redis."""
    async with Sandbox(latency=(0.01, 0.05)) as sandbox, two_workers(sandbox, redis) as site:
        assert 2 == len(await site.pids())

        images = await asyncio.gather(*(site.request(f"/fox/{n}.png") for n in range(200)))
        site.process.terminate()
        problems = await site.end()

        assert {200: 200} == site.statuses
        assert 200 == sum(image.startswith(b"\x89PNG") for image in images)
        assert {200} == {arrival.status for arrival in sandbox.requests}
        assert 10 >= sandbox.peak_in_flight
        assert (200, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)

    assert [] == problems
    assert ([], 0) == (redis.keys, redis.connections())


async def test_sigterm_during_load(redis: RedisServer):
    """After SIGTERM the workers finish the accepted requests and exit without errors."""
    async with Sandbox(latency=(0.01, 0.05)) as sandbox, two_workers(sandbox, redis) as site:
        await site.pids()
        requests = asyncio.gather(*(site.request(f"/fox/{n}.png") for n in range(60)))
        arrived = asyncio.ensure_future(sandbox.wait_for_requests(20))
        # Do not wait for arrivals if all requests have failed.
        await asyncio.wait([arrived, requests], return_when=asyncio.FIRST_COMPLETED)

        assert arrived.done(), site.statuses

        site.process.terminate()
        problems = await site.end()
        await sandbox.wait_idle()
        entries, duplicates = len(sandbox.ledger.entries), sandbox.ledger.duplicates

    # Requests that were not accepted were not billed; the others were answered.
    await requests

    assert {200} >= {status for status in site.statuses if isinstance(status, int)}
    assert (site.statuses[200], []) == (entries, duplicates)
    assert 20 <= entries
    assert [] == problems
    assert ([], 0) == (redis.keys, redis.connections())


async def test_a_killed_worker_frees_its_slots(redis: RedisServer):
    """After `kill -9` of a worker its slots are free once its lease expires. The other one answers all its requests."""
    lease = 3.0
    async with Sandbox() as sandbox, two_workers(sandbox, redis, lease=lease) as site:
        pid, _ = await site.pids()
        sandbox.hold()
        requests = asyncio.gather(*(site.request(f"/fox/{n}.png") for n in range(60)))
        snapshot = await redis.until(lambda snapshot: snapshot.in_flight == 10 and len(snapshot.holding) == 2)
        os.kill(pid, signal.SIGKILL)
        killed_at = redis.time()
        latest = max(snapshot.expires_at.values())
        sandbox.release()
        await requests
        await redis.until(lambda snapshot: not snapshot.holding)
        site.process.terminate()
        problems = await site.end()

        assert {200} >= {status for status in site.statuses if isinstance(status, int)}
        assert 0 < site.statuses[200] < 60
        assert {200} == {arrival.status for arrival in sandbox.requests}
        assert [] == sandbox.ledger.duplicates
        assert lease >= latest - killed_at

    assert [] == problems
    assert ([], 0) == (redis.keys, redis.connections())
