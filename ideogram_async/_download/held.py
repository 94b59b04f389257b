"""A folder that is held open, so that files cannot land elsewhere when its path is moved or replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Lock

from ideogram_async._download.disk import exists


class HeldFolder:
    """An open folder. A symbolic link at its path is followed once, now.

    Args:
        path: The folder.

    Raises:
        OSError: If it is missing or is not a folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        """The path as it was passed."""
        self.absolute: Path = path.absolute()
        """The same path, which a change of the working directory does not concern."""
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = Lock()

    def open(self) -> int:
        """Return a new descriptor of the folder, wherever it is now.

        Raises:
            OSError: If the folder is closed.
        """
        with self._lock:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)

    def contains(self, name: str) -> bool:
        """Return whether the folder has an entry with that name, wherever the folder is now.

        Raises:
            OSError: If the folder cannot be read.
        """
        with self._lock:
            return exists(self._fd, name)

    def check(self) -> None:
        """Check that the path still leads to the folder.

        Raises:
            OSError: If it does not.
        """
        try:
            status = self.absolute.stat()
        except OSError:
            status = None

        if status is None or not os.path.samestat(status, os.fstat(self._fd)):
            raise OSError(errno.ESTALE, "the folder was moved or replaced while it was in use", str(self.path))

    def close(self) -> None:
        """Close the folder. Closing it twice is harmless."""
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)
