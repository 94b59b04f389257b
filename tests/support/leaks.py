"""Leaks of a test: open files, sockets and tasks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

__all__ = ["descriptors", "files_below", "other_tasks"]


def descriptors() -> list[str]:
    """Return the open files and sockets of this process."""
    paths: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            paths.append(str(entry.readlink()))

    return paths


def files_below(folder: Path) -> list[str]:
    """Return the open files in a folder."""
    return [path for path in descriptors() if path.startswith(f"{folder}/")]


def other_tasks() -> set[asyncio.Task[object]]:
    """Return the event loop's tasks except the current one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
