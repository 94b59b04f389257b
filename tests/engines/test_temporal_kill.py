"""Workers of Temporal that are killed or suspended, by the ledger of a sandbox in its own process."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.paths import SUPPORT
from support.sandbox_process import SandboxProcess
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from ideogram_async.ledger import CallState, SqliteLedger, Totals

pytestmark = pytest.mark.programs

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "5"))
PROGRAM = SUPPORT / "temporal_program.py"
LIMIT = 10
SHORT, LONG = "0.6", "30"
"""Leases in seconds: of workers that are killed, and of those that are only suspended."""

UNRECORDED = "-"
"""In place of a lease: a client without a ledger."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(latency=[0.05, 0.25]) as sandbox:
        yield sandbox


@pytest.fixture
def start(server: str, sandbox: SandboxProcess, tmp_path: Path) -> Generator[Start]:
    """Starts a worker, and waits until it runs. All are killed at the end."""
    sandbox.reset()
    workers: list[subprocess.Popen[str]] = []

    def start(lease: str, *steps: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(PROGRAM), server, sandbox.url, str(tmp_path), lease, *steps]
        with (tmp_path / "log").open("a") as log:
            worker = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)

        workers.append(worker)
        assert read_line(worker) == "running", (tmp_path / "log").read_text()[-4000:]
        return worker

    yield start

    for worker in workers:
        worker.kill()
        worker.communicate()


def read_line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


async def begin(server: str, name: str, count: int = 1) -> list[WorkflowHandle[Any, Any]]:
    """Start workflows that buy an image each."""
    temporal = await Client.connect(server)
    return [
        await temporal.start_workflow(
            "Hero",
            f"a fox, {name} {number}",
            id=f"{name}-{number}",
            task_queue="ideogram",
            # The server waits that long for a worker that was killed.
            task_timeout=timedelta(seconds=1),
        )
        for number in range(count)
    ]


async def outcome_of(workflow: WorkflowHandle[Any, Any]) -> str:
    """Return `answered`, or the class of the error that ended a workflow."""
    try:
        await workflow.result()
    except WorkflowFailureError as error:
        return str(getattr(error.cause, "type", repr(error.cause)))

    return "answered"


async def totals(folder: Path) -> Totals:
    async with SqliteLedger(folder / "calls.sqlite3") as ledger:
        return await ledger.totals()


def kill_at_random(worker: subprocess.Popen[str], rng: random.Random) -> None:
    """Kill a worker at a random moment after its start."""
    try:
        worker.wait(rng.uniform(0.0, 0.8))
    except subprocess.TimeoutExpired:
        worker.kill()

    assert -signal.SIGKILL == worker.wait()


@pytest.mark.parametrize("lease", [SHORT, UNRECORDED], ids=["ledger", "no-ledger"])
async def test_random_kills_pay_nothing_twice(
    start: Start, server: str, sandbox: SandboxProcess, tmp_path: Path, lease: str
):
    """Each workflow is answered or in doubt, none is billed twice, and each doubt is listed with its price."""
    rng = random.Random(KILLS)
    jobs, killed, number, billed = 20, 0, 0, 0
    outcomes: Counter[str] = Counter()
    while killed < KILLS:
        workflows = await begin(server, f"{lease}-run-{number}", jobs)
        for _ in range(min(3, KILLS - killed)):
            await asyncio.to_thread(kill_at_random, start(lease), rng)
            killed += 1

            assert 0 == sandbox.ledger()["duplicates"]

        worker = start(lease)
        found = Counter(await asyncio.gather(*map(outcome_of, workflows)))
        worker.kill()
        ledger = sandbox.ledger()
        outcomes, number = outcomes + found, number + 1

        assert 0 == ledger["duplicates"]
        assert jobs * number == outcomes.total()
        assert {"answered", "InDoubtError"} >= outcomes.keys()
        assert outcomes["answered"] <= ledger["calls"] <= jobs * number
        billed = ledger["calls"]

    doubts = outcomes["InDoubtError"]
    assert outcomes["answered"] == len([*(tmp_path / "images").rglob("*.png")])
    if lease == SHORT:
        found_totals = await totals(tmp_path)
        calls = found_totals.calls
        unknown = calls[CallState.SENDING] + calls[CallState.AMBIGUOUS]

        assert (doubts, outcomes["answered"]) == (unknown, calls[CallState.ANSWERED])
        assert doubts * 6 == 100 * (found_totals.in_doubt_usd + found_totals.in_flight_usd)

    total = jobs * number
    sys.stdout.write(f"{killed} kills, {total} jobs: {billed} billed, {doubts} in doubt, 0 paid twice\n")


