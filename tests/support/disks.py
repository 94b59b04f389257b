"""Full disks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["fill"]


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte, and return the file that does."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**16, 2**10, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass

    return ballast
