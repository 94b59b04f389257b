"""taskiq: the task of the page on queues in a real worker that is terminated and killed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from support.frameworks import TIMEOUT, Site, require

from ideogram_async.sandbox import Sandbox

require("taskiq_redis")

from redis.asyncio import Redis  # noqa: E402
from taskiq.kicker import AsyncKicker  # noqa: E402
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # noqa: E402

WORKER = ("taskiq", "worker", "taskiq_tasks:broker", "--workers", "1")


@asynccontextmanager
async def queue(site: Site) -> AsyncGenerator[RedisStreamBroker]:
    url = site.settings["REDIS_URL"]
    broker = RedisStreamBroker(url).with_result_backend(RedisAsyncResultBackend(url))
    await broker.startup()
    try:
        yield broker
    finally:
        await broker.shutdown()


async def send(broker: RedisStreamBroker, order: str) -> Any:
    kicker: Any = AsyncKicker("taskiq_tasks:draw_order", broker, {})
    return await kicker.kiq(order, f"fox {order}")


async def result_of(task: Any) -> Any:
    result = await task.wait_result(timeout=TIMEOUT, check_interval=0.05)
    result.raise_for_error()
    return result.return_value


async def until_disconnected(broker: RedisStreamBroker) -> None:
    """Wait until Redis delivers nothing more to a worker that was killed."""
    async with Redis(connection_pool=broker.connection_pool) as redis:
        while (await redis.info("clients"))["blocked_clients"]:
            pass


async def test_a_task_that_runs_again_reads_its_folder(site: Site, sandbox: Sandbox) -> None:
    """An order that is enqueued twice is paid once, and both tasks return its image."""
    async with site.running(*WORKER), queue(site) as broker:
        results = [await result_of(await send(broker, "order-1")) for _ in range(2)]

    assert [{"state": "done", "files": ["images/order-1/order-1-0.png"]}] * 2 == results
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_killed_task_is_not_paid_twice(site: Site, sandbox: Sandbox) -> None:
    """A task whose worker is killed during its call runs again, and reports the call instead of sending it."""
    sandbox.hold()
    async with queue(site) as broker:
        task = await send(broker, "order-1")
        await site.lose_worker(sandbox, *WORKER)
        await until_disconnected(broker)
        sandbox.release()
        # A shorter time would let the first worker receive its own task again while it runs.
        module = site.folder / "taskiq_tasks.py"
        module.write_text(module.read_text().replace("idle_timeout=600_000", "idle_timeout=1"))
        async with site.running(*WORKER):
            await send(broker, "order-2")
            result = await result_of(task)

    await sandbox.wait_idle()

    assert {"state": "ambiguous", "files": []} == result
    assert [] == sandbox.ledger.duplicates


async def test_sigterm_lets_a_call_finish(site: Site, sandbox: Sandbox) -> None:
    """A task whose worker receives SIGTERM finishes. The worker may not: taskiq 0.13 keeps waiting for its stream."""
    sandbox.hold()
    async with queue(site) as broker:
        task = await send(broker, "order-1")
        async with site.running(*WORKER) as worker:
            await sandbox.wait_for_requests(1)
            worker.terminate()
            sandbox.release()
            result = await result_of(task)

    assert "done" == result["state"]
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)
