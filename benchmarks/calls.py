"""Measures what a call costs in CPU and by the clock, JSON only, with 10, 50 and 200 calls in flight.

Every contender posts the same multipart form from the same lean loop of workers to a server that answers at once, and
reads the answer as JSON (ours as typed values, through its limiter, retries and money-safety). All but two keep their
connections: ours opens a fresh one for each call unless told otherwise, so the price of that is shown beside it, for a
bare aiohttp loop and for ours.

    python benchmarks/calls.py
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from harness import Figures, compare, contend, gather, keep, machine, serving

PATH = "/v1/ideogram-v3/generate"
FIELDS = {"prompt": "a red fox", "rendering_speed": "TURBO", "num_images": "1", "seed": "7"}
IN_FLIGHT = (10, 50, 200)
COUNT = 1_200


async def bare(url: str, *, count: int, in_flight: int, fresh: bool = False) -> None:
    """Post with aiohttp and nothing else."""
    from aiohttp import ClientSession, FormData, TCPConnector

    async with ClientSession(connector=TCPConnector(limit=0, force_close=fresh)) as session:

        async def call(_: int) -> None:
            form = FormData(FIELDS, default_to_multipart=True)
            async with session.post(url + PATH, data=form) as response:
                assert (await response.json())["data"][0]["seed"] == 1

        await gather(in_flight, count, call)


async def bare_fresh(url: str, **options: Any) -> None:
    """Post with aiohttp, each time on a fresh connection."""
    await bare(url, **options, fresh=True)


async def ours(url: str, *, count: int, in_flight: int, reuse: bool = True) -> None:
    """Post with the client."""
    from ideogram_async import Ideogram

    async with Ideogram("key", base_url=url, max_in_flight=in_flight, reuse_connections=reuse) as client:

        async def call(_: int) -> None:
            answer = await client.generate("a red fox", rendering_speed="TURBO", num_images=1, seed=7)
            assert answer.data[0].seed == 1

        await gather(in_flight, count, call)


async def ours_on_uvloop(url: str, **options: Any) -> None:
    """Post with the client in an event loop written in C."""
    await ours(url, **options)


async def ours_fresh(url: str, **options: Any) -> None:
    """Post with the client as it is by default."""
    await ours(url, **options, reuse=False)


async def httpx_loop(url: str, *, count: int, in_flight: int) -> None:
    """Post with httpx."""
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits) as client:

        async def call(_: int) -> None:
            response = await client.post(url + PATH, files={name: (None, text) for name, text in FIELDS.items()})
            assert response.json()["data"][0]["seed"] == 1

        await gather(in_flight, count, call)


async def openai_client(url: str, *, count: int, in_flight: int) -> None:
    """Post with openai's client, which checks and retries in its own way."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="key", base_url=url) as client:

        async def call(_: int) -> None:
            answer = await client.post(
                PATH,
                cast_to=dict[str, Any],
                body={},
                files=[(name, (None, text)) for name, text in FIELDS.items()],  # type: ignore[misc]
                options={"headers": {"Content-Type": "multipart/form-data"}},
            )
            assert answer["data"][0]["seed"] == 1

        await gather(in_flight, count, call)


async def requests_threads(url: str, *, count: int, in_flight: int) -> None:
    """Post with requests, a thread and a session each."""
    import requests

    numbers, lock = iter(range(count)), threading.Lock()

    def work() -> None:
        with requests.Session() as session:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return

                response = session.post(url + PATH, files={name: (None, text) for name, text in FIELDS.items()})
                assert response.json()["data"][0]["seed"] == 1

    workers = [threading.Thread(target=work) for _ in range(in_flight)]
    for worker in workers:
        worker.start()

    await asyncio.to_thread(lambda: [worker.join() for worker in workers])


CONTENDERS = {
    "aiohttp": bare,
    "ideogram_async": ours,
    "ideogram_async, uvloop": ours_on_uvloop,
    "httpx": httpx_loop,
    "openai": openai_client,
    "requests, threads": requests_threads,
    "aiohttp, fresh": bare_fresh,
    "ideogram_async, fresh": ours_fresh,
}


def main(rounds: int) -> None:
    """Print a table for each number of calls in flight."""
    print(machine())
    kept: dict[str, dict[str, Figures]] = {}
    with serving() as url:
        for in_flight in IN_FLIGHT:
            medians = compare(
                __file__, CONTENDERS, url, rounds=rounds, warm=COUNT // 10, count=COUNT, in_flight=in_flight
            )
            kept[str(in_flight)] = medians
            print(f"\n{in_flight} in flight            CPU per call          wall per call         peak memory")
            for name, figures in medians.items():
                print(f"{name:22} {row(figures, medians['aiohttp'])}")

    keep("calls", kept)


def row(figures: Figures, base: Figures) -> str:
    """Show the figures of one contender beside those of the bare loop."""
    cells = [f"{1e6 * figures[key] / COUNT:7.0f} µs {figures[key] / base[key]:6.2f} x" for key in ("cpu", "wall")]
    return "   ".join([*cells, f"{figures['peak']:6.1f} MB"])


if __name__ == "__main__":
    contend(CONTENDERS, main, rounds=3)
