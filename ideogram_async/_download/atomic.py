"""Puts a file at its place whole or not at all: it grows under another name, and is linked when it is safe on disk.

Everything here blocks, and belongs in a thread.
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

from ideogram_async._download.disk import exists, forget, holds, sync, sync_folder
from ideogram_async.errors import FileConflictError

# Hard links are unknown to the file system, forbidden on it, or used up.
_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

_PART_NAME = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)

_CLOSED = "the part file is closed"


@frozen
class Stored:
    """A file that stands whole at its place."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    adopted: bool
    """Whether the same bytes stood there before."""


def is_part(name: str) -> bool:
    """Tell whether a file is a part that grew until its process died."""
    return _PART_NAME.fullmatch(name) is not None


class PartFile:
    """A file that grows as `.<stem>.<random>.part` beside its future place.

    It is created when there is something to write. Its methods block. They may be called from several threads: a lock
    lets one finish before the next begins, so `discard` is safe while a write is still running, and whatever comes
    after it fails.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        # Shortened, for the longest name that a file may have leaves no room for more.
        short = os.fsencode(stem)[:100].decode(errors="ignore")
        self._name = f".{short}.{secrets.token_hex(8)}.part"
        self._lock = RLock()
        self._folder_fd: int | None = None
        self._fd: int | None = None
        self._mode = 0o600
        self._is_over = False
        self._size = 0
        self._digest = hashlib.sha256()

    @property
    def is_over(self) -> bool:
        """Whether it has been committed or discarded."""
        return self._is_over

    def open(self) -> None:
        """Create it, if it is not there yet.

        Raises:
            OSError: If the folder is missing, or nothing can be written there.
        """
        with self._lock:
            if self._is_over:
                raise ValueError(_CLOSED)

            if self._fd is not None:
                return

            self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            # The only way to learn the umask without changing it for all threads.
            self._fd = os.open(self._name, flags, 0o666, dir_fd=self._folder_fd)
            self._mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
            os.fchmod(self._fd, 0o600)

    def restart(self) -> None:
        """Empty it, for another try."""
        with self._lock:
            if self._fd is None and not self._is_over:
                return

            _, fd = self._opened()
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            self._size = 0
            self._digest = hashlib.sha256()

    def write(self, block: Iterable[bytes]) -> None:
        """Append a block, all of it.

        Raises:
            OSError: If the disk is full, for instance.
        """
        with self._lock:
            self.open()
            _, fd = self._opened()
            whole = b"".join(block)
            rest = memoryview(whole)
            while rest:
                # On a disk that fills up, a part is written without an error; the next write then raises it.
                rest = rest[os.write(fd, rest) :]

            self._size += len(whole)
            self._digest.update(whole)

    def commit(self, name: str, last: Iterable[bytes] = ()) -> Stored:
        """Append the last block, make it durable, and let it stand in its folder as `name`.

        What stands there already is never touched.

        Raises:
            FileConflictError: If something else stands there.
            OSError: If the disk refuses. A failed sync is not repeated: the system may have dropped the data.
        """
        with self._lock:
            self.write(last)
            folder_fd, fd = self._opened()
            os.fchmod(fd, self._mode)
            sync(fd)
            forget(fd)
            adopted = not self._put(folder_fd, name)
            sync_folder(folder_fd)
            self._close()
            return Stored(self._folder / name, self._size, self._digest.hexdigest(), adopted)

    def discard(self) -> None:
        """Remove it, if it was not committed. Waits for a step that is running; calling it again does nothing."""
        with self._lock:
            # What cannot be removed must not hide why it had to be.
            with suppress(OSError):
                if self._fd is not None:
                    os.unlink(self._name, dir_fd=self._folder_fd)

            self._close()

    def _opened(self) -> tuple[int, int]:
        if self._folder_fd is None or self._fd is None:
            raise ValueError(_CLOSED)

        return self._folder_fd, self._fd

    def _close(self) -> None:
        self._is_over = True
        fds, self._fd, self._folder_fd = (self._fd, self._folder_fd), None, None
        for fd in fds:
            if fd is not None:
                os.close(fd)

    def _put(self, folder_fd: int, name: str) -> bool:
        """Give it its name, or find the same bytes there and return `False`."""
        is_new = self._link(folder_fd, name)
        if is_new is None:
            # Check and rename, as nobody else does who holds the folder's lock. Closing the folder frees it.
            fcntl.flock(folder_fd, fcntl.LOCK_EX)
            if not exists(folder_fd, name):
                os.rename(self._name, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
                return True

        if not is_new and not holds(folder_fd, name, self._size, self._digest.digest()):
            path = self._folder / name
            raise FileConflictError(f"another file stands at {path}, and was left as it is", path=path)

        os.unlink(self._name, dir_fd=folder_fd)
        return bool(is_new)

    def _link(self, folder_fd: int, name: str) -> bool | None:
        """Give it a second name. `False` if that is taken, `None` if there are no hard links here."""
        try:
            os.link(self._name, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise

            return None

        return True


_GROWING = re.compile(r"\..*\.[0-9a-f]{16}\.new", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO, None, None]:
    """Write a file beside its place, and put it there when the block ends well. Blocks.

    What stood there before stays until then, and stays for good if the block fails.

    Raises:
        OSError: If the folder cannot be written, or the path is a folder.
    """
    growing, handle = _begun(path)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            growing.replace(path)
    except BaseException:
        growing.unlink(missing_ok=True)
        raise


def clear_away(folder: Path) -> None:
    """Remove what grew in a folder until its process died. What grows still is locked, and left alone. Blocks."""
    with suppress(OSError):
        for left in folder.iterdir():
            if _GROWING.fullmatch(left.name):
                _remove(left)


def _begun(path: Path) -> tuple[Path, int]:
    while True:
        # Not the name of a part: a batch that starts in this folder clears those away.
        growing = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.new")
        try:
            # Opened with an ordinary mode, which the umask narrows; `tempfile` would make it private.
            handle = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            # The name that was asked for says more than this one.
            raise OSError(error.errno, error.strerror, str(path)) from None

        fcntl.flock(handle, fcntl.LOCK_EX)
        if growing.exists():
            return growing, handle

        # Somebody cleared it away before it was locked.
        os.close(handle)


def _remove(left: Path) -> None:
    with suppress(OSError):
        handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
        finally:
            os.close(handle)
