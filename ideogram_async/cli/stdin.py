"""Lines from standard input as they come. Nobody's thread is left behind waiting for one that never comes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

__all__ = ["lines_of_stdin"]

STDIN = 0
CHUNK = 65536


async def lines_of_stdin() -> AsyncIterator[bytes]:
    """Go over the lines. A cancellation loses what was read of a line that is not whole."""
    rest = b""
    while chunk := await _read():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line

    if rest:
        yield rest


async def _read() -> bytes:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(STDIN, ready.set)
    except PermissionError:
        # A regular file: it cannot be watched, and never lets anyone wait.
        return os.read(STDIN, CHUNK)

    try:
        await ready.wait()
    finally:
        loop.remove_reader(STDIN)

    return os.read(STDIN, CHUNK)
