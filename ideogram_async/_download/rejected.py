"""Bytes that were downloaded and not accepted as an image, kept for inspection."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from ideogram_async._download.atomic import PartFile, open_folder
from ideogram_async._download.held import HeldFolder
from ideogram_async._download.incoming import Received

REJECTED = "rejected"
MAX_KEPT_BYTES = 64 * 2**20
"""Size of all kept files together."""


@frozen
class RejectedFile:
    """The file that keeps the bytes of an image's last download if they are not accepted."""

    hidden: Path | HeldFolder
    """The folder that contains `rejected/`."""
    name: str

    def keep(self, received: Received) -> None:
        """Write the bytes here, and remove the oldest files beyond the limit. Blocks. A failure is ignored."""
        part = received.part = received.part or PartFile(self.hidden, self.name)
        if not part.size + sum(map(len, received.rest)):
            return

        with suppress(OSError):
            folder_fd = _make_folder(self.hidden)
            try:
                part.move(folder_fd, self.name, received.rest)
                _remove_oldest(folder_fd)
            finally:
                os.close(folder_fd)


def _make_folder(hidden: Path | HeldFolder) -> int:
    """Create the folder unless it exists, and return its descriptor."""
    hidden_fd = open_folder(hidden)
    try:
        with suppress(FileExistsError):
            os.mkdir(REJECTED, mode=0o700, dir_fd=hidden_fd)

        return os.open(REJECTED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=hidden_fd)
    finally:
        os.close(hidden_fd)


def _remove_oldest(folder_fd: int) -> None:
    with os.scandir(folder_fd) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.name) for entry in entries]

    kept = 0
    for status, name in sorted(files, key=lambda file: file[0].st_mtime_ns, reverse=True):
        kept += status.st_size
        if kept > MAX_KEPT_BYTES:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder_fd)
