"""What a test may leave behind: files, sockets, tasks and threads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

__all__ = ["descriptors", "files_below", "other_tasks"]


def descriptors() -> list[str]:
    """Name this process's open files and sockets."""
    found: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(entry.readlink()))

    return found


def files_below(folder: Path) -> list[str]:
    """Name the open files in a folder."""
    return [path for path in descriptors() if path.startswith(f"{folder}/")]


def other_tasks() -> set[asyncio.Task[object]]:
    """Return the event loop's tasks, without the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
