"""One process at a time writes a folder."""

from __future__ import annotations

import fcntl
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from weakref import WeakSet

from ideogram_async.errors.batch import BatchLockedError

__all__ = ["FolderLock"]

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
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            raise BatchLockedError(f"{self._path.parent.parent} is in use by {owner or 'another process'}") from None

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _forget() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget)
