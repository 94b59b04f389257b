"""A batch that is killed loses no image and never pays twice, by the ledger of a sandbox in its own process."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.batch_program import run, run_both
from support.batches import count_images
from support.paths import SUPPORT
from support.sandbox_process import SandboxProcess

from ideogram_async import JobState, Report
from ideogram_async._batch.accepting import MAX_SUBMISSIONS

pytestmark = pytest.mark.programs

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "5"))
STRIDE = int(os.environ.get("IDEOGRAM_ASYNC_STRIDE", "31"))
PROGRAM = SUPPORT / "batch_program.py"
LIMIT = 10
SUBMIT = "POST /v2/image/generate/ideogram-4-5"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(latency=[0.005, 0.06]) as sandbox:
        yield sandbox


def start(sandbox: SandboxProcess, folder: Path, jobs: int, *mode: int | str) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(PROGRAM), sandbox.url, str(folder), str(jobs), *map(str, mode)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    path = folder / ".ideogram" / "journal.sqlite3"
    if not path.exists():
        return []

    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        exists = database.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")] if exists else []


def keys_in(folder: Path, *states: str) -> set[str]:
    """Return the keys of the jobs in these states."""
    return {row["key"] for row in rows_of(folder, "job") if row["state"] in states}


def in_doubt(folder: Path) -> int:
    return sum(row["weight"] for row in rows_of(folder, "job") if row["state"] in ("sending", "ambiguous"))


def check(sandbox: SandboxProcess, folder: Path, before: int) -> int:
    """Compare the journal and the files of a killed batch with the ledger and return the images in doubt."""
    ledger, jobs = sandbox.ledger(), rows_of(folder, "job")
    sent = sum(row["state"] not in ("pending", "rejected") for row in jobs)
    unknown = in_doubt(folder)

    assert 0 == ledger["duplicates"]
    assert ledger["calls"] <= sent
    assert unknown - before <= LIMIT
    check_files(folder)
    return unknown


def check_files(folder: Path) -> None:
    """Check that all stored files are complete."""
    for image in rows_of(folder, "image"):
        if image["state"] == "stored":
            assert image["sha256"] == hashlib.sha256((folder / image["path"]).read_bytes()).hexdigest()

    for path in folder.glob("*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB\x60\x82")


def finish(sandbox: SandboxProcess, folder: Path, jobs: int, *, accept: bool = False) -> Report:
    """Run the batch to its end and check that each call is stored or listed as ambiguous."""
    report = asyncio.run(run(sandbox.url, folder, jobs, accept=accept))
    done = [row for row in rows_of(folder, "job") if row["state"] == "done"]

    assert jobs == len(done) + len(report.ambiguous)
    assert sum(row["weight"] for row in done) == report.images_stored == count_images(folder)
    assert [] == list(folder.glob(".*.part"))
    check(sandbox, folder, in_doubt(folder))
    return report


def kill_at_random(child: subprocess.Popen[str], rng: random.Random, latest: float = 0.9) -> bool:
    """Kill a process at a random moment. Return whether it had ended before."""
    try:
        child.wait(rng.uniform(0.35, latest))
    except subprocess.TimeoutExpired:
        child.kill()

    child.communicate()

    assert child.returncode in (0, -signal.SIGKILL)
    return child.returncode == 0


def test_random_kills_cost_nothing_twice(sandbox: SandboxProcess, tmp_path: Path):
    """Stored images stay, and each kill leaves at most the images in flight in doubt."""
    rng = random.Random(7)
    jobs, killed, number, ambiguous = 60, 0, 0, 0
    while killed < KILLS:
        sandbox.reset()
        folder, before, is_over = tmp_path / f"run-{number}", 0, False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(sandbox, folder, jobs), rng)
            killed += not is_over
            before = check(sandbox, folder, before)

        ambiguous += len(finish(sandbox, folder, jobs).ambiguous)

    sys.stdout.write(f"{killed} kills in {number} batches: {ambiguous} ambiguous calls, 0 paid twice, 0 images lost\n")


def test_random_kills_leave_at_most_four_submissions_in_doubt(sandbox: SandboxProcess, tmp_path: Path):
    """What the service has accepted is never in doubt, never sent again, and stored in the end."""
    rng = random.Random(17)
    jobs, killed, number, highest, ambiguous, resumed = 60, 0, 0, 0, 0, 0
    while killed < KILLS:
        sandbox.reset()
        if number % 2:
            # Slow acknowledgements: otherwise a kill hardly ever meets one.
            sandbox.control("faults", fault="drip", operation=SUBMIT, times=10**6, interval=0.001)

        folder, before, accepted, is_over = tmp_path / f"run-{number}", set[str](), set[str](), False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(sandbox, folder, jobs, "accept"), rng, 2.5)
            killed += not is_over
            unknown = keys_in(folder, "sending", "ambiguous")
            highest = max(highest, len(unknown - before))
            accepted |= keys_in(folder, "accepted")
            before |= unknown

            assert highest <= MAX_SUBMISSIONS
            assert not accepted & unknown
            check(sandbox, folder, in_doubt(folder))

        report = finish(sandbox, folder, jobs, accept=True)
        ledger, weight = sandbox.ledger(), sum(row.request.num_images for row in report.ambiguous)

        assert accepted <= keys_in(folder, "done")
        assert report.images_stored <= ledger["images"] <= report.images_stored + weight
        assert ledger["peak"] <= LIMIT
        ambiguous += len(report.ambiguous)
        resumed += len(accepted)

    sys.stdout.write(
        f"{killed} kills in {number} batches: {ambiguous} ambiguous jobs, at most {highest} at one kill;"
        f" {resumed} accepted jobs resumed, 0 paid twice, 0 images lost\n"
    )


def test_two_batches_of_one_client_share_the_bound_on_doubt(sandbox: SandboxProcess, tmp_path: Path):
    """A kill leaves no more images in doubt than the limit, in the folders of both batches together."""
    rng = random.Random(13)
    jobs, killed, number, highest = 40, 0, 0, 0
    while killed < KILLS:
        sandbox.reset()
        folders, before, is_over = [tmp_path / f"run-{number}" / name for name in ("a", "b")], 0, False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(sandbox, folders[0].parent, jobs, "both"), rng)
            killed += not is_over
            unknown = sum(map(in_doubt, folders))
            highest = max(highest, unknown - before)

            assert 0 == sandbox.ledger()["duplicates"]
            assert unknown - before <= LIMIT
            before = unknown
            for folder in folders:
                check_files(folder)

        reports = asyncio.run(run_both(sandbox.url, folders[0].parent, jobs))

        assert [jobs, jobs] == [report.by_state[JobState.DONE] + len(report.ambiguous) for report in reports]
        assert 0 == sandbox.ledger()["duplicates"]

    sys.stdout.write(f"{killed} kills in {number} pairs of batches: at most {highest} images in doubt, 0 paid twice\n")


def test_random_kills_lose_nothing_with_retry_ambiguous(sandbox: SandboxProcess, tmp_path: Path):
    """Each job is stored or was sent twice, and a kill costs at most the images in flight."""
    rng = random.Random(11)
    jobs, killed, number, resent = 60, 0, 0, 0
    weights = sum(1 + n % 3 for n in range(jobs))
    while killed < KILLS:
        sandbox.reset()
        folder, kills, is_over = tmp_path / f"run-{number}", 0, False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(sandbox, folder, jobs, "resend"), rng)
            killed, kills = killed + (not is_over), kills + (not is_over)
            check_files(folder)

            assert sandbox.ledger()["images"] <= weights + LIMIT * kills

        report = asyncio.run(run(sandbox.url, folder, jobs, resend=True))
        rows = rows_of(folder, "job")
        done = sum(row["weight"] for row in rows if row["state"] == "done")
        billed_again = sandbox.ledger()["images"] - done

        assert {"done"} == {row["state"] for row in rows if row["resends"] == 0}
        assert jobs == len(rows) == report.by_state[JobState.DONE] + len(report.ambiguous)
        assert done == report.images_stored == count_images(folder)
        assert billed_again <= LIMIT * kills
        check_files(folder)
        resent += billed_again

    sys.stdout.write(f"{killed} kills in {number} batches: {resent} images billed again, 0 images lost\n")


@pytest.mark.parametrize("mode", [[], ["accept"]], ids=["answered", "accepted"])
def test_a_kill_at_every_step_costs_nothing_twice(sandbox: SandboxProcess, tmp_path: Path, mode: list[str]):
    """A small batch that is killed before or after a write, a sync or a link resumes from there."""
    jobs = 5
    sandbox.reset()
    complete = start(sandbox, tmp_path / "complete", jobs, *mode)
    steps = int(complete.communicate()[0])
    for step in range(1, steps + 1, STRIDE):
        sandbox.reset()
        folder = tmp_path / str(step)
        child = start(sandbox, folder, jobs, *mode, step)
        child.communicate()
        check(sandbox, folder, 0)
        accepted = keys_in(folder, "accepted")
        finish(sandbox, folder, jobs, accept=bool(mode))

        assert accepted <= keys_in(folder, "done")

    sys.stdout.write(f"{len(range(1, steps + 1, STRIDE))} of {steps} steps\n")
