"""Lock of a batch folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.batches import TIMEOUT, make_jobs, run_batch

from ideogram_async import (
    BatchLockedError,
    Ideogram,
)
from ideogram_async._batch.journal.lock import FolderLock, is_locked
from ideogram_async.sandbox import Sandbox


def test_one_process_holds_a_folder(tmp_path: Path):
    """A second process is refused at once with the id of the holder; after the release the folder is free."""
    first = FolderLock(tmp_path / ".ideogram" / "lock")
    (tmp_path / ".ideogram").mkdir()
    first.acquire()
    with pytest.raises(BatchLockedError, match=f"{tmp_path} is locked by process {os.getpid()}"):
        FolderLock(tmp_path / ".ideogram" / "lock").acquire()

    first.release()
    FolderLock(tmp_path / ".ideogram" / "lock").acquire().release()

    assert 0o600 == (tmp_path / ".ideogram" / "lock").stat().st_mode & 0o777


def test_a_disk_that_fails_leaves_no_lock(tmp_path: Path):
    """The folder is held although the holder's name cannot be written, and free after the release."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    lock = FolderLock(tmp_path / "lock")
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        lock.acquire()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert is_locked(tmp_path / "lock")

    lock.release()

    assert not is_locked(tmp_path / "lock")


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path):
    """A release frees the lock while a child that was forked before is still alive."""
    lock = FolderLock(tmp_path / "lock").acquire()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        theirs.send(b"alive")
        theirs.recv(1)
        os._exit(0)

    with ours, theirs:
        ours.recv(5)
        lock.release()
        again = FolderLock(tmp_path / "lock").acquire()
        again.release()
        ours.send(b".")

    assert (child, 0) == os.waitpid(child, 0)


def test_a_child_of_a_killed_process_does_not_hold_the_lock(tmp_path: Path):
    """The lock is free once the owner is killed."""
    script = f"""if True:
        import os, signal, time
        from pathlib import Path
        from ideogram_async._batch.journal.lock import FolderLock
        lock = FolderLock(Path({str(tmp_path)!r}) / "lock").acquire()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.closerange(0, 3)
            os.write(writer, b"x")
            time.sleep(30)
            os._exit(0)
        os.read(reader, 1)
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    owner = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    child = int(owner.stdout)
    lock = FolderLock(tmp_path / "lock").acquire()
    os.kill(child, 0)
    lock.release()
    os.kill(child, 9)


async def test_a_second_batch_finds_the_folder_locked(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It is refused at once and sends nothing, and the first batch continues."""
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(3), tmp_path) as batch:
        await sandbox.wait_for_requests(3)
        with pytest.raises(BatchLockedError, match=f"locked by process {os.getpid()}"):
            await run_batch(client, make_jobs(10), tmp_path)

        sandbox.release()
        results = [result async for result in batch]

    assert (3, 3) == (len(results), len(sandbox.requests))


def test_checking_the_lock_does_not_acquire_it(tmp_path: Path):
    """The check is true only while the lock is held, and false if there is no lock file."""
    path = tmp_path / "lock"
    before = is_locked(path)
    lock = FolderLock(path).acquire()
    during = is_locked(path)
    lock.release()

    assert (False, True, False) == (before, during, is_locked(path))


def test_checking_the_lock_refuses_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A lock that is held for a moment is retried; one that stays held is refused."""
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as checking:
        fcntl.flock(checking, fcntl.LOCK_SH)
        with pytest.raises(BatchLockedError):
            FolderLock(tmp_path / "lock").acquire()

        monkeypatch.setattr("time.sleep", lambda seconds: fcntl.flock(checking, fcntl.LOCK_UN))
        FolderLock(tmp_path / "lock").acquire().release()
