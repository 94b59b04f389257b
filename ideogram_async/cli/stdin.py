"""Lines of standard input, as they arrive."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

from ideogram_async._rows.text import MAX_LINE_LENGTH

STDIN = 0
STDIN_CHUNK = 65536


async def read_stdin() -> AsyncGenerator[bytes]:
    """Yield the lines of standard input. A cancellation loses an incomplete line."""
    incomplete = b""
    while chunk := await _read_chunk():
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        for line in lines:
            yield line

        if len(incomplete) > MAX_LINE_LENGTH:
            break

    if incomplete:
        yield incomplete


async def _read_chunk() -> bytes:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(STDIN, ready.set)
    except PermissionError:
        # A regular file cannot be watched, and is always ready.
        return os.read(STDIN, STDIN_CHUNK)

    try:
        await ready.wait()
    finally:
        loop.remove_reader(STDIN)

    return os.read(STDIN, STDIN_CHUNK)
