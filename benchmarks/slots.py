"""Measures how full a batch keeps the places of an account, beside a plain loop with a semaphore.

A server on loopback, in a process of its own, makes images in 50 to 150 ms a call, 1 to 4 images each, and serves a
download in 50 ms; 10 images may be in progress. Reported is the whole run against the lower bound, which is the sum of
weight times time over the limit, and what the connections and the journal's commits take of it.

    python benchmarks/slots.py
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from unittest.mock import patch

from aiohttp import ClientSession, web

from ideogram_async import Generate, Ideogram, Job
from ideogram_async.batch.journal import Journal
from ideogram_async.events import Answered, Event

Work = list[tuple[float, int]]
LIMIT = 10
DOWNLOAD_SECONDS = 0.05
JOBS = 400


class Server:
    """Takes its time as the prompt says."""

    def __init__(self, picture: bytes) -> None:
        self._picture = picture

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/ideogram-v3/generate", self.generate)
        app.router.add_get("/{name}", self.image)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self.url}"

    async def generate(self, request: web.Request) -> web.Response:
        form = await request.post()
        weight = int(str(form["num_images"]))
        await asyncio.sleep(float(str(form["prompt"])))
        url = f"http://127.0.0.1:{self.url}/a.png"
        image = {"url": url, "is_image_safe": True, "prompt": "", "seed": 1, "resolution": "1024x1024"}
        return web.Response(
            text=json.dumps({"created": "2026-01-01T00:00:00Z", "data": [image] * weight}),
            content_type="application/json",
        )

    async def image(self, _: web.Request) -> web.Response:
        await asyncio.sleep(DOWNLOAD_SECONDS)
        return web.Response(body=self._picture, content_type="image/png")


elapsed: list[float] = []


def note(event: Event) -> None:
    """Remember how long a call took on the wire."""
    if isinstance(event, Answered):
        elapsed.append(event.elapsed)


async def batch(url: str, work: Work, folder: Path) -> None:
    """Run it as a batch."""
    jobs = (Job(Generate(f"{seconds:.6f}", num_images=weight), id=str(n)) for n, (seconds, weight) in enumerate(work))
    async with Ideogram("key", base_url=url) as client:
        report = await client.run_batch(jobs, folder, on_event=note)

    assert report.stopped is None


async def semaphore(url: str, work: Work, folder: Path) -> None:
    """Run it as people write it by hand: so many calls at once that their images always fit, downloads included."""
    places = asyncio.Semaphore(LIMIT // 4)

    async def one(session: ClientSession, number: int, seconds: float, weight: int) -> None:
        async with places:
            data = {"prompt": f"{seconds:.6f}", "num_images": str(weight)}
            async with session.post(f"{url}/v1/ideogram-v3/generate", data=data) as response:
                answer = await response.json()

            for n, image in enumerate(answer["data"]):
                async with session.get(image["url"]) as response:
                    (folder / f"{number}-{n}.png").write_bytes(await response.read())

    async with ClientSession() as session:
        await asyncio.gather(*(one(session, number, *job) for number, job in enumerate(work)))


def main() -> None:
    """Print both."""
    rng = random.Random(1)
    work = [(rng.uniform(0.05, 0.15), rng.randint(1, 4)) for _ in range(JOBS)]
    committing = [0.0, 0]
    commit = Journal._commit

    def timed(self: Journal, *args: object) -> None:
        began = time.perf_counter()
        commit(self, *args)  # type: ignore[arg-type]
        committing[0] += time.perf_counter() - began
        committing[1] += 1

    def measure(run: Callable[[str, Work, Path], Coroutine[None, None, None]]) -> None:
        with TemporaryDirectory() as folder:
            began = time.perf_counter()
            asyncio.run(run(url, work, Path(folder)))
            seconds = time.perf_counter() - began

        bound = sum(seconds * weight for seconds, weight in work) / LIMIT
        print(f"{run.__name__:10} {seconds:6.2f} s   {seconds / bound:.3f} of the bound")

    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip() if server.stdout else ""
    with patch.object(Journal, "_commit", timed):
        measure(batch)

    measure(semaphore)
    server.terminate()
    server.communicate()
    mean = 1000 * fmean(seconds for seconds, _ in work)
    print(f"a call takes {mean:.1f} ms, and {1000 * fmean(elapsed):.1f} ms with its connection")
    print(f"the journal's {committing[1]} commits take {1000 * committing[0] / committing[1]:.2f} ms each")


async def serve() -> None:
    """Serve until it is ended."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from pictures import picture

    print(await Server(picture()).start(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve()) if "--serve" in sys.argv else main()
