"""Hundreds of concurrent calls and downloads in one client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.clients import connected
from support.leaks import descriptors
from support.pictures import picture
from support.rawserver import OK, RawServer, answer, raw_response, stall, whole

from ideogram_async import Ideogram, Retry
from ideogram_async.sandbox import Sandbox

COUNT = 300
SOURCE = picture()


@pytest.mark.parametrize("limit", [10, 3])
async def test_no_429(limit: int) -> None:
    """Calls of all weights through a client and its views never exceed the limit of the account."""
    rng = random.Random(limit)
    async with Sandbox(max_in_flight=limit, latency=(0.0, 0.002)) as sandbox:
        async with Ideogram("key", base_url=sandbox.url, max_in_flight=limit) as client:
            views = (client, client.with_options(timeout=100.0))

            def work(number: int) -> Awaitable[Any]:
                view, name, count = rng.choice(views), f"call {number}", rng.randrange(1, min(8, limit) + 1)
                operations: list[Callable[[], Awaitable[Any]]] = [
                    lambda: view.generate(name, num_images=count),
                    lambda: view.remix(SOURCE, name, num_images=count),
                    lambda: view.upscale(SOURCE, prompt=name),
                    lambda: view.describe(SOURCE),
                ]
                return rng.choice(operations)()

            await asyncio.gather(*map(work, range(COUNT)))

        assert [200] * COUNT == [arrival.status for arrival in sandbox.requests]
        assert sandbox.peak_in_flight <= limit


async def test_downloads_share_slots(tmp_path: Path) -> None:
    """At most 16 downloads have open files and connections; the others wait without."""
    open_files: list[int] = []

    async def count_files(_: object) -> None:
        open_files.append(len([path for path in descriptors() if path.endswith(".part")]))

    script = (whole, count_files, answer(raw_response(200, SOURCE, {"Content-Type": "image/png"})))
    async with RawServer(script) as server, connected(server.url) as client:
        links = [f"{server.url}/{number}.png" for number in range(100)]
        await asyncio.gather(*(client.download(link, f"{tmp_path}/") for link in links))

    assert 100 == len(list(tmp_path.iterdir()))
    assert max(open_files) <= 16


async def test_waiting_for_a_slot_has_no_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout of a download starts when it gets its slot."""
    image = answer(raw_response(200, SOURCE, {"Content-Type": "image/png"}))
    async with (
        RawServer(*[(whole, stall, image)] * 16, (whole, image)) as server,
        connected(server.url, retry=Retry(attempts=1)) as client,
    ):
        first = [asyncio.create_task(client.fetch(f"{server.url}/{number}.png")) for number in range(16)]
        await server.wait_for_requests(16)
        monkeypatch.setattr("ideogram_async._download.stream.TOTAL", 0.05)
        last = asyncio.create_task(client.download(f"{server.url}/last.png", tmp_path / "last.png"))
        await asyncio.wait([last], timeout=0.2)
        connections = server.connections
        monkeypatch.undo()
        server.released.set()

        assert [SOURCE] * 16 == await asyncio.gather(*first)
        assert (16, tmp_path / "last.png") == (connections, await last)


async def test_waiting_sources_have_no_files() -> None:
    """Hundreds of slow sources are copied without an open file each."""
    released = asyncio.Event()
    open_files: list[int] = []

    class Slow:
        def __init__(self) -> None:
            self.chunks = [SOURCE[:100], SOURCE[100:], b""]

        async def read(self, size: int = -1, /) -> bytes:
            if len(self.chunks) == 2:
                waiting.discard(self)
                if not waiting:
                    open_files.append(len([path for path in descriptors() if "ideogram_async-" in path]))
                    released.set()

                await released.wait()

            return self.chunks.pop(0)

    sources = [Slow() for _ in range(COUNT)]
    waiting = set(sources)
    async with RawServer(OK) as server, connected(server.url) as client:
        await asyncio.gather(*(client.remix(source, "a fox") for source in sources))

    assert [0] == open_files
