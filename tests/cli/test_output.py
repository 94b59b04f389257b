"""Outputs that are closed, full, paused or of another encoding: they never decide about money."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import CommandLine, generate
from support.sandbox_process import SandboxProcess

from ideogram_async import JobState
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Sandbox

LOST = {
    "closed-later": '"$@" | head -2; exit ${PIPESTATUS[0]}',
    "closed-at-once": '"$@" --json | true; exit ${PIPESTATUS[0]}',
    "full": '"$@" --json > /dev/full',
    "both-full": '"$@" > /dev/full 2> /dev/full',
}
HARMLESS = {
    "errors-full": '"$@" 2> /dev/full',
    "no-errors": '"$@" 2>&-',
    "no-output": '"$@" >&-',
    "no-stream": '"$@" <&- >&- 2>&-',
    "ascii": 'PYTHONIOENCODING=ascii "$@"',
}


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    """Return a sandbox in a process of its own, whose calls take a while."""
    with SandboxProcess(latency=0.1) as box:
        yield box


@pytest.fixture
def cli(tmp_path: Path, box: SandboxProcess) -> CommandLine:
    box.reset()
    settings = {"IDEOGRAM_API_KEY": "sandbox", "IDEOGRAM_BASE_URL": box.url, "COLUMNS": "100"}
    return CommandLine(tmp_path, os.environ | settings)


@pytest.mark.parametrize("script", LOST.values(), ids=LOST)
def test_a_lost_output_stops_the_batch(cli: CommandLine, box: SandboxProcess, script: str):
    """Nothing new is sent, the calls in flight are stored, none is in doubt, and the exit code is 4."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(60)))

    completed = cli.shell(script, "batch", "run", "jobs.jsonl", "out")
    report = Folder(cli.folder / "out").report()
    states = {state: count for state, count in report.by_state.items() if count}

    assert 4 == completed.code
    assert "Traceback" not in completed.err
    assert {JobState.DONE, JobState.PENDING} >= set(states)
    assert 60 > states[JobState.DONE]
    ledger = {"calls": states[JobState.DONE], "images": report.images_stored, "duplicates": 0}
    assert ledger.items() <= box.ledger().items()
    assert "2> /dev/full" in script or "Stopping: the output" in completed.err


@pytest.mark.parametrize("script", HARMLESS.values(), ids=HARMLESS)
def test_other_faults_of_the_streams_change_nothing(cli: CommandLine, box: SandboxProcess, script: str):
    """A batch without an error stream or an output, or with one that lacks characters, runs to its end."""
    cli.write("jobs.jsonl", *(generate(f"n{n}", prompt=f"ein Fuchs ❄ \N{EM DASH} {n}") for n in range(12)))

    completed = cli.shell(script, "batch", "run", "jobs.jsonl", "out")

    assert (0, "") == (completed.code, completed.err)
    assert {"calls": 12, "images": 12, "duplicates": 0}.items() <= box.ledger().items()
    assert {JobState.DONE: 12} == Folder(cli.folder / "out").report().by_state


def test_a_paused_reader_delays_no_call(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Calls are sent and answered although nothing reads the output; it is complete once it is read."""
    cli = CommandLine(cli.folder, {**cli.env, "IDEOGRAM_BASE_URL": ideogram_sandbox.url})
    cli.write("jobs.jsonl", *(generate(f"n{n}", prompt="a fox " * 500) for n in range(60)))

    with cli.start("batch", "run", "jobs.jsonl", "out", "--json") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(60), 25))
        out, _ = process.communicate(timeout=20)

    assert (0, 60) == (process.returncode, out.count('"event": "JobResult"'))
    assert len(out) > 2 * 65536


@pytest.mark.parametrize("arguments", [("--no-save",), ("--json",)], ids=["text", "json"])
def test_a_lost_answer_goes_to_the_error_stream(cli: CommandLine, box: SandboxProcess, arguments: tuple[str, ...]):
    """The links of an image that was billed are printed where they can be read, and the exit code is 1."""
    with cli.start("generate", "a fox", *arguments) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=20)

    assert 1 == process.returncode
    assert 1 == err.count("/api/images/ephemeral/")
    assert 1 == box.ledger()["images"]


@pytest.mark.parametrize("script", ['"$@" > /dev/full', '"$@" | true; exit ${PIPESTATUS[0]}'])
def test_other_commands_exit_with_1(cli: CommandLine, script: str):
    """A command whose output is lost fails without a traceback; its images are stored."""
    overview, image = cli.shell(script, "--help"), cli.shell(script, "generate", "a fox", "-o", "images")

    assert (1, "") == (overview.code, overview.err)
    assert 1 == image.code
    assert 1 == len(list((cli.folder / "images").iterdir()))


def test_the_demo_survives_a_closed_output(cli: CommandLine):
    """The demo ends by itself, without a traceback."""
    script = f"{shlex.quote(sys.executable)} -m ideogram_async demo --folder images | true; exit ${{PIPESTATUS[0]}}"

    completed = cli.shell(script)

    assert (1, "") == (completed.code, completed.err)
