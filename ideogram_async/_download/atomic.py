"""Atomic file creation: write to a temporary name, sync, then link or rename.

A temporary file is locked while it is written, so that `remove_stale_files` removes only those of dead processes.
Everything here blocks: run it in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import BinaryIO

from attrs import frozen

from ideogram_async._download.disk import exists, has_content, sync, sync_names
from ideogram_async._download.held import HeldFolder
from ideogram_async.errors import FileConflictError

PART_NAME = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)

# Error codes of `link` if the file system does not support or permit hard links, or the file has too many.
NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@frozen
class CommittedFile:
    """A complete file at its final path."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    already_present: bool
    """Whether a file with the same bytes was there before."""


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o666, folder: HeldFolder | None = None) -> Generator[BinaryIO, None, None]:
    """Write a temporary file, and replace `path` with it if the block ends without an error.

    A power failure leaves the old file or the new one, never a mix. Call `sync_folder` to make the new name durable; it
    is too slow for thousands of thumbnails.

    Args:
        path: The file to create or replace.
        mode: Permissions of the new file, before the umask.
        folder: The folder of the path, if it is held open.

    Raises:
        OSError: If the folder cannot be written, or the path is a folder.
    """
    part = PartFile(folder or path.parent, path.name, mode)
    try:
        try:
            _, fd = part.open()
        except OSError as error:
            # Users know the path, not the temporary name.
            raise OSError(error.errno, error.strerror, str(path)) from None

        with os.fdopen(fd, "wb", closefd=False) as file:
            yield file

        part.replace(path.name)
    finally:
        part.discard()


