"""Campaign on DBOS: each prompt of a list is a durable workflow, bought once however often the worker is killed.

    python examples/dbos_campaign.py --sandbox              costs nothing
    python examples/dbos_campaign.py --sandbox --kills 3    kills the worker three times, and lets it finish
    python examples/dbos_campaign.py out --budget 5         needs IDEOGRAM_API_KEY and costs up to 5 USD

The last one resumes an unfinished run; a sandbox gets a new folder. With `--database postgresql://...` workflows and
ledger are in Postgres. Needs the extras `dbos`, `sandbox` for `--sandbox`, and `postgres` for `--database`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dbos import DBOS, WorkflowHandleAsync

from ideogram_async import Generate, Ideogram, Job
from ideogram_async.integrations.dbos import Images
from ideogram_async.ledger import Ledger, SqliteLedger
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.thread import running_in_thread
from ideogram_async.sinks import FolderSink

LEDGER = "calls.sqlite3"


async def run(options: argparse.Namespace) -> int:
    """Run the campaign to its end, and return the number of jobs without images."""
    if options.database:
        from ideogram_async.ledger import PostgresLedger

        database: str = options.database
        ledger: Ledger = PostgresLedger(database, max_cost_usd=options.budget, lease=options.lease)
    else:
        # Two files: DBOS configures its own in another way.
        database = f"sqlite:///{options.folder}/dbos.sqlite3"
        ledger = SqliteLedger(options.folder / LEDGER, max_cost_usd=options.budget, lease=options.lease)

    async with Ideogram(ledger=ledger) as client:
        DBOS(
            config={
                "name": "campaign",
                "system_database_url": database,
                # Of this worker, and the same when it starts again.
                "executor_id": "worker-1",
                # Workflows go on in this version only. Raise it when their code changes.
                "application_version": "1",
                "log_level": "CRITICAL",
            }
        )
        images = Images(client, sink=FolderSink(options.folder / "images"))
        DBOS.launch()
        try:
            await DBOS.register_queue_async("images", worker_concurrency=20, polling_interval_sec=0.1)
            jobs = [Job(Generate(f"a red fox, variation {n}", seed=n), id=f"fox-{n}") for n in range(options.count)]
            workflows = await images.enqueue(jobs, queue="images", prefix=options.folder.name)
            missing = [name for name in workflows if not await finish(name)]
        finally:
            DBOS.destroy()

        totals = await ledger.totals()
        # All workflows have ended, so what is on record as in flight was sent by a worker that was killed.
        in_doubt_usd = totals.in_doubt_usd + totals.in_flight_usd
        print(f"{len(missing)} without images; {totals.spent_usd:.2f} USD spent, {in_doubt_usd:.2f} USD in doubt")

    return len(missing)


async def finish(workflow: str) -> bool:
    """Wait for a workflow, print its result, and return whether it has images."""
    handle: WorkflowHandleAsync[list[str]] = await DBOS.retrieve_workflow_async(workflow)
    try:
        uris = await handle.get_result(polling_interval_sec=0.1)
    except Exception as error:
        print(f"  {workflow}: {error}", flush=True)
        return False

    print(f"  {workflow}: {', '.join(uris)}", flush=True)
    return True


def run_in_sandbox(arguments: Sequence[str], options: argparse.Namespace) -> int:
    """Run this program in processes that use a sandbox, kill all but the last, and print what was billed."""
    with running_in_thread(Sandbox(latency=(1, 3))) as box:
        env = {**os.environ, "IDEOGRAM_BASE_URL": box.url, "IDEOGRAM_API_KEY": "sandbox"}
        command = [sys.executable, __file__, *arguments]
        # Kills so early that each of them comes before the last call.
        calls = max(1, options.count // (options.kills + 1))
        for number in range(options.kills):
            with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as worker:
                is_killed = kill_amid_calls(worker, box, random.randint(1, calls))

            if not is_killed:
                break

            print(f"kill {number + 1}: {box.ledger.billed_images} images billed", flush=True)

        code = subprocess.run(command, env=env, check=False).returncode
        print(f"{options.count} jobs: {box.ledger.billed_images} billed, {len(box.ledger.duplicates)} of them twice")

    if not options.database:
        print(f"calls in doubt: ideogram-async ledger status {options.folder / LEDGER}")

    return code


def kill_amid_calls(worker: subprocess.Popen[bytes], box: Sandbox, calls: int) -> bool:
    """Kill a worker as soon as it has sent a number of calls, and return whether it was running until then."""
    sent = len(box.requests)
    while worker.poll() is None and len(box.requests) < sent + calls:
        time.sleep(0.02)

    if worker.poll() is None:
        worker.kill()
        return True

    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the campaign and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder (default: campaign; a new one for a sandbox)")
    parser.add_argument("--count", type=int, default=40, help="images to generate (default: 40)")
    parser.add_argument("--budget", default="2.50", help="maximum cost in USD (default: 2.50)")
    parser.add_argument("--database", help="URL of a Postgres database (default: files in the folder)")
    parser.add_argument("--lease", type=float, default=30, help="seconds of silence of a dead worker (default: 30)")
    parser.add_argument("--sandbox", action="store_true", help="use a local sandbox, which bills nothing")
    parser.add_argument("--kills", type=int, default=0, help="with --sandbox: how often to kill the worker")
    options = parser.parse_args(argv)
    if options.folder is None:
        options.folder = Path(tempfile.mkdtemp(prefix="campaign-") if options.sandbox else "campaign")

    options.folder.mkdir(parents=True, exist_ok=True)
    if options.sandbox:
        if (options.folder / LEDGER).exists():
            parser.error(f"{options.folder} has the calls of an earlier run: choose a new folder for a sandbox")

        arguments = [str(options.folder), f"--count={options.count}", f"--budget={options.budget}", "--lease=2"]
        database = [f"--database={options.database}"] if options.database else []
        return run_in_sandbox([*arguments, *database], options)

    return 1 if asyncio.run(run(options)) else 0


if __name__ == "__main__":
    sys.exit(main())
