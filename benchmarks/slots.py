"""Measures how full a batch keeps the places of an account, beside a bare client and a plain loop with a semaphore.

A call makes 1 to 4, or 1 to 8 images in 50 to 150 ms, an image downloads in 50 ms, and 10 images may be in progress.
Reported is the whole run against the lower bound, which is the sum of weight times time over the limit. What a call
adds to its time is all that is in its way while it holds its places: the connection, the request, the reply, and a
commit of the journal. The server stands in a process of its own and answers to some tenths of a millisecond (see
`server.py`), for its own time would otherwise count as ours.

Sizes do not always fit into 10 places: `ideal` is what calls of exactly the drawn times take in the limiter's order.
The bare client shows what the connections alone add to that, without a journal and without downloads.

    python benchmarks/slots.py
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from aiohttp import ClientSession, FormData, TCPConnector
from aiohttp.payload import BytesPayload
from harness import Figures, keep, serving

from ideogram_async import Generate, Ideogram, Job
from ideogram_async.batch.journal import Journal
from ideogram_async.batch.pulling import LOOK_AHEAD
from ideogram_async.events import Answered, Event
from ideogram_async.limiter.limiter import ImageLimiter
from ideogram_async.limiter.line import Line, Waiter

Work = list[tuple[float, int]]
LIMIT = 10
DOWNLOAD_SECONDS = 0.05
JOBS = {4: 1000, 8: 600}
"""How many, by the most images of one."""
BY_HAND = 100
"""Jobs of the plain loop, which is slow."""

drawn: list[float] = []
elapsed: list[float] = []
commits: list[float] = []


def note(event: Event) -> None:
    """Remember how long a call took on the wire."""
    if isinstance(event, Answered):
        elapsed.append(event.elapsed)


async def batch(url: str, work: Work, folder: Path) -> None:
    """Run it as a batch."""
    jobs = (Job(Generate(f"{seconds:.6f}", num_images=weight), id=str(n)) for n, (seconds, weight) in enumerate(work))
    async with Ideogram("key", base_url=url) as client:
        report = await client.run_batch(jobs, folder, on_event=note)

    assert report.stopped is None, report
    assert sum(weight for _, weight in work) == report.images_stored, report


async def bare(url: str, work: Work, _: Path) -> None:
    """Send the calls in the same order over bare aiohttp, a connection each, and drop the answers."""
    limiter, asking = ImageLimiter(LIMIT), asyncio.Semaphore(LIMIT + LOOK_AHEAD)

    async def one(session: ClientSession, seconds: float, weight: int) -> None:
        form = FormData({"prompt": f"{seconds:.6f}", "num_images": str(weight)}, default_to_multipart=True)()
        body = BytesPayload(await form.as_bytes(), content_type=form.content_type)
        async with limiter.acquire(weight), session.post(f"{url}/v1/ideogram-v3/generate", data=body) as response:
            await response.read()

        asking.release()

    async with (
        ClientSession(connector=TCPConnector(force_close=True, limit=0)) as session,
        asyncio.TaskGroup() as group,
    ):
        for seconds, weight in work:
            await asking.acquire()
            group.create_task(one(session, seconds, weight))


async def semaphore(url: str, work: Work, folder: Path) -> None:
    """Run it as people write it by hand: so many calls at once that their images always fit."""
    places = asyncio.Semaphore(LIMIT // max(weight for _, weight in work))

    async def save(session: ClientSession, url: str, path: Path) -> None:
        async with session.get(url) as response:
            path.write_bytes(await response.read())

    async def one(session: ClientSession, number: int, seconds: float, weight: int) -> None:
        form = FormData({"prompt": f"{seconds:.6f}", "num_images": str(weight)}, default_to_multipart=True)
        async with places, session.post(f"{url}/v1/ideogram-v3/generate", data=form) as response:
            answer = await response.json()

        links = [image["url"] for image in answer["data"]]
        await asyncio.gather(*(save(session, link, folder / f"{number}-{n}.png") for n, link in enumerate(links)))

    async with ClientSession() as session:
        await asyncio.gather(*(one(session, number, *job) for number, job in enumerate(work)))


def ideal(work: Work) -> Figures:
    """Return and print how long calls of exactly those times take, in the limiter's order, against the lower bound."""
    line, coming, times = Line(), iter(work), dict[Waiter, float]()
    flying: list[tuple[float, int, Waiter]] = []
    now, room = 0.0, LIMIT

    def join(count: int) -> None:
        for seconds, weight in islice(coming, count):
            waiter = Waiter(weight)
            times[waiter] = seconds
            line.join(waiter)

    join(LIMIT + LOOK_AHEAD)
    for number in range(len(work)):
        while (waiter := line.call(room)) is None:
            now, _, done = heappop(flying)
            room += done.weight
            join(1)

        room -= waiter.weight
        heappush(flying, (now + times[waiter], number, waiter))

    seconds = max(flying)[0]
    return told("ideal", work, seconds)


def measure(run: Callable[[str, Work, Path], Coroutine[None, None, None]], work: Work) -> Figures:
    """Return and print how long it takes against the lower bound."""
    with TemporaryDirectory() as folder, serving("--image-seconds", str(DOWNLOAD_SECONDS)) as url:
        warm = Path(folder, "warm")
        warm.mkdir()
        # So that imports do not count.
        asyncio.run(run(url, work[:LIMIT], warm))
        began = time.perf_counter()
        asyncio.run(run(url, work, Path(folder)))
        seconds = time.perf_counter() - began

    return told(run.__name__, work, seconds)


def told(name: str, work: Work, seconds: float) -> Figures:
    """Print and return how long it took against the lower bound."""
    bound = sum(seconds * weight for seconds, weight in work) / LIMIT
    print(f"{name:10} {len(work):5} jobs in {seconds:6.2f} s   {seconds / bound:.3f} of the bound")
    return {"jobs": len(work), "wall": seconds, "bound": bound, "ratio": seconds / bound}


def main() -> None:
    """Print how full each keeps the places."""
    commit = Journal._commit

    def timed(self: Journal, *args: Any) -> None:
        began = time.perf_counter()
        commit(self, *args)
        commits.append(time.perf_counter() - began)

    kept: dict[str, object] = {}
    with patch.object(Journal, "_commit", timed):
        for most, count in JOBS.items():
            kept[f"1 to {most}"] = compared(most, count)

    means = {"elapsed": fmean(elapsed), "drawn": fmean(drawn)}
    print("a call took {elapsed:.4f} s with its connection and SENDING; {drawn:.4f} s were drawn".format(**means))
    print(f"the journal made {len(commits)} commits, {1000 * median(commits):.2f} ms each (median)")
    keep("slots", kept | means | {"commit": median(commits)})


def compared(most: int, count: int) -> dict[str, Figures]:
    """Let all do the same work."""
    rng = random.Random(1)
    work = [(rng.uniform(0.05, 0.15), rng.randint(1, most)) for _ in range(count)]
    drawn.extend(seconds for seconds, _ in work)
    print(f"{count} jobs of 1 to {most} images")
    return {
        "ideal": ideal(work),
        "batch": measure(batch, work),
        "bare": measure(bare, work),
        "semaphore": measure(semaphore, work[:BY_HAND]),
    }


if __name__ == "__main__":
    main()
