"""Files that appear whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO, None, None]:
    """Write a file beside its place, and put it there when the block ends well. Blocks.

    What stood there before stays until then, and stays for good if the block fails.

    Raises:
        OSError: If the folder cannot be written, or the path is a folder.
    """
    # Not the name of a part: a batch that starts in this folder clears those away.
    growing = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.new")
    # Opened with an ordinary mode, which the umask narrows; `tempfile` would make it private.
    handle = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

        growing.replace(path)
    except BaseException:
        growing.unlink(missing_ok=True)
        raise
