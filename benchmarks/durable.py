"""Durable batch: generate, download, verify and store images of 1.5 MB, next to loops that do less.

An image takes 50 to 150 ms, and 10 images are in progress. Ours journals each step on the disk, verifies and hashes
each image, and writes it with fsync. The bare loop, the base of all ratios, downloads the image and discards it. Like
ours, it releases its slot before the download. The semaphore loops are what people write by hand: one semaphore around
generation and download, and the image is written without verification. The handwritten durable loop stores what ours
stores (see `byhand.py`).

The lag of the event loop is the delay of a timer of 5 ms while the contender runs.

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

from harness import (
    Figures,
    compare,
    describe_machine,
    disk_folder,
    run_script,
    run_workers,
    slow_server,
    write_results,
)

PATH = "/v1/ideogram-v3/generate"
LIMIT = 10
COUNT = 300
IMAGE_BYTES = 1_500_000
TICK = 0.005


def draw_times(count: int) -> list[str]:
    """Draw the seconds of each image: the same for every contender."""
    rng = random.Random(1)
    return [f"{rng.uniform(0.05, 0.15):.6f}" for _ in range(count)]


@asynccontextmanager
async def measure_lag(figures: Figures) -> AsyncIterator[None]:
    """Measure the lag of the event loop during the block, in milliseconds."""
    lags: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            lags.append(1000 * (time.perf_counter() - due))

    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()
    cuts = quantiles(lags, n=100)
    figures |= {"lag_p50": cuts[49], "lag_p99": cuts[98]}


async def bare(url: str, *, count: int, folder: str) -> Figures:  # noqa: ARG001
    """Generate and download with aiohttp, and discard the images."""
    from aiohttp import ClientSession, FormData, TCPConnector

    figures: Figures = {}
    async with measure_lag(figures), ClientSession(connector=TCPConnector(limit=0)) as session:
        seconds, downloads = draw_times(count), asyncio.Semaphore(16)

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

            await run_workers(LIMIT, count, call)

    return figures


async def by_hand(url: str, *, count: int, folder: str) -> Figures:
    """Generate, download and store as durably as ours."""
    from byhand import durable_loop

    figures: Figures = {}
    async with measure_lag(figures):
        await durable_loop(url + PATH, draw_times(count), Path(mkdtemp(dir=folder)), in_flight=LIMIT)

    return figures


async def aiohttp_semaphore(url: str, *, count: int, folder: str) -> Figures:
    """Generate, download and write with aiohttp under one semaphore."""
    from aiohttp import ClientSession, FormData

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with measure_lag(figures), ClientSession() as session:
        seconds, slots = draw_times(count), asyncio.Semaphore(LIMIT)

        async def generate(number: int) -> None:
            async with slots:
                form = FormData({"prompt": seconds[number]}, default_to_multipart=True)
                async with session.post(url + PATH, data=form) as response:
                    answer = await response.json()

                async with session.get(answer["data"][0]["url"]) as response:
                    (images / f"{number}.png").write_bytes(await response.read())

        await asyncio.gather(*(generate(number) for number in range(count)))

    return figures


async def httpx_semaphore(url: str, *, count: int, folder: str, writes: bool = True) -> Figures:
    """Generate, download and write with httpx under one semaphore."""
    import httpx

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with measure_lag(figures), httpx.AsyncClient() as client:
        seconds, slots = draw_times(count), asyncio.Semaphore(LIMIT)

        async def generate(number: int) -> None:
            async with slots:
                response = await client.post(url + PATH, files={"prompt": (None, seconds[number])})
                async with client.stream("GET", response.json()["data"][0]["url"]) as image:
                    if writes:
                        (images / f"{number}.png").write_bytes(await image.aread())
                    else:
                        async for _ in image.aiter_bytes():
                            pass

        await asyncio.gather(*(generate(number) for number in range(count)))

    return figures


async def httpx_bare(url: str, *, count: int, folder: str) -> Figures:
    """Generate and download with httpx, and discard the images."""
    return await httpx_semaphore(url, count=count, folder=folder, writes=False)


async def ours(url: str, *, count: int, folder: str, reuse: bool = False) -> Figures:
    """Run a durable batch."""
    from ideogram_async import Generate, Ideogram

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with (
        measure_lag(figures),
        Ideogram("key", base_url=url, max_in_flight=LIMIT, reuse_connections=reuse) as client,
    ):
        report = await client.run_batch((Generate(seconds) for seconds in draw_times(count)), images)

    assert report.images_stored == count, report
    return figures


async def ours_reusing(url: str, *, count: int, folder: str) -> Figures:
    """Run a durable batch that reuses connections."""
    return await ours(url, count=count, folder=folder, reuse=True)


async def ours_on_uvloop(url: str, *, count: int, folder: str) -> Figures:
    """Run a durable batch on uvloop."""
    return await ours(url, count=count, folder=folder)


async def ours_unjournaled(url: str, *, count: int, folder: str) -> Figures:
    """Generate and download with the client alone: images are verified and stored, without a journal."""
    from ideogram_async import Ideogram

    figures: Figures = {}
    images = Path(mkdtemp(dir=folder))
    async with measure_lag(figures), Ideogram("key", base_url=url, max_in_flight=LIMIT) as client:
        seconds = draw_times(count)
        async with asyncio.TaskGroup() as tasks:

            async def call(number: int) -> None:
                answer = await client.generate(seconds[number])
                tasks.create_task(client.download(answer.data[0], images / f"{number}.png"))

            await run_workers(LIMIT, count, call)

    return figures


CONTENDERS = {
    "aiohttp, stores nothing": bare,
    "ideogram_async": ours,
    "ideogram_async, reusing": ours_reusing,
    "ideogram_async, uvloop": ours_on_uvloop,
    "ideogram_async, no journal": ours_unjournaled,
    "aiohttp, durable": by_hand,
    "aiohttp, semaphore": aiohttp_semaphore,
    "httpx, stores nothing": httpx_bare,
    "httpx, semaphore": httpx_semaphore,
}


def main(rounds: int) -> None:
    """Print the table."""
    print(describe_machine())
    with disk_folder() as folder, slow_server(image_bytes=IMAGE_BYTES) as url:
        options = {"count": COUNT, "folder": folder}
        medians = compare(__file__, CONTENDERS, url, rounds=rounds, warmup=COUNT // 10, **options)

    bound = sum(map(float, draw_times(COUNT))) / LIMIT
    base = medians["aiohttp, stores nothing"]
    print(f"\n{COUNT} images, lower bound {bound:.2f} s; wall, CPU per image, lag p50 and p99, peak memory")
    for name, figures in medians.items():
        print(f"{name:26} {format_row(figures, base)}")

    write_results("durable", medians)


def format_row(figures: Figures, base: dict[str, Any]) -> str:
    """Return the figures of a contender, absolute and relative to the bare loop."""
    wall = f"{figures['wall']:6.2f} s {figures['wall'] / base['wall']:5.2f} x"
    cpu = f"{1000 * figures['cpu'] / COUNT:6.2f} ms {figures['cpu'] / base['cpu']:5.2f} x"
    lag = f"{figures['lag_p50']:5.1f} {figures['lag_p99']:5.1f} ms"
    return "   ".join([wall, cpu, lag, f"{figures['peak']:6.1f} MB"])


if __name__ == "__main__":
    run_script(CONTENDERS, main, rounds=3)
