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
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from tempfile import mkdtemp

from harness import Figures, compare, contend, keep, machine, on_disk, serving_slowly

Work = list[tuple[float, int]]
PATH = "/v1/ideogram-v3/generate"
LIMIT = 10
DOWNLOAD_SECONDS = 0.05
COUNT = 500
WARM = 10
BY_HAND = 60
"""Jobs of the plain loop, which is slow."""


def drawn(count: int, most: int) -> Work:
    """Draw how long each call takes and how many images it makes, the same for every contender."""
    rng = random.Random(1)
    return [(rng.uniform(0.05, 0.15), rng.randint(1, most)) for _ in range(count)]


def bound_of(work: Work) -> float:
    """Return how many seconds it takes at least."""
    return sum(seconds * weight for seconds, weight in work) / LIMIT


async def batch(url: str, *, count: int, most: int, folder: str) -> Figures:
    """Run it as a batch; says how long its calls and its commits took."""
    from unittest.mock import patch

    from ideogram_async import Generate, Ideogram, Job
    from ideogram_async._batch.journal.writer import Journal
    from ideogram_async.events import Answered, Event

    work, elapsed, commits, commit = drawn(count, most), list[float](), list[float](), Journal._commit

    def note(event: Event) -> None:
        if isinstance(event, Answered):
            elapsed.append(event.elapsed)

    def timed(*args: object) -> None:
        began = time.perf_counter()
        commit(*args)  # type: ignore[arg-type]
        commits.append(time.perf_counter() - began)

    jobs = (Job(Generate(f"{seconds:.6f}", num_images=weight), id=str(n)) for n, (seconds, weight) in enumerate(work))
    async with Ideogram("key", base_url=url, max_in_flight=LIMIT) as client:
        with patch.object(Journal, "_commit", timed):
            report = await client.run_batch(jobs, mkdtemp(dir=folder), on_event=note)

    assert report.stopped is None, report
    assert sum(weight for _, weight in work) == report.images_stored, report
    return {"bound": bound_of(work), "elapsed": fmean(elapsed), "commit": median(commits)}


async def bare(url: str, *, count: int, most: int, folder: str) -> Figures:  # noqa: ARG001
    """Send the calls in the same order over bare aiohttp, a connection each, and drop the answers."""
    from aiohttp import ClientSession, FormData, TCPConnector
    from aiohttp.payload import BytesPayload

    from ideogram_async._batch.source import LOOK_AHEAD
    from ideogram_async._limiter.limiter import ImageLimiter

    work, limiter, asking = drawn(count, most), ImageLimiter(LIMIT), asyncio.Semaphore(LIMIT + LOOK_AHEAD)

    async def one(session: ClientSession, seconds: float, weight: int) -> None:
        form = FormData({"prompt": f"{seconds:.6f}", "num_images": str(weight)}, default_to_multipart=True)()
        body = BytesPayload(await form.as_bytes(), content_type=form.content_type)
        async with limiter.acquire(weight), session.post(url + PATH, data=body) as response:
            await response.read()

        asking.release()

    connector = TCPConnector(force_close=True, limit=0)
    async with ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for seconds, weight in work:
            await asking.acquire()
            group.create_task(one(session, seconds, weight))

    return {"bound": bound_of(work)}


async def semaphore(url: str, *, count: int, most: int, folder: str) -> Figures:
    """Run it as people write it by hand: so many calls at once that their images always fit."""
    from aiohttp import ClientSession, FormData

    work, places, images = drawn(count, most)[:BY_HAND], asyncio.Semaphore(LIMIT // most), Path(mkdtemp(dir=folder))

    async def save(session: ClientSession, url: str, path: Path) -> None:
        async with session.get(url) as response:
            path.write_bytes(await response.read())

    async def one(session: ClientSession, number: int, seconds: float, weight: int) -> None:
        form = FormData({"prompt": f"{seconds:.6f}", "num_images": str(weight)}, default_to_multipart=True)
        async with places, session.post(url + PATH, data=form) as response:
            answer = await response.json()

        links = [image["url"] for image in answer["data"]]
        await asyncio.gather(*(save(session, link, images / f"{number}-{n}.png") for n, link in enumerate(links)))

    async with ClientSession() as session:
        await asyncio.gather(*(one(session, number, *job) for number, job in enumerate(work)))

    return {"bound": bound_of(work)}


def ideal(work: Work) -> Figures:
    """Return how long calls of exactly those times take in the limiter's order."""
    from ideogram_async._batch.source import LOOK_AHEAD
    from ideogram_async._limiter.slots import Waiter, WaitQueue

    line, coming, times = WaitQueue(), iter(work), dict[Waiter, float]()
    flying: list[tuple[float, int, Waiter]] = []
    now, room = 0.0, LIMIT

    def join(count: int) -> None:
        for seconds, weight in islice(coming, count):
            waiter = Waiter(weight)
            times[waiter] = seconds
            line.push(waiter)

    join(LIMIT + LOOK_AHEAD)
    for number in range(len(work)):
        while (waiter := line.pop_next(room)) is None:
            now, _, done = heappop(flying)
            room += done.weight
            join(1)

        room -= waiter.weight
        heappush(flying, (now + times[waiter], number, waiter))

    return {"wall": max(flying)[0], "bound": bound_of(work)}


CONTENDERS = {"batch": batch, "bare": bare, "semaphore": semaphore}


def main(rounds: int) -> None:
    """Print how full each keeps the places."""
    print(machine())
    kept: dict[str, dict[str, Figures]] = {}
    with on_disk() as folder, serving_slowly(image_seconds=DOWNLOAD_SECONDS) as url:
        for most in (4, 8):
            options = {"count": COUNT, "most": most, "folder": folder}
            medians = compare(__file__, CONTENDERS, url, rounds=rounds, warm=WARM, **options)
            kept[f"1 to {most}"] = told(most, {"ideal": ideal(drawn(COUNT, most)), **medians})

    keep("slots", kept)


def told(most: int, medians: dict[str, Figures]) -> dict[str, Figures]:
    """Print how long each took against the lower bound."""
    print(f"\n{COUNT} jobs of 1 to {most} images ({BY_HAND} by the plain loop)")
    for name, figures in medians.items():
        figures["ratio"] = figures["wall"] / figures["bound"]
        print(f"{name:10} {figures['wall']:6.2f} s   {figures['ratio']:.3f} of the bound")

    drawn_seconds, ours = fmean(seconds for seconds, _ in drawn(COUNT, most)), medians["batch"]
    print(
        f"a call of the batch took {1000 * (ours['elapsed'] - drawn_seconds):.1f} ms more than was drawn, SENDING"
        f" included; a commit took {1000 * ours['commit']:.2f} ms (median)"
    )
    return medians


if __name__ == "__main__":
    contend(CONTENDERS, main, rounds=3)
