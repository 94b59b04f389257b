"""CPU and time of a call, JSON only, with 10, 50 and 200 calls in flight.

Every contender posts the same multipart form from the same loop of workers to a server that responds at once, and reads
the answer as JSON. Ours reads typed values, and has its limiter and retries. All contenders but two reuse connections.
By default ours opens a fresh connection for each call, so both a bare aiohttp loop and ours are also measured that way.

    python benchmarks/calls.py
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from harness import Figures, compare, describe_machine, fast_server, run_script, run_workers, write_results

PATH = "/v1/ideogram-v3/generate"
FIELDS = {"prompt": "a red fox", "rendering_speed": "TURBO", "num_images": "1", "seed": "7"}
IN_FLIGHT = (10, 50, 200)
COUNT = 1_200


async def bare(url: str, *, count: int, in_flight: int, fresh: bool = False) -> None:
    """Post with aiohttp alone."""
    from aiohttp import ClientSession, FormData, TCPConnector

    async with ClientSession(connector=TCPConnector(limit=0, force_close=fresh)) as session:

        async def call(_: int) -> None:
            form = FormData(FIELDS, default_to_multipart=True)
            async with session.post(url + PATH, data=form) as response:
                assert (await response.json())["data"][0]["seed"] == 1

        await run_workers(in_flight, count, call)


async def bare_fresh(url: str, **options: Any) -> None:
    """Post with aiohttp, each call on a fresh connection."""
    await bare(url, **options, fresh=True)


async def ours(url: str, *, count: int, in_flight: int, reuse: bool = True) -> None:
    """Post with the client."""
    from ideogram_async import Ideogram

    async with Ideogram("key", base_url=url, max_in_flight=in_flight, reuse_connections=reuse) as client:

        async def call(_: int) -> None:
            answer = await client.generate("a red fox", rendering_speed="TURBO", num_images=1, seed=7)
            assert answer.data[0].seed == 1

        await run_workers(in_flight, count, call)


async def ours_on_uvloop(url: str, **options: Any) -> None:
    """Post with the client on uvloop."""
    await ours(url, **options)


async def ours_fresh(url: str, **options: Any) -> None:
    """Post with the client and its default settings: a fresh connection for each call."""
    await ours(url, **options, reuse=False)


async def httpx_loop(url: str, *, count: int, in_flight: int) -> None:
    """Post with httpx."""
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits) as client:

        async def call(_: int) -> None:
            response = await client.post(url + PATH, files={name: (None, text) for name, text in FIELDS.items()})
            assert response.json()["data"][0]["seed"] == 1

        await run_workers(in_flight, count, call)


async def openai_client(url: str, *, count: int, in_flight: int) -> None:
    """Post with openai's client, which has its own validation and retries."""
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

        await run_workers(in_flight, count, call)


async def requests_threads(url: str, *, count: int, in_flight: int) -> None:
    """Post with requests, with a thread and a session for each call in flight."""
    import requests

    numbers, lock = iter(range(count)), threading.Lock()

    def post_in_thread() -> None:
        with requests.Session() as session:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return

                response = session.post(url + PATH, files={name: (None, text) for name, text in FIELDS.items()})
                assert response.json()["data"][0]["seed"] == 1

    workers = [threading.Thread(target=post_in_thread) for _ in range(in_flight)]
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
    print(describe_machine())
    results: dict[str, dict[str, Figures]] = {}
    with fast_server() as url:
        for in_flight in IN_FLIGHT:
            medians = compare(
                __file__, CONTENDERS, url, rounds=rounds, warmup=COUNT // 10, count=COUNT, in_flight=in_flight
            )
            results[str(in_flight)] = medians
            print(f"\n{in_flight} in flight            CPU per call          wall per call         peak memory")
            for name, figures in medians.items():
                print(f"{name:22} {format_row(figures, medians['aiohttp'])}")

    write_results("calls", results)


def format_row(figures: Figures, base: Figures) -> str:
    """Return the figures of a contender, absolute and relative to the bare loop."""
    cells = [f"{1e6 * figures[key] / COUNT:7.0f} µs {figures[key] / base[key]:6.2f} x" for key in ("cpu", "wall")]
    return "   ".join([*cells, f"{figures['peak']:6.1f} MB"])


if __name__ == "__main__":
    run_script(CONTENDERS, main, rounds=3)
