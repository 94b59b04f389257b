"""Commands on batches whose jobs the service has accepted, and not finished."""

from __future__ import annotations

import asyncio
import signal

from support.commands import CommandLine
from support.rawserver import RawServer, status

from ideogram_async.sandbox import Fault, Sandbox


def test_accepted_jobs_are_unfinished(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A run and a status with accepted jobs end with 4 and what to do, and the same command gets the images."""
    cli.write("jobs.jsonl", {"operation": "v2 generate-45", "id": "fox", "prompt": "a fox"})
    ideogram_sandbox.hold()
    first = cli("batch", "run", "jobs.jsonl", "out", "--timeout", "0.5")
    status = cli("batch", "status", "out")
    dry = cli("batch", "run", "jobs.jsonl", "out", "--dry-run")
    cli("batch", "export", "out", "jobs.csv")
    ideogram_sandbox.release()
    again = cli("batch", "run", "jobs.jsonl", "out")

    assert (4, 4, 0) == (first.code, status.code, again.code)
    for text in (first.out, status.out):
        assert "has not ended yet" in text
        assert "0.10 USD if it succeeds." in text
        assert "Run the same command for the images of accepted jobs." in text
        assert "0.10 USD in doubt, by accepted jobs" in text

    assert "1 accepted; the run asks for their images" in dry.out
    assert "has not ended yet" in (cli.folder / "jobs.csv").read_text()
    assert 1 == len(ideogram_sandbox.ledger.entries)


async def test_an_interrupted_call_that_was_accepted(cli: CommandLine):
    """A call that the service accepts without being asked to may be billed, and the error has its id."""
    pending = status(200, b'{"generation_id": "Gx-1", "status": "pending"}')
    async with RawServer(status(200, b'{"generation_id": "Gx-1"}'), pending) as server:
        command = CommandLine(cli.folder, {**cli.env, "IDEOGRAM_BASE_URL": server.url})
        with command.start("v2", "generate-45", "a fox") as process:
            await server.wait_for_requests(2)
            process.send_signal(signal.SIGINT)
            _, err = await asyncio.to_thread(process.communicate, timeout=20)

    assert 130 == process.returncode
    assert "Interrupted.\n  It may have been billed. The call was sent: the generation Gx-1 continues" in err


def test_a_poll_with_only_an_error(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Its job is unfinished, without the advice of a call that was rejected."""
    cli.write("jobs.jsonl", {"operation": "v2 generate-45", "id": "fox", "prompt": "a fox"})
    error = Fault.status(200, {"status": "completed", "error": "the images are lost"})
    ideogram_sandbox.fail("GET /v2/generations/{generation_id}", fault=error)
    completed = cli("batch", "run", "jobs.jsonl", "out")

    assert 4 == completed.code
    assert "the images are lost\n" in completed.out
    assert "0.10 USD if it succeeds.\n" in completed.out


def test_a_setting_of_accept_that_is_invalid(cli: CommandLine):
    """It is a usage error that names the option and its values."""
    cli.write("jobs.jsonl", {"prompt": "a fox"})
    completed = cli("batch", "run", "jobs.jsonl", "out", "--accept", "sometimes")

    assert 2 == completed.code
    assert "--accept must be 'auto', 'never', 'always', or a URL with {key}" in completed.err
    assert not (cli.folder / "out").exists()
