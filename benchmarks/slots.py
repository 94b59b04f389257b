"""Slot use of a batch, next to a bare client and a plain loop with a semaphore.

Calls make 1 to 4 images, an image downloads in 50 ms, and 10 images may be in progress. The figure is the duration of
the whole run as a multiple of its lower bound: the sum of weight times time, divided by the limit. Sizes do not always
fit into 10 slots: `ideal` is the duration of calls that take exactly the drawn times in the limiter's order.

In real time a call takes 1 to 3 s. The bare client sends the same calls in the same order, without a journal and
without downloads, so the difference is the cost of recording a call: two commits while it holds its slots. The last
calls of a run leave slots idle, and a change of their order shows in the figure: a run is long.

On virtual time a call takes 5 to 15 s, as the service does, and passes through the layers of the client: retry,
limiter, and a last layer that waits for the drawn time and the overhead that was measured in real time.

    python benchmarks/slots.py
"""

from __future__ import annotations

import asyncio
import random
import sys
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import mkdtemp

from harness import Figures, compare, describe_machine, disk_folder, run_script, slow_server, write_results

Work = list[tuple[float, int]]
PATH = "/v1/ideogram-v3/generate"
LIMIT = 10
MAX_IMAGES = 4
DOWNLOAD_SECONDS = 0.05
SECONDS = (1.0, 3.0)
SERVICE_SECONDS = (5.0, 15.0)
COUNT = 240
VIRTUAL_COUNT = 2000
BY_HAND = 20
"""Jobs of the plain loop, which is slow."""


def draw_work(count: int, seconds: tuple[float, float]) -> Work:
    """Draw the time and the number of images of each call: the same for every contender."""
    rng = random.Random(1)
    return [(rng.uniform(*seconds), rng.randint(1, MAX_IMAGES)) for _ in range(count)]


def lower_bound(work: Work) -> float:
    """Return the shortest possible duration in seconds."""
    return sum(seconds * weight for seconds, weight in work) / LIMIT


async def batch(url: str, *, count: int, folder: str) -> Figures:
    """Run the calls as a batch."""
    from ideogram_async import Generate, Ideogram, Job
    from ideogram_async.events import Answered, Event

    work, elapsed = draw_work(count, SECONDS), list[float]()

    def on_event(event: Event) -> None:
        if isinstance(event, Answered):
            elapsed.append(event.elapsed)

    jobs = (Job(Generate(f"{seconds:.6f}", num_images=weight), id=str(n)) for n, (seconds, weight) in enumerate(work))
    async with Ideogram("key", base_url=url, max_in_flight=LIMIT) as client:
        report = await client.run_batch(jobs, mkdtemp(dir=folder), on_event=on_event)

    assert report.stopped is None, report
    assert sum(weight for _, weight in work) == report.images_stored, report
    return {"bound": lower_bound(work), "elapsed": fmean(elapsed)}


async def bare(url: str, *, count: int, folder: str) -> Figures:  # noqa: ARG001
    """Send the calls in the same order over bare aiohttp, a connection each, and drop the answers."""
    from aiohttp import ClientSession, FormData, TCPConnector

    from ideogram_async._batch.source import LOOK_AHEAD
    from ideogram_async._limiter.limiter import ImageLimiter

    work, limiter, sending = draw_work(count, SECONDS), ImageLimiter(LIMIT), asyncio.Semaphore(LIMIT + LOOK_AHEAD)

    async def call(session: ClientSession, seconds: float, weight: int) -> None:
        form = FormData({"prompt": f"{seconds:.6f}", "num_images": str(weight)}, default_to_multipart=True)
        async with limiter.acquire(weight), session.post(url + PATH, data=form) as response:
            await response.read()

        sending.release()

    connector = TCPConnector(force_close=True, limit=0)
    async with ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for seconds, weight in work:
            await sending.acquire()
            group.create_task(call(session, seconds, weight))

    return {"bound": lower_bound(work)}


