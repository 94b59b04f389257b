"""arq: the task of the page on queues in a real worker that is terminated and killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from support.frameworks import KILLS, TIMEOUT, Site, check_orders, require

from ideogram_async.sandbox import Sandbox

require("arq")

from arq import create_pool  # noqa: E402
from arq.connections import ArqRedis, RedisSettings  # noqa: E402
from arq.constants import in_progress_key_prefix  # noqa: E402
from arq.jobs import Job  # noqa: E402

SHOP = ("arq", "arq_shop.WorkerSettings")
WORKER = ("arq", "arq_tasks.WorkerSettings")


@asynccontextmanager
async def queue(site: Site) -> AsyncGenerator[ArqRedis]:
    pool = await create_pool(RedisSettings.from_dsn(site.settings["REDIS_URL"]))
    try:
        yield pool
    finally:
        await pool.aclose()


async def send(pool: ArqRedis, order: str, task: str = "draw_order") -> Job:
    job = await pool.enqueue_job(task, order, f"fox {order}")
    assert job
    return job


async def let_leases_expire(pool: ArqRedis) -> int:
    """Let arq deliver the tasks of a killed worker again, as it does when their timeout has passed."""
    leases = await pool.keys(f"{in_progress_key_prefix}*")
    return await pool.delete(*leases) if leases else 0


async def test_a_task_that_runs_again_reads_its_folder(site: Site, sandbox: Sandbox) -> None:
    """An order that is enqueued twice is paid once, and both tasks return its image."""
    async with site.running(*WORKER), queue(site) as pool:
        results = [await (await send(pool, "order-1")).result(timeout=TIMEOUT) for _ in range(2)]

    assert [{"state": "done", "files": ["images/order-1/order-1-0.png"]}] * 2 == results
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_killed_task_is_not_paid_twice(site: Site, sandbox: Sandbox) -> None:
    """A task whose worker is killed during its call runs again, and reports the call instead of sending it."""
    sandbox.hold()
    async with queue(site) as pool:
        job = await send(pool, "order-1")
        await site.lose_worker(sandbox, *WORKER)
        sandbox.release()

        assert 1 == await let_leases_expire(pool)

        async with site.running(*WORKER):
            result = await job.result(timeout=TIMEOUT)

    await sandbox.wait_idle()

    assert {"state": "ambiguous", "files": []} == result
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_sigterm_lets_a_call_finish(site: Site, sandbox: Sandbox) -> None:
    """SIGTERM cancels the task, whose call finishes. The next worker returns its image."""
    sandbox.hold()
    async with queue(site) as pool:
        job = await send(pool, "order-1")
        async with site.running(*WORKER) as worker:
            await sandbox.wait_for_requests(1)
            worker.terminate()
            sandbox.release()
            await worker.wait()

        async with site.running(*WORKER):
            result = await job.result(timeout=TIMEOUT)

    assert "done" == result["state"]
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_random_kills_pay_nothing_twice(shop: Site, slow_sandbox: Sandbox) -> None:
    """With keyed calls each order is answered or in doubt, none is billed twice, and each doubt has its price."""
    rng, jobs = random.Random(KILLS), list[Job]()
    async with queue(shop) as pool:
        for _ in range(KILLS):
            for number in range(len(jobs), len(jobs) + 5):
                jobs.append(await send(pool, str(number), "hero"))

            async with shop.running(*SHOP) as worker:
                await slow_sandbox.wait_for_requests(len(slow_sandbox.requests) + 1)
                await asyncio.sleep(rng.uniform(0, 0.8))
                os.killpg(worker.pid, signal.SIGKILL)
                await worker.wait()

            await let_leases_expire(pool)

        async with shop.running(*SHOP):
            outcomes = {str(number): await outcome_of(job) for number, job in enumerate(jobs)}

    figures = await check_orders(shop, slow_sandbox, outcomes)
    sys.stdout.write(f"{KILLS} kills, {figures}")


async def outcome_of(job: Job) -> str:
    """Return `answered`, or the class of the task's error."""
    try:
        await job.result(timeout=TIMEOUT)
    except Exception as error:
        return type(error).__name__

    return "answered"
