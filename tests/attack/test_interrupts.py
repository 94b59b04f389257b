"""Processes that are interrupted during a batch, judged by a sandbox in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import interrupted_program
from support.batches import count_images, run_batch
from support.clients import connected
from support.sandbox_process import SandboxProcess

from ideogram_async import JobState
from ideogram_async._batch.folder import Folder

pytestmark = pytest.mark.programs

LIMIT = 10
PLACES = [*interrupted_program.PLACES, "in_a_notebook"]


def interrupt(sandbox: SandboxProcess, folder: Path, place: str, *, times: int) -> tuple[int, list[str]]:
    """Interrupt a batch with ten calls in flight, and return the exit code and the errors of its process.

    The calls are answered only after the last interrupt.
    """
    sandbox.control("hold")
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", interrupted_program.__file__, sandbox.url, str(folder), place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    sandbox.control("wait", requests=LIMIT)
    process.send_signal(signal.SIGINT)
    # It prints that the batch stopped, unless it ends before.
    process.stdout.readline()
    if times > 1:
        process.send_signal(signal.SIGINT)
    else:
        sandbox.control("release")

    _, errors = process.communicate(timeout=60)
    sandbox.control("release")
    return process.returncode, [line for line in errors.splitlines() if not line.startswith("Executing <")]


@pytest.mark.parametrize("place", [*PLACES, "in_an_app"])
def test_an_interrupt_finishes_what_is_in_flight(place: str, tmp_path: Path):
    """After one SIGINT nothing is in doubt: every call in flight is stored, and nothing more is sent."""
    with SandboxProcess() as sandbox:
        outcome = interrupt(sandbox, tmp_path, place, times=1)
        ledger = sandbox.ledger()

    report = Folder(tmp_path).report()

    assert (130, []) == outcome
    assert LIMIT == ledger["calls"] == count_images(tmp_path) == report.by_state[JobState.DONE]
    assert ((), 0) == (report.ambiguous, report.in_doubt_usd)


def test_an_interrupt_without_unlisted_tasks(tmp_path: Path):
    """Where `asyncio.run` cancels the tasks of a batch that no block of the client encloses, what is sent is listed."""
    with SandboxProcess() as sandbox:
        outcome = interrupt(sandbox, tmp_path, "with_listed_tasks", times=1)

    assert ((130, []), LIMIT) == (outcome, len(Folder(tmp_path).report().ambiguous))


@pytest.mark.parametrize("place", PLACES)
def test_a_second_interrupt_gives_up(place: str, tmp_path: Path):
    """After two SIGINTs the process ends, and lists what is in doubt. The batch resumes without paying twice."""
    with SandboxProcess() as sandbox:
        code, _ = interrupt(sandbox, tmp_path, place, times=2)
        report = Folder(tmp_path).report()

        async def resume() -> dict[JobState, int]:
            async with connected(sandbox.url) as client:
                return (await run_batch(client, interrupted_program.JOBS, tmp_path)).by_state

        resumed = asyncio.run(resume())
        ledger = sandbox.ledger()

    assert (130, LIMIT) == (code, len(report.ambiguous))
    assert {JobState.DONE: 20, JobState.AMBIGUOUS: LIMIT} == resumed
    assert (30, 0, 20) == (ledger["calls"], ledger["duplicates"], count_images(tmp_path))
