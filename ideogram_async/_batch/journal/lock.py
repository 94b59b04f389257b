"""Lock of a batch folder: one process writes it at a time."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from weakref import WeakSet

from ideogram_async.errors import BatchLockedError

LOCK_RETRY_DELAYS = (0.002, 0.02, 0.1)
"""Seconds between attempts: `is_locked` holds the lock for a moment, too."""

_held: WeakSet[FolderLock] = WeakSet()


class FolderLock:
    """An exclusive lock on a folder: a held `flock`, not the existence or content of the file.

    The kernel releases it when the process ends, even by SIGKILL. A forked child releases it at once, so that a child
    that outlives its parent cannot keep the folder locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def acquire(self) -> Self:
        """Acquire the lock.

        Raises:
            BatchLockedError: If another process holds it; the message names that process.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _try_lock(handle):
            owner = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise BatchLockedError(f"batch folder {self._path.parent.parent} is locked by {owner or 'another process'}")

        # What follows only informs other processes: an error must not leave the lock with a descriptor that is lost.
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {platform.node()} since {_now()}\n".encode(), 0)

        self._handle = handle
        _held.add(self)
        return self

    def release(self) -> None:
        """Release the lock. Releasing it twice is harmless."""
        handle, self._handle = self._handle, -1
        _held.discard(self)
        if handle >= 0:
            os.close(handle)


def is_locked(path: Path) -> bool:
    """Return whether a process may hold the lock. A lock file that cannot be opened counts as held."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)

    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)

    return False


def _try_lock(handle: int) -> bool:
    """Acquire the lock; return `False` if another process keeps it."""
    for pause in (*LOCK_RETRY_DELAYS, None):
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True

        if pause is not None:
            time.sleep(pause)

    return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_all)
