"""Durable file operations that never follow a symbolic link. They block: run them in a thread."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from pathlib import Path

# Error codes of a file system that does not support the operation.
UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Create a folder and its parents durably. Do nothing if it exists.

    Args:
        folder: The folder to create.
        mode: Permissions of the folder, before the umask.

    Raises:
        OSError: If it cannot be created, or is a file.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Raise the error that writing in a folder would raise.

    Raises:
        OSError: If it is missing, is not a folder, or cannot be written.
    """
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
    code = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(code, os.strerror(code), str(folder))


def sync(fd: int) -> None:
    """Wait until a file's data is durable. Never retry it after an error: the system may have dropped the data."""
    # On macOS, fsync alone leaves the data in the drive's cache.
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        try:
            fcntl.fcntl(fd, full_sync)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
        else:
            return

    os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """Wait until the entries of a folder are durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_names(fd)
    finally:
        os.close(fd)


def sync_names(folder_fd: int) -> None:
    """Wait until the entries of an open folder are durable. Does nothing if the file system cannot sync folders."""
    try:
        os.fsync(folder_fd)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def exists(folder_fd: int, name: str) -> bool:
    """Return whether a folder contains an entry with that name."""
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False

    return True


def has_content(folder_fd: int, name: str, size: int, digest: bytes) -> bool:
    """Return whether a regular file has this content. `False` if it cannot be read. Never waits for a pipe."""
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
