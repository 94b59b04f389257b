"""Interrupted and killed processes during calls and downloads."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from support.pictures import picture
from support.rawserver import RawServer, answer, raw_response, stall, whole

from ideogram_async._download.atomic import remove_stale_files

pytestmark = pytest.mark.programs

IMAGE = picture(length=300_000)
PROGRAM = """
import asyncio, sys
from ideogram_async import Ideogram

async def main(url, images, folder):
    async with Ideogram("key", base_url=url) as client, asyncio.TaskGroup() as group:
        for number in range(24):
            group.create_task(client.download(f"{images}/{number}.png", f"{folder}/{number}.png"))

        for number in range(8):
            group.create_task(client.generate("a fox"))

try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("length", [0, 1000, 299_999])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_signal(number: signal.Signals, length: int, tmp_path: Path) -> None:
    """A target has the complete image or does not exist. Only a killed process leaves part files."""
    complete = (whole, answer(raw_response(200, IMAGE, {"Content-Type": "image/png"})))
    half = (whole, answer(raw_response(200, IMAGE[:length], {"Content-Length": str(len(IMAGE))})), stall)
    async with RawServer((whole, stall)) as server, RawServer(*[complete, half] * 8, half) as host:
        python = (sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, server.url, host.url, str(tmp_path))
        process = await asyncio.create_subprocess_exec(*python, stderr=asyncio.subprocess.PIPE)
        await server.wait_for_requests(8)
        await host.wait_for_requests(20)
        process.send_signal(number)
        async with asyncio.timeout(60):
            _, errors = await process.communicate()

    lines = [line for line in errors.decode().splitlines() if not line.startswith("Executing <")]
    parts = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    stored = {path.read_bytes() for path in set(tmp_path.iterdir()) - set(parts)}

    assert (-number if number == signal.SIGKILL else 130, []) == (process.returncode, lines)
    assert stored <= {IMAGE}
    assert number == signal.SIGKILL or not parts

    remove_stale_files(tmp_path)

    assert not [path for path in parts if path.exists()]
