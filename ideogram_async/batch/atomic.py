"""Files that appear whole, or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["clear_away", "replacing"]

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