async def semaphore(url: str, *, count: int, folder: str) -> Figures:
    """Run the calls as people write it by hand: as many at once as always fit."""
    from aiohttp import ClientSession, FormData

    work, slots = draw_work(count, SECONDS)[:BY_HAND], asyncio.Semaphore(LIMIT // MAX_IMAGES)
    images = Path(mkdtemp(dir=folder))

    async def save(session: ClientSession, url: str, path: Path) -> None:
        async with session.get(url) as response:
            path.write_bytes(await response.read())

    async def job(session: ClientSession, number: int, seconds: float, weight: int) -> None:
        form = FormData({"prompt": f"{seconds:.6f}", "num_images": str(weight)}, default_to_multipart=True)
        async with slots, session.post(url + PATH, data=form) as response:
            answer = await response.json()

        links = [image["url"] for image in answer["data"]]
        await asyncio.gather(*(save(session, link, images / f"{number}-{n}.png") for n, link in enumerate(links)))

    async with ClientSession() as session:
        await asyncio.gather(*(job(session, number, *drawn) for number, drawn in enumerate(work)))

    return {"bound": lower_bound(work), "count": len(work)}


def ideal(work: Work) -> Figures:
    """Return the duration of calls that take exactly the drawn times in the limiter's order."""
    from ideogram_async._batch.source import LOOK_AHEAD
    from ideogram_async._limiter.slots import Waiter, WaitQueue

    queue, remaining, times = WaitQueue(), iter(work), dict[Waiter, float]()
    in_flight: list[tuple[float, int, Waiter]] = []
    now, free = 0.0, LIMIT

    def push(count: int) -> None:
        for seconds, weight in islice(remaining, count):
            waiter = Waiter(weight)
            times[waiter] = seconds
            queue.push(waiter)

    push(LIMIT + LOOK_AHEAD)
    for number in range(len(work)):
        while (waiter := queue.pop_next(free)) is None:
            now, _, finished = heappop(in_flight)
            free += finished.weight
            push(1)

        free -= waiter.weight
        heappush(in_flight, (now + times[waiter], number, waiter))

    return {"wall": max(in_flight)[0], "bound": lower_bound(work)}


async def through_layers(work: Work, overhead: float) -> float:
    """Send calls of the drawn times through retry and limiter, and return the seconds by the loop's clock."""
    from ideogram_async import Generate, Reply, Retry
    from ideogram_async._batch.source import LOOK_AHEAD
    from ideogram_async._limiter.limiter import ImageLimiter
    from ideogram_async._transport.emitter import Emitter
    from ideogram_async._transport.limit import limited
    from ideogram_async._transport.retry import retrying
    from ideogram_async._transport.tasks import Tasks
    from ideogram_async._wire.call import Call
    from ideogram_async._wire.encode import encode

    async def last(call: Call) -> Reply:
        assert call.prompt is not None
        await asyncio.sleep(float(call.prompt.reveal()) + overhead)
        return Reply(status=200, raw=b"{}")

    emit, sending = Emitter(None, Tasks), asyncio.Semaphore(LIMIT + LOOK_AHEAD)
    send = retrying(limited(last, ImageLimiter(LIMIT), emit), Retry(), emit)

    async def call(seconds: float, weight: int) -> None:
        await send(encode(Generate(f"{seconds:.6f}", num_images=weight)))
        sending.release()

    async with asyncio.TaskGroup() as group:
        for seconds, weight in work:
            await sending.acquire()
            group.create_task(call(seconds, weight))

    return asyncio.get_running_loop().time()


def on_virtual_time(overhead: float) -> dict[str, Figures]:
    """Measure the layers of the client at the service's own times, in an event loop that never waits."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.virtual import run

    work = draw_work(VIRTUAL_COUNT, SERVICE_SECONDS)
    wall = run(through_layers(work, overhead))
    return {"ideal": ideal(work), "layers": {"wall": wall, "bound": lower_bound(work)}}


CONTENDERS = {"batch": batch, "bare": bare, "semaphore": semaphore}


def main(rounds: int) -> None:
    """Print the duration of each contender as a multiple of the lower bound."""
    print(describe_machine())
    work = draw_work(COUNT, SECONDS)
    with disk_folder() as folder, slow_server(image_seconds=DOWNLOAD_SECONDS) as url:
        medians = compare(__file__, CONTENDERS, url, rounds=rounds, warmup=2, count=COUNT, folder=folder)

    overhead = medians["batch"]["elapsed"] - fmean(seconds for seconds, _ in work)
    figures = {
        "real": with_ratios(f"{COUNT} calls of 1 to 3 s, in real time", {"ideal": ideal(work), **medians}),
        "virtual": with_ratios(f"{VIRTUAL_COUNT} calls of 5 to 15 s, on virtual time", on_virtual_time(overhead)),
    }
    print(f"a call of the batch took {1000 * overhead:.1f} ms longer than drawn, both commits included")
    write_results("slots", figures)


def with_ratios(title: str, medians: dict[str, Figures]) -> dict[str, Figures]:
    """Print and add the ratio of each duration to the lower bound."""
    print(f"\n{title}")
    for name, figures in medians.items():
        figures["ratio"] = figures["wall"] / figures["bound"]
        print(f"{name:10} {figures['wall']:8.2f} s   {figures['ratio']:.4f} of the bound")

    return medians


if __name__ == "__main__":
    run_script(CONTENDERS, main, rounds=1)
