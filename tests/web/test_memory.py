"""Memory of a worker that streams images."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.clients import CANARY
from support.paths import SUPPORT
from support.pictures import picture

from ideogram_async import Ideogram
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox import images as origin

SIZE = 5_000_000
COUNT = 100
AT_ONCE = 10
MEBIBYTE = 2**20

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@asynccontextmanager
async def relay(base_url: str) -> AsyncGenerator[tuple[str, int]]:
    script = SUPPORT / "relay.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), base_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.terminate()
        await process.communicate()


def resident(pid: int, name: str) -> int:
    """Return a process's memory in bytes: `VmRSS` now, or `VmHWM` at its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"{name}:\s+(\d+) kB", status)
    assert match, status
    return int(match[1]) * 1024


@linux
async def test_images_pass_through_a_worker(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred images of 5 MB, ten at a time, raise the peak memory of the worker by less than 32 MiB."""
    monkeypatch.setattr(origin, "draw", lambda recipe, kind: picture(kind, length=SIZE))
    async with Ideogram(CANARY, base_url=sandbox.url) as client:
        links = [image.url for image in await client.generate("a fox", num_images=8)]

    async with relay(sandbox.url) as (url, pid), aiohttp.ClientSession() as http:

        async def read_image(n: int) -> int:
            async with http.get(url, params={"link": links[n % len(links)]}) as response:
                return sum([len(chunk) async for chunk in response.content.iter_any()])

        await read_image(0)
        before = resident(pid, "VmRSS")
        sizes: list[int] = []
        for first in range(0, COUNT, AT_ONCE):
            sizes += await asyncio.gather(*(read_image(n) for n in range(first, min(first + AT_ONCE, COUNT))))

        growth = resident(pid, "VmHWM") - before

    assert [SIZE] * COUNT == sizes
    assert growth < 32 * MEBIBYTE