@contextmanager
def suspended(worker: subprocess.Popen[str]) -> Iterator[None]:
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)


async def test_a_redelivery_waits_for_a_suspended_worker(start: Start, server: str, sandbox: SandboxProcess):
    """After the heartbeat timeout another worker gets the call, waits for the first one, and pays nothing."""
    sandbox.control("hold")
    first = start(LONG)
    (workflow,) = await begin(server, "suspended")
    sandbox.control("wait", requests=1)
    with suspended(first):
        second = start(LONG)

        assert "call" == await asyncio.to_thread(read_line, second)

    sandbox.control("release")

    assert "answered" == await outcome_of(workflow)
    assert (1, 0) == (sandbox.ledger()["calls"], sandbox.ledger()["duplicates"])


@pytest.mark.parametrize("lease", [LONG, UNRECORDED], ids=["ledger", "no-ledger"])
async def test_an_accepted_call_outlives_its_worker(start: Start, server: str, sandbox: SandboxProcess, lease: str):
    """Another worker gets its answer, although the first one was killed, and nothing is in doubt."""
    sandbox.control("hold")
    first = start(lease)
    (workflow,) = await begin(server, f"accepted-{lease}")
    # The acceptance is on record before the first poll.
    sandbox.control("wait", requests=2)
    first.kill()
    start(lease)
    sandbox.control("release")

    assert "answered" == await outcome_of(workflow)
    assert (1, 0) == (sandbox.ledger()["calls"], sandbox.ledger()["duplicates"])


async def test_a_doubt_about_a_suspended_worker_heals(
    start: Start, server: str, sandbox: SandboxProcess, tmp_path: Path
):
    """A worker that is silent for longer than its lease puts its call in doubt, and ends the doubt when it resumes."""
    sandbox.control("hold")
    first = start(SHORT)
    (workflow,) = await begin(server, "silent")
    sandbox.control("wait", requests=1)
    with suspended(first):
        start(SHORT)

        assert "InDoubtError" == await outcome_of(workflow)

    sandbox.control("release")
    async with SqliteLedger(tmp_path / "calls.sqlite3") as ledger:
        while (entry := await ledger.get("silent-0")) is None or entry.state is not CallState.ANSWERED:
            await asyncio.sleep(0.01)

    (again,) = await begin(server, "silent")

    assert "answered" == await outcome_of(again)
    assert (1, 0) == (sandbox.ledger()["calls"], sandbox.ledger()["duplicates"])


@pytest.mark.parametrize(
    ("step", "outcome", "billed"),
    [("claim", "InDoubtError", 0), ("settle", "answered", 1)],
    ids=["sending", "answered"],
)
async def test_the_server_keeps_what_a_killed_worker_recorded(
    start: Start, server: str, sandbox: SandboxProcess, step: str, outcome: str, billed: int
):
    """Without a ledger a reply survives SIGKILL, and a call that was about to be sent is in doubt, in heartbeats."""
    first = start(UNRECORDED, step)
    (workflow,) = await begin(server, f"killed-after-{step}")
    await asyncio.to_thread(first.wait)
    start(UNRECORDED)

    assert outcome == await outcome_of(workflow)
    assert (billed, 0) == (sandbox.ledger()["calls"], sandbox.ledger()["duplicates"])
