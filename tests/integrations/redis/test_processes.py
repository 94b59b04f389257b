"""Several processes of one account: no 429, no slot lost for long, nothing billed twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from support.installed import find
from support.paths import ROOT, SUPPORT
from support.redisserver import RedisServer

from ideogram_async.sandbox import Sandbox

pytestmark = pytest.mark.programs

SCRIPT = SUPPORT / "worker.py"
TIMEOUT = 60
EXAMPLE = ROOT / "examples" / "workers.py"


class Worker:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(
        cls, name: str, sandbox: Sandbox, redis: RedisServer, *, calls: int, images: int = 0, lease: float = 90.0
    ) -> Worker:
        arguments = [name, sandbox.url, redis.url, str(calls), str(images), str(lease)]
        command = [sys.executable, "-X", "dev", "-W", "error", str(SCRIPT), *arguments]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=ROOT))

    async def end(self) -> int:
        """Wait for its end, which must be without warnings; return how many calls were refused."""
        out, err = await self.output()
        # On a busy machine asyncio's debug mode reports slow steps.
        lines = [line for line in err.decode().splitlines() if not line.startswith("Executing <")]

        assert (0, []) == (self.process.returncode, lines)

        return int(json.loads(out)["rejected"])

    async def output(self) -> tuple[bytes, bytes]:
        """Wait for its end, at most a minute, and return its output."""
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self.process.communicate()
        except TimeoutError:
            await self.kill()
            raise

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


async def wait_for_requests(sandbox: Sandbox, calls: int) -> None:
    """Wait for requests at the sandbox, at most a minute."""
    async with asyncio.timeout(TIMEOUT):
        await sandbox.wait_for_requests(calls)


async def test_three_processes_keep_to_one_limit(redis: RedisServer):
    """Three processes with many calls get no 429, and never have more than ten images in progress."""
    async with Sandbox(latency=(0.01, 0.05)) as sandbox:
        workers = [await Worker.start(name, sandbox, redis, calls=20) for name in "abc"]
        refused = [await worker.end() for worker in workers]

        assert [0, 0, 0] == refused
        assert 10 >= sandbox.peak_in_flight
        assert (60, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)

    assert ([], 0) == (redis.keys, redis.connections())


async def test_the_slots_of_a_killed_process_are_released(redis: RedisServer):
    """After kill -9 the slots of a process are released when its lease expires, and not before."""
    lease = 3.0
    async with Sandbox() as sandbox:
        sandbox.hold()
        killed = await Worker.start("killed", sandbox, redis, calls=10, images=1, lease=lease)
        await wait_for_requests(sandbox, 10)
        successor = await Worker.start("successor", sandbox, redis, calls=1, images=1, lease=lease)
        await redis.until(lambda snapshot: (snapshot.in_flight, snapshot.queued) == (10, 1))
        await killed.kill()
        killed_at = redis.time()
        expires_at = min(redis.snapshot().expires_at.values())
        # The service finishes the calls of the killed process; its slots stay taken until its lease expires.
        sandbox.release()

        assert 0 == await successor.end()
        assert expires_at <= redis.time()
        assert lease >= expires_at - killed_at

    assert [] == redis.keys


@pytest.mark.parametrize("fate", ["stopped and started", "flushed"])
async def test_redis_outage_during_a_run(redis: RedisServer, fate: str):
    """After a restart or flush of Redis during a run, all images are made, and none is billed twice."""
    async with Sandbox(latency=(0.01, 0.05)) as sandbox:
        workers = [await Worker.start(name, sandbox, redis, calls=30) for name in "abc"]
        await wait_for_requests(sandbox, 15)
        if fate == "flushed":
            redis.flush()
        else:
            redis.stop()
            await wait_for_requests(sandbox, 30)
            redis.start()

        for worker in workers:
            out, _ = await worker.output()

            assert (0, True) == (worker.process.returncode, "rejected" in json.loads(out))

        assert (90, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


def test_the_example_runs():
    """`python examples/workers.py` starts three workers, gets no 429, and reports it."""
    find("redis-server")
    run = _example("--calls", "3")

    assert "" == run.stderr
    assert 3 == run.stdout.count("worker-")
    assert [["3", "0"]] * 3 == [line.split()[1:3] for line in run.stdout.splitlines() if line.startswith("worker-")]
    assert "calls billed twice       0" in run.stdout


def test_the_example_runs_without_redis():
    """`python examples/workers.py --share` needs no Redis, and stays within the limit as well."""
    run = _example("--share", "--calls", "3")

    assert "" == run.stderr
    assert [["3", "0"]] * 3 == [line.split()[1:3] for line in run.stdout.splitlines() if line.startswith("worker-")]


def _example(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert 0 == run.returncode

    return run
