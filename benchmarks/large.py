"""Measures the memory and the open files of a batch of very many jobs against a server that answers at once.

The server stands in a process of its own. Then the folder is resumed.

    python benchmarks/large.py [JOBS]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from ideogram_async import Generate, Ideogram

CREATED = "2026-01-01T00:00:00Z"


def resident() -> float:
    """Return the resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def open_files() -> int:
    """Count the open files."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def run(url: str, count: int, folder: Path, most: list[int]) -> None:
    """Run the batch, and note the most files that were open."""

    def jobs() -> Iterator[Generate]:
        for n in range(count):
            yield Generate(f"fox {n}")

    async with Ideogram("key", base_url=url) as client, client.batch(jobs(), folder) as batch:
        seen = 0
        async for _ in batch:
            seen += 1
            if seen % 500 == 0:
                most[0] = max(most[0], open_files())

    assert count == seen, batch.report()


async def serve() -> None:
    """Answer until it is ended."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from pictures import picture

    async def generate(request: web.Request) -> web.Response:
        await request.read()
        image = {"url": f"{url}/a.png", "is_image_safe": True, "prompt": "", "seed": 1, "resolution": "1024x1024"}
        return web.json_response({"created": CREATED, "data": [image]})

    async def image(_: web.Request) -> web.Response:
        return web.Response(body=picture(), content_type="image/png")

    app = web.Application()
    app.router.add_post("/v1/ideogram-v3/generate", generate)
    app.router.add_get("/a.png", image)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    print(url, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip() if server.stdout else ""
    with TemporaryDirectory() as warm, TemporaryDirectory() as folder:
        most = [0]
        asyncio.run(run(url, 500, Path(warm), most))
        for what in ("run", "resumed"):
            before, began = resident(), time.perf_counter()
            asyncio.run(run(url, count, Path(folder), most))
            seconds = time.perf_counter() - began
            print(f"{what:8} {count} jobs: {seconds:.1f} s, memory grew by {resident() - before:.1f} MB")

    print(f"open files: {most[0]} at most")
    server.terminate()
    server.communicate()


if __name__ == "__main__":
    asyncio.run(serve()) if "--serve" in sys.argv else main()
