"""Folder of a batch on a full or read-only disk, and of another service."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.batches import collect, count_images, make_jobs, run_batch
from support.clients import fast_limiter
from support.leaks import files_below
from support.pictures import picture

from ideogram_async import Ideogram, JobResult, JobState, JournalError
from ideogram_async._batch.journal.counter import COUNTER, SendCounter, read_counter
from ideogram_async._batch.workspace import Workspace
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox import images as origin


def draw_padded(size: int) -> Any:
    def draw(recipe: Any, image_format: str) -> bytes:
        return picture(image_format, size=(64 + recipe.seed % 64, 48), length=size)

    return draw


async def test_a_full_disk_stops_the_batch_and_loses_nothing(
    client: Ideogram, sandbox: Sandbox, small_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nothing more is sent. Once there is space, all billed images are stored without a new call."""
    monkeypatch.setattr(origin, "draw", draw_padded(150_000))
    folder = small_disk / "out"
    report = await run_batch(client, make_jobs(200), folder)
    sent = len(sandbox.requests)

    assert report.stopped is not None
    assert "No space left on device" in report.stopped
    assert sent < 100

    # The full disk is noticed when the batch opens, or at the first image, when other calls may be in flight.
    with suppress(OSError):
        assert "No space left on device" in str(await run_batch(client, make_jobs(200), folder))

    assert len(sandbox.requests) <= sent + 10
    sent = len(sandbox.requests)

    # A job may have stayed unsent on the full disk while a later one was sent, so all 200 are in the input.
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    report = await run_batch(client, make_jobs(200), folder)

    assert 200 == len(sandbox.requests) == count_images(folder) + len(report.ambiguous)
    assert [] == sandbox.ledger.duplicates


async def test_a_journal_that_does_not_fit_stops_the_batch(client: Ideogram, sandbox: Sandbox, small_disk: Path):
    """Nothing more is sent if the journal cannot grow, and the batch resumes once there is space."""
    folder = small_disk / "out"
    await run_batch(client, make_jobs(1), folder)
    disk = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(disk.f_bavail * disk.f_frsize - 4096 * 12))
    report = await run_batch(client, make_jobs(300), folder)
    answered = report.by_state.get(JobState.ANSWERED, 0)

    assert "No space left on device" in (report.stopped or "")
    assert len(sandbox.ledger.entries) <= count_images(folder) + len(report.ambiguous) + answered

    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    report = await run_batch(client, make_jobs(60), folder)

    assert 60 == count_images(folder) + len(report.ambiguous)
    assert [] == sandbox.ledger.duplicates


async def test_a_full_disk_refuses_no_counting(client: Ideogram, sandbox: Sandbox, small_disk: Path):
    """The counter is overwritten in place: it is never what a full disk refuses first."""
    folder = small_disk / "out"
    await run_batch(client, make_jobs(1), folder)
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))

    assert 0 == os.statvfs(small_disk).f_bavail

    counter = SendCounter(folder / ".ideogram" / COUNTER)
    counter.write(7)
    counter.close()

    assert 7 == read_counter(folder / ".ideogram" / COUNTER).sends


async def test_a_folder_that_cannot_be_written_costs_nothing(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A file at the path of the folder is detected before anything is sent."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(OSError, match=r"."):
            await run_batch(client, make_jobs(1), folder)

    assert [] == sandbox.requests


async def test_a_read_only_disk_costs_nothing(client: Ideogram, sandbox: Sandbox, small_disk: Path):
    """It is detected before anything is sent."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only"):
        await run_batch(client, make_jobs(1), small_disk)

    assert [] == sandbox.requests


async def test_a_journal_of_another_service_is_refused(sandbox: Sandbox, client: Ideogram, tmp_path: Path):
    """A folder of the sandbox cannot be used with the service, and nothing is sent."""
    await run_batch(client, make_jobs(1), tmp_path)
    async with Ideogram("key", limiter=fast_limiter()) as other:
        with pytest.raises(JournalError, match="belongs to sandbox"):
            await run_batch(other, make_jobs(1), tmp_path)


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
async def test_a_journal_that_cannot_be_opened_is_refused(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, kind: str
):
    """No new journal is created: the recorded jobs may be temporarily unreachable."""
    await collect(client, make_jobs(1), tmp_path)
    journal = tmp_path / ".ideogram" / "journal.sqlite3"
    journal.unlink()
    if kind == "folder":
        journal.mkdir()
    else:
        journal.symlink_to(tmp_path / "away" / "journal.sqlite3")

    with pytest.raises(JournalError, match="cannot be read or written"):
        await collect(client, make_jobs(1), tmp_path)

    assert 1 == len(sandbox.requests)


async def test_the_key_is_in_no_file(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Neither the journal nor a sidecar contains the key, and only the owner can read the journal."""
    async with client.batch(make_jobs(3), tmp_path, sidecars=True) as batch:
        results: list[JobResult] = [result async for result in batch]
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        contents = [path.read_bytes() for path in files]
        modes = {path.stat().st_mode & 0o777 for path in files if ".ideogram" in path.parts}

    assert 3 == len(results)
    assert not any(b"canary" in content for content in contents)
    assert ({0o600}, 0o700) == (modes, (tmp_path / ".ideogram").stat().st_mode & 0o777)


def test_an_error_while_opening_leaves_the_folder_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After any failure the lock is released, and no file is open."""

    def fail(folder: Path) -> None:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr("ideogram_async._batch.workspace.remove_stale_files", fail)
        Workspace.open(tmp_path, origin="sandbox")

    assert [] == files_below(tmp_path)

    Workspace.open(tmp_path, origin="sandbox").journal.close()


def test_the_probe_of_a_folder_follows_no_link(tmp_path: Path):
    """A file that a link of that name leads to keeps its content."""
    (tmp_path / "own").write_bytes(b"kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".ideogram-probe").symlink_to(tmp_path / "own")
    with pytest.raises(OSError, match="symbolic links"):
        Workspace.open(tmp_path / "out", origin="sandbox")

    assert b"kept" == (tmp_path / "own").read_bytes()


def test_an_error_of_the_disk_names_the_folder(tmp_path: Path):
    """Also the error of a write, which has no name of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path}'"):
            Workspace.open(tmp_path, origin="sandbox")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
