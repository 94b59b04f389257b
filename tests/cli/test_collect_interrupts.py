"""Interrupts of `batch collect`."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from support.commands import CommandLine, generate

from ideogram_async.batch import Folder
from ideogram_async.sandbox import Fault, Sandbox

JOBS = 6


def test_a_collection_that_is_interrupted_once(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """The downloads in progress are stored, no other one begins, and the same command continues."""
    with collection_in_progress(cli, ideogram_sandbox) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        message = process.stderr.readline()
        ideogram_sandbox.release()
        out, errors = process.communicate(timeout=25)

    again = cli("batch", "collect", "out")

    assert (4, "") == (process.returncode, errors)
    assert "Stopping: waiting for downloads in progress. Press Ctrl-C again to abort them.\n" == message
    assert f"2 stored, {JOBS - 2} still to be downloaded" in out
    assert (0, JOBS) == (again.code, Folder(cli.folder / "out").report().images_stored)
    assert JOBS == len(ideogram_sandbox.requests)


def test_a_collection_that_is_interrupted_twice(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """The downloads in progress end at once and leave no file; nothing is in doubt, and the same command continues."""
    with collection_in_progress(cli, ideogram_sandbox) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=25)

    ideogram_sandbox.release()
    files = [path.name for path in (cli.folder / "out").iterdir()]
    again = cli("batch", "collect", "out")

    assert (130, "") == (process.returncode, errors)
    assert f"0 stored, {JOBS} still to be downloaded" in out
    assert "in doubt" not in out
    assert [".ideogram"] == files
    assert (0, JOBS) == (again.code, Folder(cli.folder / "out").report().images_stored)


@contextmanager
def collection_in_progress(cli: CommandLine, sandbox: Sandbox) -> Generator[subprocess.Popen[str]]:
    """Collect deleted images, two at a time, of which the first two are held in progress."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(JOBS)))
    cli("batch", "run", "jobs.jsonl", "out")
    for path in (cli.folder / "out").glob("*.png"):
        path.unlink()

    begun = len(sandbox.image_requests)
    sandbox.fail("images", times=2, fault=Fault.hang)

    async def wait() -> None:
        while len(sandbox.image_requests) < begun + 2:
            await asyncio.sleep(0)

    with cli.start("batch", "collect", "out", "--max-downloads", 2) as process:
        asyncio.run(asyncio.wait_for(wait(), 25))
        yield process
