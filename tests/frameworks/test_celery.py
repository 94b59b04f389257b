"""Celery: the task of the page on queues in a real worker, whose processes are killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.frameworks import KILLS, TIMEOUT, Site, check_orders, require

from ideogram_async.sandbox import Sandbox

require("celery")

from celery import Celery  # noqa: E402

OPTIONS = ("worker", "--without-mingle", "--without-gossip", "--loglevel", "info", "--concurrency")
SHOP = ("celery", "-A", "celery_shop", *OPTIONS, "5")
WORKER = ("celery", "-A", "celery_tasks", *OPTIONS, "2")


def send(site: Site, order: str) -> Any:
    url = site.settings["REDIS_URL"]
    app = Celery("producer", broker=url, backend=url)
    return app.send_task("celery_tasks.draw_order", [order, f"fox {order}"])


async def result_of(task: Any) -> dict[str, Any]:
    result: dict[str, Any] = await asyncio.to_thread(task.get, timeout=TIMEOUT)
    return result


def deliver_again_after_a_second(site: Site) -> None:
    """Set the timeout of Redis, and look for tasks that exceed it ten times a second instead of every 100 seconds."""
    options = {"visibility_timeout": 1, "unacked_restore_interval": 0.1, "unacked_restore_throttle": 1}
    module = site.folder / "celery_tasks.py"
    module.write_text(f"{module.read_text()}\napp.conf.broker_transport_options = {options}\n")


async def test_a_task_that_runs_again_reads_its_folder(site: Site, sandbox: Sandbox) -> None:
    """An order that is enqueued twice is paid once, and both tasks return its image."""
    async with site.running(*WORKER):
        results = [await result_of(send(site, "order-1")) for _ in range(2)]

    assert [{"state": "done", "files": ["images/order-1/order-1-0.png"]}] * 2 == results
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_killed_task_is_not_paid_twice(site: Site, sandbox: Sandbox) -> None:
    """A task whose process is killed during its call runs again, and reports the call instead of sending it."""
    sandbox.hold()
    async with site.running(*WORKER):
        task = send(site, "order-1")
        await sandbox.wait_for_requests(1)
        os.kill(site.owner_of("order-1"), signal.SIGKILL)
        sandbox.release()
        result = await result_of(task)

    await sandbox.wait_idle()

    assert {"state": "ambiguous", "files": []} == result
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_task_of_a_killed_worker_is_not_paid_twice(site: Site, sandbox: Sandbox) -> None:
    """After the whole worker is killed, another one receives the task when its visibility timeout has passed."""
    sandbox.hold()
    task = send(site, "order-1")
    await site.lose_worker(sandbox, *WORKER)
    sandbox.release()
    deliver_again_after_a_second(site)
    async with site.running(*WORKER):
        result = await result_of(task)

    await sandbox.wait_idle()

    assert {"state": "ambiguous", "files": []} == result
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_task_that_is_delivered_while_it_runs_is_not_paid_twice(site: Site, sandbox: Sandbox) -> None:
    """A task that exceeds the visibility timeout also goes to another worker, which retries it until the first ends."""
    deliver_again_after_a_second(site)
    sandbox.hold()
    async with site.running(*WORKER):
        task = send(site, "order-1")
        await sandbox.wait_for_requests(1)
        async with site.running(*WORKER, "--hostname", "second"):
            while "Retry in" not in (site.folder / "log").read_text():
                await asyncio.sleep(0.02)

            sandbox.release()
            result = await result_of(task)

    assert "BatchLockedError" in (site.folder / "log").read_text()
    assert "done" == result["state"]
    assert (1, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_plain_task_that_is_killed_pays_twice(site: Site, sandbox: Sandbox) -> None:
    """Without the folder, the same settings of the queue pay twice."""
    module = site.folder / "celery_tasks.py"
    code = module.read_text().replace("asyncio.run(draw(order, prompt))", "asyncio.run(plain(order, prompt))")
    module.write_text(
        code + "\n\nfrom images import client\n\n\nasync def plain(order, prompt):\n"
        "    with open(f'{order}.pid', 'w') as file:\n        file.write(str(os.getpid()))\n\n"
        "    return (await client.generate(prompt, seed=1)).data[0].url\n"
    )
    sandbox.hold()
    async with site.running(*WORKER):
        task = send(site, "order-1")
        await sandbox.wait_for_requests(1)
        os.kill(int((site.folder / "order-1.pid").read_text()), signal.SIGKILL)
        await sandbox.wait_for_requests(2)
        sandbox.release()
        await asyncio.to_thread(task.get, timeout=TIMEOUT)

    await sandbox.wait_idle()

    assert (2, 1) == (len(sandbox.ledger.entries), len(sandbox.ledger.duplicates))


async def test_sigterm_lets_a_task_finish(site: Site, sandbox: Sandbox) -> None:
    """After SIGTERM the worker ends when its task has ended."""
    sandbox.hold()
    async with site.running(*WORKER) as worker:
        task = send(site, "order-1")
        await sandbox.wait_for_requests(1)
        worker.terminate()
        sandbox.release()
        await worker.wait()

    assert "done" == (await result_of(task))["state"]
    assert (0, 1) == (worker.returncode, len(sandbox.ledger.entries))


async def test_random_kills_pay_nothing_twice(shop: Site, slow_sandbox: Sandbox) -> None:
    """With keyed calls each order is answered or in doubt, none is billed twice, and each doubt has its price.

    Processes of a worker are killed, then all of it. Celery takes a task off the list in Redis before it notes that it
    has the task, and Redis gives tasks to connections of a killed worker that it has not seen closed. Such a task is
    lost, so the producer sends an order again that has no result.
    """
    rng = random.Random(KILLS)
    module = shop.folder / "celery_shop.py"
    module.write_text(module.read_text().replace('"visibility_timeout": 3600', '"visibility_timeout": 1'))
    orders, killed = Orders(shop.settings["REDIS_URL"]), 0
    while killed < KILLS:
        async with shop.running(*SHOP) as worker:
            await orders.finish()
            orders.add(10)
            await slow_sandbox.wait_for_requests(len(slow_sandbox.requests) + 1)
            killed += await kill_at_random(worker, rng, KILLS - killed)

    async with shop.running(*SHOP):
        await orders.finish()

    figures = await check_orders(shop, slow_sandbox, orders.outcomes)
    sys.stdout.write(f"{killed} kills, {figures}")


async def kill_at_random(worker: asyncio.subprocess.Process, rng: random.Random, most: int) -> int:
    """Kill processes of a worker at random moments, and then all of it. Return the number of kills, at most eight."""
    killed = 0
    for _ in range(min(rng.randint(0, 7), most - 1)):
        await asyncio.sleep(rng.uniform(0.02, 0.3))
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        if children:
            os.kill(int(rng.choice(children)), signal.SIGKILL)
            killed += 1

    await asyncio.sleep(rng.uniform(0.02, 0.3))
    os.killpg(worker.pid, signal.SIGKILL)
    await worker.wait()
    return killed + 1


class Orders:
    """A producer, which sends an order again until one of its tasks has a result."""

    def __init__(self, url: str) -> None:
        self._app = Celery("producer", broker=url, backend=url)
        self._tasks: dict[str, list[Any]] = {}
        self.outcomes: dict[str, str] = {}

    def add(self, number: int) -> None:
        """Send new orders."""
        begin = len(self._tasks)
        for order in range(begin, begin + number):
            self._tasks[str(order)] = []
            self._send(str(order))

    async def finish(self) -> None:
        """Send each order that has no result, every three seconds until all have one."""
        while self._unfinished():
            for order in self._unfinished():
                self._send(order)

            with suppress(TimeoutError):
                async with asyncio.timeout(3):
                    while self._unfinished():
                        await asyncio.sleep(0.05)

    def _send(self, order: str) -> None:
        self._tasks[order].append(self._app.send_task("celery_shop.hero", [order, f"fox {order}"]))

    def _unfinished(self) -> list[str]:
        """Read the results, and return the orders that have none."""
        for order in self._tasks.keys() - self.outcomes.keys():
            if ready := [task for task in self._tasks[order] if task.ready()]:
                self.outcomes[order] = outcome_of(ready[0])

        return [order for order in self._tasks if order not in self.outcomes]


def outcome_of(task: Any) -> str:
    """Return `answered`, or the class of the task's error, of which Celery keeps the text."""
    if task.successful():
        return "answered"

    error = repr(task.result)
    return "InDoubtError" if "InDoubtError" in error else error
