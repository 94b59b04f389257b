"""Program that runs a worker of Temporal until it is killed.

    python temporal_program.py ADDRESS URL FOLDER LEASE [STEP]

It prints `running`, and `call` for each attempt of a call. Without a lease (`-`) the client has no ledger. With a step
(`claim`, `settle`) it kills itself once the server has recorded that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

from ideogram_async.integrations.temporal import activities, calls, worker
from ideogram_async.integrations.temporal.heartbeats import HeartbeatLedger
from ideogram_async.ledger import SqliteLedger
from ideogram_async.sinks import FolderSink
from support.reporting import ReportingClient, report
from support.temporal_workflows import Hero

LIMIT = 10


def hurry() -> None:
    """Shorten the times after which the server starts another attempt."""
    calls.HEARTBEAT_TIMEOUT = timedelta(seconds=1)
    # Each of many kills costs the calls in flight an attempt.
    calls.PAID_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=0.1), maximum_attempts=20)
    calls.KEEP_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=0.1))
    worker.HEARTBEAT_SECONDS = 0.2


def die_after(step: str) -> None:
    """Kill this process once a step of a call is recorded."""
    original = getattr(HeartbeatLedger, step)

    async def fatal(*arguments: Any) -> Any:
        await original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(HeartbeatLedger, step, fatal)


async def run(address: str, url: str, folder: Path, lease: float | None) -> None:
    ledger = None if lease is None else SqliteLedger(folder / "calls.sqlite3", lease=lease)
    temporal = await Client.connect(address)
    async with (
        ReportingClient("sandbox", base_url=url, ledger=ledger) as client,
        Worker(
            temporal,
            task_queue="ideogram",
            workflows=[Hero],
            activities=activities(client, sink=FolderSink(folder / "images")),
            max_concurrent_activities=LIMIT,
            # The server waits for a worker that was killed, unless each task may go to any other one.
            max_cached_workflows=0,
            max_heartbeat_throttle_interval=timedelta(seconds=0.2),
        ),
    ):
        report("running")
        await asyncio.Event().wait()


def main() -> None:
    address, url, folder, lease, *step = sys.argv[1:]
    hurry()
    for name in step:
        die_after(name)

    asyncio.run(run(address, url, Path(folder), None if lease == "-" else float(lease)))


if __name__ == "__main__":
    main()
