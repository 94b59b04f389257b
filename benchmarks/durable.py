"""Measures a durable batch: generate, download 1.5 MB, verify and keep it, beside loops that do less.

Image times of 50 to 150 ms, 10 images in progress. Ours journals each step on the disk, checks and hashes each image,
and writes it with fsync. The bare loop, the yardstick, reads the image and drops it: it frees a place before it
downloads, as we do, and has nothing else to do. The semaphore loops are what people write by hand: one semaphore
around generation and download, the image written without a check. One loop written by hand keeps what ours keeps (see
`byhand.py`). "httpx, keeps nothing" verifies nothing either.

The event loop's lag is how late a timer of 5 ms rings while the contender works.

    python benchmarks/durable.py
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import mkdtemp
from typing import Any

from harness import Figures, compare, contend, gather, keep, machine, on_disk, serving_slowly

PATH = "/v1/ideogram-v3/generate"
LIMIT = 10
COUNT = 300
IMAGE_BYTES = 1_500_000
TICK = 0.005


def times(count: int) -> list[str]:
    """Draw how long each image takes, the same for every contender."""
    rng = random.Random(1)
    return [f"{rng.uniform(0.05, 0.15):.6f}" for _ in range(count)]


@asynccontextmanager
async def watched(figures: Figures) -> AsyncIterator[None]:
    """Measure the event loop's lag, in milliseconds."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            late.append(1000 * (time.perf_counter() - due))

    watch = asyncio.create_task(tick())
    yield
    watch.cancel()
    cuts = quantiles(late, n=100)
    figures |= {"lag_p50": cuts[49], "lag_p99": cuts[98]}


async def bare(url: str, *, count: int, folder: str) -> Figures:  # noqa: ARG001
    """Generate and download with aiohttp, and keep nothing."""
    from aiohttp import ClientSession, FormData, TCPConnector

    figures: Figures = {}
    async with watched(figures), ClientSession(connector=TCPConnector(limit=0)) as session:
        seconds, downloads = times(count), asyncio.Semaphore(16)

        async def download(link: str) -> None:
            async with downloads, session.get(link) as response:
                async for _ in response.content.iter_chunked(2**16):
                    pass

        async with asyncio.TaskGroup() as tasks:

            async def call(number: int) -> None:
                form = FormData({"prompt": seconds[number]}, default_to_multipart=True)
                async with session.post(url + PATH, data=form) as response:
                    answer = await response.json()

                tasks.create_task(download(answer["data"][0]["url"]))

            await gather(LIMIT, count, call)

    return figures


async def by_hand(url: str, *, count: int, folder: str) -> Figures:
    """Generate, download and keep as durably as ours does."""
    from byhand import durable_loop

    figures: Figures = {}
    async with watched(figures):
        await durable_loop(url + PATH, times(count), Path(mkdtemp(dir=folder)), in_flight=LIMIT)

    return figures


async def aiohttp_semaphore(url: str, *, count: int, folder: str) -> Figures:
    """Generate, download and write with aiohttp under one semaphore."""
    from aiohttp import ClientSession, FormData

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with watched(figures), ClientSession() as session:
        seconds, places = times(count), asyncio.Semaphore(LIMIT)

        async def one(number: int) -> None:
            async with places:
                form = FormData({"prompt": seconds[number]}, default_to_multipart=True)
                async with session.post(url + PATH, data=form) as response:
                    answer = await response.json()

                async with session.get(answer["data"][0]["url"]) as response:
                    (images / f"{number}.png").write_bytes(await response.read())

        await asyncio.gather(*(one(number) for number in range(count)))

    return figures


