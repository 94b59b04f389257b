"""Warnings of the library's log on the command line."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from support.commands import CommandLine, Completed, Invoke, generate
from support.disks import fill
from support.folders import image, job, journal_path, write_folder

from ideogram_async import ImageState, JobState
from ideogram_async._batch.journal.counter import create_counter
from ideogram_async.sandbox import Sandbox

LOSS = "has lost records: 1 of 1 calls that were sent are not in it"
COMMANDS = {
    "status": ("batch", "status", "out"),
    "collect": ("batch", "collect", "out"),
    "export": ("batch", "export", "out", "jobs.csv"),
    "gallery": ("batch", "gallery", "out"),
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_lost_records_are_told_once(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    """A command that reads such a folder states the loss and the ways to continue, in one line."""
    lose_a_record(cli)

    completed = cli(*arguments)

    assert 0 == completed.code
    assert completed.err.startswith(f"! out/.ideogram/journal.sqlite3 {LOSS}. Restore the folder from a backup")
    assert "(--accept-loss)" in completed.err
    assert 1 == completed.err.count("\n")


def test_an_accepted_loss_is_told_once(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """Without `--accept-loss` nothing is sent. With it the jobs that are not on record are sent, and one line warns."""
    lose_a_record(cli)

    refused = cli("batch", "run", "jobs.jsonl", "out")
    sent = len(ideogram_sandbox.requests)
    accepted = cli("batch", "run", "jobs.jsonl", "out", "--accept-loss")
    again = cli("batch", "run", "jobs.jsonl", "out")

    assert (2, 1, 2) == (refused.code, sent, len(ideogram_sandbox.requests))
    assert (0, 0, "") == (accepted.code, again.code, again.err)
    assert f"! out/.ideogram/journal.sqlite3 {LOSS}; calls that are not recorded may be billed again\n" == accepted.err


def test_a_warning_as_json(cli: CommandLine) -> None:
    """With `--json` it is a line of JSON in the error stream: the output contains the command's own result alone."""
    lose_a_record(cli)

    completed = cli("batch", "status", "out", "--json")
    warning = json.loads(completed.err)

    assert ["Report"] == [event["event"] for event in completed.events]
    assert ("Warning", "WARNING") == (warning["event"], warning["level"])
    assert LOSS in warning["message"]


def test_a_warning_cannot_control_the_terminal(invoke: Invoke) -> None:
    """Control characters in it are escaped."""
    folder = Path("out\x1b[31m")
    write_folder(folder, [job(1)])
    (folder / ".ideogram" / "sends").write_bytes(b"damaged")

    completed = invoke("batch", "status", folder)

    assert completed.err.startswith("! out\\x1b[31m/.ideogram/sends is damaged")
    assert "\x1b" not in completed.err


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["text", "json"])
def test_an_answer_that_cannot_be_recorded_has_its_link_in_the_error_stream(
    cli: CommandLine, ideogram_sandbox: Sandbox, small_disk: Path, arguments: tuple[str, ...]
) -> None:
    """It is printed when it arrives, since the folder does not contain it."""
    completed = run_on_full_disk(cli, ideogram_sandbox, small_disk, *arguments)

    assert 4 == completed.code
    assert 1 == completed.err.count("/api/images/ephemeral/")
    assert "job fox: the reply (status 200, billed) could not be recorded" in completed.err
    assert arguments or "adopt --url LINK" in completed.out


def run_on_full_disk(cli: CommandLine, sandbox: Sandbox, disk: Path, *arguments: str) -> Completed:
    cli.write("jobs.jsonl", generate("fox"))
    sandbox.hold()
    with cli.start("batch", "run", "jobs.jsonl", disk / "out", *arguments) as process:
        asyncio.run(asyncio.wait_for(sandbox.wait_for_requests(1), 20))
        fill(disk)
        sandbox.release()
        out, err = process.communicate(timeout=20)

    return Completed(process.returncode, out, err)


def lose_a_record(cli: CommandLine) -> None:
    """Run a job, then remove its image and its record."""
    cli.write("jobs.jsonl", generate("fox"))
    assert 0 == cli("batch", "run", "jobs.jsonl", "out").code
    (cli.folder / "out" / "fox-0.png").unlink()
    with sqlite3.connect(journal_path(cli.folder / "out")) as database:
        for statement in ("DELETE FROM image", "DELETE FROM job", "UPDATE meta SET value = '0' WHERE name = 'sends'"):
            database.execute(statement)

    database.close()


@pytest.mark.parametrize("content", [None, b"x"], ids=["missing", "one byte"])
def test_a_journal_that_is_gone(invoke: Invoke, content: bytes | None) -> None:
    """The error says so, not that the folder is none of a batch, and names the ways to continue."""
    write_folder(Path("out"), [job(1)])
    create_counter(Path("out/.ideogram/sends"), 1)
    for path in Path("out/.ideogram").glob("journal.sqlite3*"):
        path.unlink()

    if content is not None:
        journal_path(Path("out")).write_bytes(content)

    completed = invoke("batch", "status", "out")
    loss = "is missing, although the folder has been used" if content is None else "is damaged: its size is 1 bytes"

    assert 2 == completed.code
    assert completed.err.startswith(f"✗ out/.ideogram/journal.sqlite3 {loss}\n")
    assert "(--accept-loss)" in completed.err


def test_a_folder_that_cannot_be_locked(invoke: Invoke) -> None:
    """A job is not resolved, and the folder is what cannot be used."""
    write_folder(Path("out"), [job(1, JobState.AMBIGUOUS, id="fox")])
    Path("out/.ideogram/lock").mkdir()

    completed = invoke("batch", "resolve", "out", "fox", "lost")

    assert (2, "") == (completed.code, completed.out)
    assert "out cannot be used: Is a directory\n  Nothing was billed. The job is unchanged.\n" in completed.err


def test_a_deleted_image_has_its_command(invoke: Invoke) -> None:
    """The report of a folder names the command that downloads what is missing, though no job has failed."""
    finished = job(1, id="fox")
    write_folder(Path("out"), [finished], [image(finished, state=ImageState.LINKED)])

    completed = invoke("batch", "status", "out")

    assert 4 == completed.code
    assert "Download what is missing with: ideogram-async batch collect out" in completed.out
