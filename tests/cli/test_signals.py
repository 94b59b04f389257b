"""Signals to `batch run`: the first drains, the second aborts, and an ignored one stays ignored."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import pytest
from support.commands import CommandLine, generate

from ideogram_async import JobState
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Sandbox

STOPPED = 'the "Stopping" line'
DRAINING = {
    "SIGINT": [signal.SIGINT, STOPPED],
    "SIGTERM": [signal.SIGTERM, STOPPED],
    "SIGHUP": [signal.SIGHUP, STOPPED],
    "three-at-once": [signal.SIGINT, signal.SIGTERM, signal.SIGINT, STOPPED],
    "a-closed-terminal": [signal.SIGHUP, STOPPED, signal.SIGHUP, signal.SIGHUP],
}
ABORTING = {
    "SIGINT": [signal.SIGINT, STOPPED, signal.SIGINT],
    "SIGTERM": [signal.SIGTERM, STOPPED, signal.SIGTERM],
    "after-SIGHUP": [signal.SIGHUP, STOPPED, signal.SIGINT],
}


@pytest.mark.parametrize("steps", DRAINING.values(), ids=DRAINING)
def test_a_batch_that_drains(
    cli: CommandLine, ideogram_sandbox: Sandbox, steps: Sequence[signal.Signals | str]
) -> None:
    """One interrupt stops sending; the calls in flight are stored. Signals sent at once are one, as is every SIGHUP."""
    with batch_in_flight(cli, ideogram_sandbox) as process:
        send_signals(process, steps)
        ideogram_sandbox.release()
        out, errors = process.communicate(timeout=25)

    assert (4, "") == (process.returncode, errors)
    assert "10 of 30 done" in out
    assert "interrupted; run the same command to resume" in out
    assert 10 == len(ideogram_sandbox.ledger.entries)
    assert {JobState.DONE: 10} == sent(cli)


@pytest.mark.parametrize("steps", ABORTING.values(), ids=ABORTING)
def test_a_batch_that_gives_up(
    cli: CommandLine, ideogram_sandbox: Sandbox, steps: Sequence[signal.Signals | str]
) -> None:
    """A second interrupt ends the calls in flight at once: they are ambiguous, and nothing else is."""
    with batch_in_flight(cli, ideogram_sandbox) as process:
        send_signals(process, steps)
        out, errors = process.communicate(timeout=25)

    ideogram_sandbox.release()

    assert (130, "") == (process.returncode, errors)
    assert "10 ambiguous" in out
    assert [".ideogram"] == [path.name for path in (cli.folder / "out").iterdir()]
    assert {JobState.AMBIGUOUS: 10} == sent(cli)


def test_ignored_signals_stay_ignored(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """A batch under `nohup`, or in the background of a script, runs to its end."""
    launcher = ("bash", "-c", "trap '' HUP INT; exec \"$@\"", "bash")
    with batch_in_flight(cli, ideogram_sandbox, launcher) as process:
        send_signals(process, [signal.SIGHUP, signal.SIGINT, signal.SIGINT, signal.SIGHUP])
        ideogram_sandbox.release()
        _, errors = process.communicate(timeout=25)

    assert (0, "") == (process.returncode, errors)
    assert {JobState.DONE: 30} == sent(cli)


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [
        (("run", "jobs", "out"), 4, signal.SIGINT),
        (("run", "jobs", "out"), 4, signal.SIGHUP),
        (("plan", "jobs"), 130, signal.SIGTERM),
    ],
    ids=["run-SIGINT", "run-SIGHUP", "plan-SIGTERM"],
)
def test_a_signal_before_the_first_job(
    cli: CommandLine, ideogram_sandbox: Sandbox, command: tuple[str, ...], code: int, number: signal.Signals
) -> None:
    """A command that waits for its jobs file, here a FIFO, ends by itself and has sent nothing."""
    os.mkfifo(cli.folder / "jobs")
    with cli.start("batch", *command) as process:
        # Returns once the process reads.
        writer = os.open(cli.folder / "jobs", os.O_WRONLY)
        process.send_signal(number)
        _, errors = process.communicate(timeout=25)

    os.close(writer)

    assert code == process.returncode
    assert "Traceback" not in errors
    assert code == 4 or "Nothing was sent." in errors
    assert [] == ideogram_sandbox.requests


@contextmanager
def batch_in_flight(
    cli: CommandLine, sandbox: Sandbox, launcher: Sequence[str] = ()
) -> Generator[subprocess.Popen[str]]:
    """Run a batch whose first ten calls are held in flight."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(30)))
    sandbox.hold()
    with cli.start("batch", "run", "jobs.jsonl", "out", launcher=launcher) as process:
        asyncio.run(asyncio.wait_for(sandbox.wait_for_requests(10), 25))
        yield process


def send_signals(process: subprocess.Popen[str], steps: Sequence[signal.Signals | str]) -> None:
    """Send signals, and read the line that confirms the first one where it is among them."""
    assert process.stderr is not None
    for step in steps:
        if isinstance(step, str):
            assert process.stderr.readline().startswith("Stopping")
        else:
            process.send_signal(step)


def sent(cli: CommandLine) -> dict[JobState, int]:
    """Return the number of jobs that were sent, by state. How many others have been read is a matter of time."""
    by_state = Folder(cli.folder / "out").report().by_state
    return {state: count for state, count in by_state.items() if count and state is not JobState.PENDING}
