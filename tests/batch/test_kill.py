"""A batch that is killed loses nothing and pays for nothing twice. The judge sits in a process of its own."""

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
from support.judge import Judge
from support.killed import run, run_both
from support.paths import SUPPORT

from ideogram_async import JobState, Report

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "12"))
STRIDE = int(os.environ.get("IDEOGRAM_ASYNC_STRIDE", "17"))
SCRIPT = SUPPORT / "killed.py"
LIMIT = 10


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(latency=[0.005, 0.06]) as judge:
        yield judge


def start(judge: Judge, folder: Path, jobs: int, *how: int | str) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(SCRIPT), judge.url, str(folder), str(jobs), *map(str, how)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    path = folder / ".ideogram" / "journal.sqlite3"
    if not path.exists():
        return []

    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        is_made = database.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")] if is_made else []


def in_doubt(folder: Path) -> int:
    return sum(row["weight"] for row in rows_of(folder, "job") if row["state"] in ("sending", "ambiguous"))


def check(judge: Judge, folder: Path, before: int) -> int:
    """Hold what a kill has left against the ledger; returns the images in doubt."""
    ledger, jobs = judge.ledger(), rows_of(folder, "job")
    known = sum(row["state"] not in ("pending", "rejected") for row in jobs)
    doubtful = in_doubt(folder)

    assert 0 == ledger["duplicates"]
    assert ledger["calls"] <= known
    assert doubtful - before <= LIMIT
    check_files(folder)
    return doubtful


def check_files(folder: Path) -> None:
    """See that what is stored stands whole."""
    for image in rows_of(folder, "image"):
        if image["state"] == "stored":
            assert image["sha256"] == hashlib.sha256((folder / image["path"]).read_bytes()).hexdigest()

    for path in folder.glob("*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB\x60\x82")


def finish(judge: Judge, folder: Path, jobs: int) -> Report:
    """Run to the end, and see that every call is stored, or listed as in doubt."""
    report = asyncio.run(run(judge.url, folder, jobs))
    done = [row for row in rows_of(folder, "job") if row["state"] == "done"]

    assert jobs == len(done) + len(report.ambiguous)
    assert sum(row["weight"] for row in done) == report.images_stored == len(list(folder.glob("*.png")))
    assert [] == list(folder.glob(".*.part"))
    check(judge, folder, in_doubt(folder))
    return report


def kill_at_random(child: subprocess.Popen[str], rng: random.Random) -> bool:
    """Kill a process some time after it has begun; says whether it had ended before."""
    try:
        child.wait(rng.uniform(0.35, 0.9))
    except subprocess.TimeoutExpired:
        child.kill()

    child.communicate()

    assert child.returncode in (0, -signal.SIGKILL)
    return child.returncode == 0


def test_random_kills_cost_nothing_twice(judge: Judge, tmp_path: Path):
    """However often a batch is killed: what is stored stays, and a kill leaves no more in doubt than was in flight."""
    rng = random.Random(7)
    jobs, killed, number, doubts = 60, 0, 0, 0
    while killed < KILLS:
        judge.reset()
        folder, before, is_over = tmp_path / f"run-{number}", 0, False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(judge, folder, jobs), rng)
            killed += not is_over
            before = check(judge, folder, before)

        doubts += len(finish(judge, folder, jobs).ambiguous)

    sys.stdout.write(f"{killed} kills in {number} batches: {doubts} calls in doubt, 0 paid twice, 0 images lost\n")


def test_two_batches_of_one_client_share_the_bound_on_doubt(judge: Judge, tmp_path: Path):
    """A kill leaves no more images in doubt than the limit, in the folders of both batches together."""
    rng = random.Random(13)
    jobs, killed, number, most = 40, 0, 0, 0
    while killed < KILLS:
        judge.reset()
        folders, before, is_over = [tmp_path / f"run-{number}" / name for name in ("a", "b")], 0, False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(judge, folders[0].parent, jobs, "both"), rng)
            killed += not is_over
            doubtful = sum(map(in_doubt, folders))
            most = max(most, doubtful - before)

            assert 0 == judge.ledger()["duplicates"]
            assert doubtful - before <= LIMIT
            before = doubtful
            for folder in folders:
                check_files(folder)

        reports = asyncio.run(run_both(judge.url, folders[0].parent, jobs))

        assert [jobs, jobs] == [report.by_state[JobState.DONE] + len(report.ambiguous) for report in reports]
        assert 0 == judge.ledger()["duplicates"]

    sys.stdout.write(f"{killed} kills in {number} pairs of batches: at most {most} images in doubt, 0 paid twice\n")


def test_random_kills_lose_nothing_with_retry_ambiguous(judge: Judge, tmp_path: Path):
    """With `retry_ambiguous` every job is stored or was sent twice, and a kill costs what was in flight at most."""
    rng = random.Random(11)
    jobs, killed, number, extra = 60, 0, 0, 0
    weights = sum(1 + n % 3 for n in range(jobs))
    while killed < KILLS:
        judge.reset()
        folder, kills, is_over = tmp_path / f"run-{number}", 0, False
        number += 1
        while killed < KILLS and not is_over:
            is_over = kill_at_random(start(judge, folder, jobs, "again"), rng)
            killed, kills = killed + (not is_over), kills + (not is_over)
            check_files(folder)

            assert judge.ledger()["images"] <= weights + LIMIT * kills

        report = asyncio.run(run(judge.url, folder, jobs, again=True))
        rows = rows_of(folder, "job")
        done = sum(row["weight"] for row in rows if row["state"] == "done")
        paid_again = judge.ledger()["images"] - done

        assert {"done"} == {row["state"] for row in rows if row["resends"] == 0}
        assert jobs == len(rows) == report.by_state[JobState.DONE] + len(report.ambiguous)
        assert done == report.images_stored == len(list(folder.glob("*.png")))
        assert paid_again <= LIMIT * kills
        check_files(folder)
        extra += paid_again

    sys.stdout.write(f"{killed} kills in {number} batches: {extra} images paid again, 0 images lost\n")


def test_a_kill_at_every_step_costs_nothing_twice(judge: Judge, tmp_path: Path):
    """Wherever on disk a small batch dies, before or after a step, it goes on from there."""
    jobs = 5
    judge.reset()
    whole = start(judge, tmp_path / "whole", jobs)
    steps = int(whole.communicate()[0])
    for step in range(1, steps + 1, STRIDE):
        judge.reset()
        folder = tmp_path / str(step)
        child = start(judge, folder, jobs, step)
        child.communicate()
        check(judge, folder, 0)
        finish(judge, folder, jobs)

    sys.stdout.write(f"{len(range(1, steps + 1, STRIDE))} of {steps} steps\n")
