"""Folders and files as the disk keeps them: synced, compared, and never followed through a symbolic link.

Everything here blocks, and belongs in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

# Some file systems cannot sync a folder, and need not.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, durably. One that exists is fine.

    Raises:
        OSError: If it cannot be created, or is a file.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync_folder(fd)
        finally:
            os.close(fd)


def check_folder(folder: Path) -> None:
    """Fail as writing in a folder would.

    Raises:
        OSError: If it is missing or no folder, read only, or not ours to write.
    """
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
    fault = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(fault, os.strerror(fault), str(folder))


def sync(fd: int) -> None:
    """Wait until a file's data is safe. If this fails, trying again proves nothing: the data may have been dropped."""
    # On macOS fsync alone leaves the data in the drive's cache.
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(fd)
    else:
        fcntl.fcntl(fd, full_sync)


def forget(fd: int) -> None:
    """Let the system drop a file that is safe from its memory: thousands of images would push out all else there.

    What one image has taken then serves the next, which also costs the system less.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_folder(fd: int) -> None:
    """Wait until a folder's names are safe."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def exists(folder_fd: int, name: str) -> bool:
    """Tell whether a folder has a name, whatever it stands for."""
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False

    return True


def holds(folder_fd: int, name: str, size: int, digest: bytes) -> bool:
    """Tell whether a regular file holds these bytes. What cannot be read does not; a pipe is not waited for."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder_fd)
    except OSError:
        return False

    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False

        with os.fdopen(fd, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").digest() == digest
    finally:
        os.close(fd)