class PartFile:
    """A temporary file `.<stem>.<random>.part` in the folder of its final path.

    It is created by the first write. Methods block and may be called from several threads: a lock serializes them, so
    `discard` is safe during a write. Afterwards every call raises `ValueError`.
    """

    def __init__(self, folder: Path | HeldFolder, stem: str, mode: int = 0o666) -> None:
        self.is_over: bool = False
        """Whether it was committed or discarded."""
        self._folder = folder
        self._stem = stem
        self._name = ""
        self._mode = mode
        self._lock = RLock()
        self._fds: tuple[int, int] | None = None
        self._size = 0
        self._digest = hashlib.sha256()

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._size

    def open(self) -> tuple[int, int]:
        """Create the file unless it exists, and return the descriptors of its folder and of itself.

        Raises:
            OSError: If the folder is missing or cannot be written.
        """
        with self._lock:
            if self.is_over:
                raise ValueError("the part file is closed")

            if self._fds is None:
                self._name, self._fds = _create(self._folder, self._stem, self._mode)
                # The only way to read the umask without changing it for all threads.
                self._mode = stat.S_IMODE(os.fstat(self._fds[1]).st_mode)
                os.fchmod(self._fds[1], 0o600)

            return self._fds

    def write(self, block: Iterable[bytes]) -> None:
        """Append a block.

        Raises:
            OSError: If the block cannot be written, for example because the disk is full.
        """
        with self._lock:
            _, fd = self.open()
            content = b"".join(block)
            remaining = memoryview(content)
            while remaining:
                # A disk that fills up accepts a part without an error; the next write raises it.
                remaining = remaining[os.write(fd, remaining) :]

            self._size += len(content)
            self._digest.update(content)

    def commit(self, name: str, last: Iterable[bytes] = ()) -> CommittedFile:
        """Append the last block, make the file durable, and link it as `name`. Never overwrites a file.

        Raises:
            FileConflictError: If `name` exists with different content.
            OSError: If the disk fails. A failed sync is not repeated: the system may have dropped the data.
        """
        with self._lock:
            self.write(last)
            folder_fd = self._sync()
            is_new = self._publish(folder_fd, name)
            sync_names(folder_fd)
            self._close()
            return CommittedFile(self._path_of(name), self._size, self._digest.hexdigest(), not is_new)

    def replace(self, name: str) -> None:
        """Make the content durable and rename the file to `name`. Overwrites a file.

        Raises:
            OSError: If the disk fails, or `name` is a folder.
        """
        with self._lock:
            self._rename(self._sync(), name)
            self._close()

    def move(self, folder_fd: int, name: str, last: Iterable[bytes] = ()) -> None:
        """Append a block, and move the file to another folder, readable by its owner only.

        Overwrites a file. The content is not made durable.

        Raises:
            OSError: If the disk is full, or the folder is on another file system.
        """
        with self._lock:
            self.write(last)
            own_fd, fd = self.open()
            os.fchmod(fd, 0o600)
            os.rename(self._name, name, src_dir_fd=own_fd, dst_dir_fd=folder_fd)
            self._close()

    def discard(self) -> None:
        """Remove the file unless it was committed. Waits for a running step. Calling it twice is harmless."""
        with self._lock:
            # A failed removal must not hide the error that caused it.
            with suppress(OSError):
                if self._fds is not None:
                    os.unlink(self._name, dir_fd=self._fds[0])

            self._close()

    def _sync(self) -> int:
        """Make the content durable and return the folder's descriptor."""
        folder_fd, fd = self.open()
        os.fchmod(fd, self._mode)
        sync(fd)
        return folder_fd

    def _close(self) -> None:
        self.is_over = True
        fds, self._fds = self._fds or (), None
        for fd in fds:
            os.close(fd)

    def _publish(self, folder_fd: int, name: str) -> bool:
        """Set the final name of the file. Return `False` if a file with that name and content exists."""
        is_linked = self._link(folder_fd, name)
        if is_linked is None:
            # The folder's lock keeps other processes from creating the name in between. Closing the folder releases it.
            fcntl.flock(folder_fd, fcntl.LOCK_EX)
            if not exists(folder_fd, name):
                self._rename(folder_fd, name)
                return True

        if not is_linked and not has_content(folder_fd, name, self._size, self._digest.digest()):
            path = self._path_of(name)
            hint = "" if path.suffix else "; a target that is a folder ends in /"
            message = f"{path} already exists with different content; it was not overwritten{hint}"
            raise FileConflictError(message, path=path)

        os.unlink(self._name, dir_fd=folder_fd)
        return bool(is_linked)

    def _path_of(self, name: str) -> Path:
        return (self._folder.path if isinstance(self._folder, HeldFolder) else self._folder) / name

    def _rename(self, folder_fd: int, name: str) -> None:
        os.rename(self._name, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)

    def _link(self, folder_fd: int, name: str) -> bool | None:
        """Create a hard link. Return `False` if the name exists, `None` if hard links are not available."""
        try:
            os.link(self._name, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise

            return None

        return True


def remove_stale_files(folder: Path) -> None:
    """Remove the temporary files of processes that died while writing. Locked files are kept."""
    with suppress(OSError):
        for path in folder.iterdir():
            if PART_NAME.fullmatch(path.name):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(fd)


def open_folder(folder: Path | HeldFolder) -> int:
    """Return a new descriptor of a folder."""
    if isinstance(folder, HeldFolder):
        return folder.open()

    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _create(folder: Path | HeldFolder, stem: str, mode: int) -> tuple[str, tuple[int, int]]:
    """Create and lock a temporary file. Return its name and the descriptors of the folder and the file."""
    folder_fd = open_folder(folder)
    # Shortened, so that the suffix fits after the longest name that a file may have.
    short = os.fsencode(stem)[:100].decode(errors="ignore")
    try:
        while True:
            name = f".{short}.{secrets.token_hex(8)}.part"
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder_fd)
            # On a file system without locks, `remove_stale_files` removes nothing.
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX)

            if exists(folder_fd, name):
                return name, (folder_fd, fd)

            # Another process removed it before it was locked.
            os.close(fd)
    except BaseException:
        os.close(folder_fd)
        raise
