"""Command `batch collect`, and how images that are still to be downloaded are shown."""

from __future__ import annotations

from pathlib import Path

from support.commands import CommandLine, Invoke, generate
from support.folders import image, job, write_folder

from ideogram_async import ImageState, JobState
from ideogram_async.sandbox import Fault, Sandbox


def test_exit_4_images_are_still_to_be_downloaded(cli: CommandLine, ideogram_sandbox: Sandbox, invoke: Invoke) -> None:
    """A run, a collection and a status say why an image is missing and how to get it, and exit with 4."""
    cli.write("jobs.jsonl", generate("fox", num_images=2))
    ideogram_sandbox.fail("images", times=999, fault=Fault.status(404))

    commands = [
        cli("batch", "run", "jobs.jsonl", "out"),
        cli("batch", "collect", "out"),
        invoke("batch", "status", "out"),
    ]

    for completed in commands:
        assert (4, "") == (completed.code, completed.err)
        assert "2 of 2 images still to be downloaded (the host refused the link before it expired)" in completed.out
        assert "Download what is missing with: ideogram-async batch collect out\n" in completed.out

    assert 1 == len(ideogram_sandbox.requests)


def test_images_are_collected_without_a_key(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """`collect` downloads an image that was billed and is not on disk, and sends no request."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")
    (cli.folder / "out" / "fox-0.png").unlink()
    env = {name: value for name, value in cli.env.items() if name != "IDEOGRAM_API_KEY"}

    collected = CommandLine(cli.folder, env)("batch", "collect", "out", "--json")

    assert (0, "") == (collected.code, collected.err)
    assert (cli.folder / "out" / "fox-0.png").exists()
    assert 1 == len(ideogram_sandbox.requests)


def test_a_report_that_cannot_be_written_goes_to_the_error_stream(cli: CommandLine):
    """Also where it is the first text of the command."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")

    completed = cli.shell('"$@" > /dev/full', "batch", "collect", "out")

    assert 4 == completed.code
    assert "1, all done" in completed.err


def test_a_folder_without_a_journal_is_refused(invoke: Invoke) -> None:
    """There is nothing to collect, and nothing is created."""
    completed = invoke("batch", "collect", "out")

    assert (2, "") == (completed.code, completed.out)
    assert "out does not exist" in completed.err
    assert not Path("out").exists()


def test_an_id_that_looks_like_an_option(invoke: Invoke) -> None:
    """The command to resolve it has `--` before the arguments, and the error without names it."""
    row, taken = job(1, JobState.AMBIGUOUS, id="-x"), job(2, JobState.ANSWERED)
    write_folder(Path("out"), [row, taken], [image(taken, state=ImageState.LINKED, problem="name_taken")])

    status, refused = invoke("batch", "status", "out"), invoke("batch", "resolve", "out", "-x", "lost")
    resolved = invoke("batch", "resolve", "out", "--", "-x", "lost")

    assert (4, 2, 0) == (status.code, refused.code, resolved.code)
    assert "ideogram-async batch resolve -- out -x lost|retry|adopt" in status.out
    assert "Move the other file away." in status.out
    assert "1, all" not in status.out
    assert "If it is not an option, put -- before it." in refused.err