async def httpx_semaphore(url: str, *, count: int, folder: str, writes: bool = True) -> Figures:
    """Generate, download and write with httpx under one semaphore."""
    import httpx

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with watched(figures), httpx.AsyncClient() as client:
        seconds, places = times(count), asyncio.Semaphore(LIMIT)

        async def one(number: int) -> None:
            async with places:
                response = await client.post(url + PATH, files={"prompt": (None, seconds[number])})
                async with client.stream("GET", response.json()["data"][0]["url"]) as image:
                    if writes:
                        (images / f"{number}.png").write_bytes(await image.aread())
                    else:
                        async for _ in image.aiter_bytes():
                            pass

        await asyncio.gather(*(one(number) for number in range(count)))

    return figures


async def httpx_bare(url: str, *, count: int, folder: str) -> Figures:
    """Generate and download with httpx, and keep nothing."""
    return await httpx_semaphore(url, count=count, folder=folder, writes=False)


async def ours(url: str, *, count: int, folder: str, reuse: bool = False) -> Figures:
    """Run it as a durable batch."""
    from ideogram_async import Generate, Ideogram

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with watched(figures), Ideogram("key", base_url=url, max_in_flight=LIMIT, reuse_connections=reuse) as client:
        report = await client.run_batch((Generate(seconds) for seconds in times(count)), images)

    assert report.images_stored == count, report
    return figures


async def ours_reusing(url: str, *, count: int, folder: str) -> Figures:
    """Run it as a durable batch that keeps its connections."""
    return await ours(url, count=count, folder=folder, reuse=True)


async def ours_on_uvloop(url: str, *, count: int, folder: str) -> Figures:
    """Run it as a durable batch in an event loop written in C."""
    return await ours(url, count=count, folder=folder)


async def ours_unjournaled(url: str, *, count: int, folder: str) -> Figures:
    """Generate and download with the client alone: images verified and kept, no journal."""
    from ideogram_async import Ideogram

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with watched(figures), Ideogram("key", base_url=url, max_in_flight=LIMIT) as client:
        seconds = times(count)
        async with asyncio.TaskGroup() as tasks:

            async def call(number: int) -> None:
                answer = await client.generate(seconds[number])
                tasks.create_task(client.download(answer.data[0], images / f"{number}.png"))

            await gather(LIMIT, count, call)

    return figures


CONTENDERS = {
    "aiohttp, keeps nothing": bare,
    "ideogram_async": ours,
    "ideogram_async, reusing": ours_reusing,
    "ideogram_async, uvloop": ours_on_uvloop,
    "ideogram_async, no journal": ours_unjournaled,
    "aiohttp, durable by hand": by_hand,
    "aiohttp, semaphore": aiohttp_semaphore,
    "httpx, keeps nothing": httpx_bare,
    "httpx, semaphore": httpx_semaphore,
}


def main(rounds: int) -> None:
    """Print the table."""
    print(machine())
    with on_disk() as folder, serving_slowly(image_bytes=IMAGE_BYTES) as url:
        medians = compare(__file__, CONTENDERS, url, rounds=rounds, warm=COUNT // 10, count=COUNT, folder=folder)

    bound = sum(map(float, times(COUNT))) / LIMIT
    base = medians["aiohttp, keeps nothing"]
    print(f"\n{COUNT} images, lower bound {bound:.2f} s; wall, CPU per image, lag p50 and p99, peak memory")
    for name, figures in medians.items():
        print(f"{name:26} {row(figures, base)}")

    keep("durable", medians)


def row(figures: Figures, base: dict[str, Any]) -> str:
    """Show the figures of one contender beside those of the bare loop."""
    wall = f"{figures['wall']:6.2f} s {figures['wall'] / base['wall']:5.2f} x"
    processor = f"{1000 * figures['cpu'] / COUNT:6.2f} ms {figures['cpu'] / base['cpu']:5.2f} x"
    lag = f"{figures['lag_p50']:5.1f} {figures['lag_p99']:5.1f} ms"
    return "   ".join([wall, processor, lag, f"{figures['peak']:6.1f} MB"])


if __name__ == "__main__":
    contend(CONTENDERS, main, rounds=3)
