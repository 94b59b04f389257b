"""Counter of the calls that a folder has sent, in a file of its own.

The journal contains the same number. It is written first, so a journal with a smaller one has lost commits, whichever
of its files was lost, damaged or restored from an older copy.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from attrs import frozen

from ideogram_async._download.atomic import atomic_write
from ideogram_async._download.disk import sync, sync_folder

COUNTER = "sends"
"""The name of the file, next to the journal."""

FORMAT = struct.Struct(">QQ")
"""The number and its complement."""
MASK = 2**64 - 1


class UncountedSendError(OSError):
    """A send is committed to the journal, and could not be counted. Nothing was sent."""


class SendCounter:
    """The open counter of a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def write(self, sends: int) -> None:
        """Overwrite the number in place, which needs no space on the disk, and wait until it is durable.

        Raises:
            UncountedSendError: If the disk fails.
        """
        try:
            os.pwrite(self._fd, _pack(sends), 0)
            _sync_data(self._fd)
        except OSError as error:
            raise UncountedSendError(error.errno, error.strerror, str(self._path)) from None

    def close(self) -> None:
        os.close(self._fd)


@frozen
class Count:
    """The number of a counter as it was read."""

    sends: int | None = None
    problem: str = ""
    """The reason that there is no number."""

    def loss(self, recorded: int, journal: Path) -> str:
        """Return what is wrong with a journal that has recorded that many sends; an empty string if it is complete."""
        if self.sends is None or self.sends <= recorded:
            return self.problem

        missing = f"{self.sends - recorded} of {self.sends} calls that were sent are not in it"
        return f"{journal} has lost records: {missing}"


def read_counter(path: Path) -> Count:
    """Read a counter that another process may be overwriting."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", buffering=0) as file:
            content = file.read(FORMAT.size + 1)
    except OSError as error:
        return Count(problem=f"{path} cannot be read, so lost records would not be noticed: {error.strerror or error}")

    if len(content) != FORMAT.size or content != _pack(sends := FORMAT.unpack(content)[0]):
        return Count(problem=f"{path} is damaged, so lost records would not be noticed")

    return Count(sends)


def create_counter(path: Path, sends: int) -> None:
    """Create or replace a counter durably. It appears complete.

    Raises:
        OSError: If it cannot be created or the disk is full.
    """
    with atomic_write(path, mode=0o600) as file:
        file.write(_pack(sends))

    sync_folder(path.parent)


def _pack(sends: int) -> bytes:
    return FORMAT.pack(sends, sends ^ MASK)


def _sync_data(fd: int) -> None:
    # The size never changes, so the file's metadata need not be durable: on Linux that takes half the time.
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        sync(fd)
