"""One process at a time writes a folder."""

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

PATIENCE = (0.002, 0.02, 0.1)

"""Seconds between two tries: who only looks whether a folder is taken holds it for a moment, too."""

_held: WeakSet[FolderLock] = WeakSet()


class FolderLock:
    """Holds a folder. The lock is the `flock`, never the file's existence nor what stands in it.

    It is free again when its process ends, however it ends. A forked child lets go of it at once, so that a child that
    lives on cannot keep the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def take(self) -> Self:
        """Take it.

        Raises:
            BatchLockedError: If another process holds it; the error says which.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _taken(handle):
            owner = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise BatchLockedError(f"{self._path.parent.parent} is in use by {owner or 'another process'}")

        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {platform.node()} since {_now()}\n".encode(), 0)
        self._handle = handle
        _held.add(self)
        return self

    def release(self) -> None:
        """Let go of it. Twice is fine."""
        handle, self._handle = self._handle, -1
        _held.discard(self)
        if handle >= 0:
            os.close(handle)


def is_taken(path: Path) -> bool:
    """Say whether a process holds the folder of that lock; where nothing can be told, one may."""
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


def _taken(handle: int) -> bool:
    """Take the lock; `False` if another process keeps it."""
    for pause in (*PATIENCE, None):
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True

        if pause is not None:
            time.sleep(pause)

    return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _forget() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget)
