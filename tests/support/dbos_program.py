"""Program that runs keyed calls in DBOS workflows.

    python dbos_program.py URL FOLDER JOBS LEASE DATABASE LEDGER SCHEMA

It enqueues the jobs, prints `running`, runs them to their end, with a line `call` for each call of `once`, and prints a
summary as JSON. The images go to the folder; the database is that of DBOS.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from dbos import DBOS, PortableWorkflowError

from ideogram_async import Generate, Job, v2
from ideogram_async.integrations.dbos import Images
from ideogram_async.ledger import Ledger
from ideogram_async.sinks import FolderSink
from support.ledgers import Store
from support.reporting import ReportingClient, report


def make_jobs(count: int) -> list[Job]:
    """Return jobs of one image, each with its own prompt. The service accepts every other call first."""
    requests = (v2.Generate46(f"job {n}") if n % 2 else Generate(f"job {n}", seed=n) for n in range(count))
    return [Job(request, id=f"job-{n}") for n, request in enumerate(requests)]


async def run(url: str, folder: Path, jobs: int, database: str, ledger: Ledger) -> dict[str, int]:
    """Run the jobs to their end, and return their outcomes."""
    async with ReportingClient("sandbox", base_url=url, ledger=ledger) as client:
        DBOS(
            config={
                "name": "campaign",
                "system_database_url": database,
                "executor_id": "worker",
                "application_version": "1",
                "log_level": "CRITICAL",
            }
        )
        images = Images(client, sink=FolderSink(folder / "images"))
        DBOS.launch()
        await DBOS.register_queue_async("images", worker_concurrency=10, polling_interval_sec=0.05)
        ids = await images.enqueue(make_jobs(jobs), queue="images", prefix="run")
        report("running")
        outcomes = [await is_answered(workflow_id) for workflow_id in ids]
        DBOS.destroy()
        return {"answered": sum(outcomes), "in_doubt": jobs - sum(outcomes)}


async def is_answered(workflow_id: str) -> bool:
    """Wait for the end of a workflow, and return whether it has an answer, or is in doubt."""
    handle: Any = await DBOS.retrieve_workflow_async(workflow_id)
    try:
        await handle.get_result(polling_interval_sec=0.05)
    except PortableWorkflowError as error:
        if error.name == "InDoubtError":
            return False

        raise

    return True


def main() -> None:
    url, folder, jobs, lease, database, *ledger = sys.argv[1:]
    store = Store(*ledger)
    report(json.dumps(asyncio.run(run(url, Path(folder), int(jobs), database, store(lease=float(lease))))))


if __name__ == "__main__":
    main()
