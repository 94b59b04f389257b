"""A batch stops buying while it cannot download, and what was billed is downloaded later."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from support.batches import TIMEOUT, collect, count_images, make_jobs, run_batch
from support.clients import connected, fast_limiter
from support.folders import image, job, write_folder

from ideogram_async import Ideogram, ImageState, JobState, Retry
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.job import PROBLEM_TEXTS
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.uncollected import CollectingLimiter, UncollectedImages
from ideogram_async.sandbox import Fault, Sandbox

PAGE = Fault.status(200, b"<html>back soon", {"Content-Type": "text/html"})
DEAD = Fault.status(418)
"""The image host fails, and the download is not retried."""


async def pause() -> None:
    """Let everything proceed that can."""
    for _ in range(300):
        await asyncio.sleep(0)


async def wait_for_image_requests(sandbox: Sandbox, count: int) -> None:
    """Wait without running: a busy loop would starve the threads of the journal and of the drawing."""
    await sandbox._condition.wait_for(lambda: len(sandbox.image_requests) >= count)


async def keep_releasing(sandbox: Sandbox) -> None:
    """Release every reply that hangs, until cancelled."""
    while True:
        sandbox.release()
        await wait_for_image_requests(sandbox, len(sandbox.image_requests) + 1)


@pytest.mark.parametrize("is_collecting", [False, True])
@pytest.mark.parametrize(
    ("fault", "problem", "requests"),
    [
        (Fault.status(404), "gone", 6),
        (Fault.status(403), "gone", 6),
        (Fault.status(410), "gone", 6),
        (PAGE, "not_an_image", 6),
        (Fault.cut, "cut", 6),
        (Fault.endless, "too_large", 3),
        (Fault.refuse, "unreachable", None),
        (None, "too_large", 3),
    ],
    ids=["404", "403", "410", "page", "cut", "endless", "refuse", "cap"],
)
async def test_a_failing_image_host_loses_no_image(
    sandbox: Sandbox, tmp_path: Path, is_collecting: bool, fault: Fault | None, problem: str, requests: int | None
):
    """It fails during the whole first run. Once it works again, everything is stored, and nothing is sent again."""
    if fault is not None:
        sandbox.fail("images", fault=fault, times=requests or 1)

    cap = 10 if fault is None else 2000
    async with connected(sandbox.url, retry=Retry(attempts=2, base=0.0), max_image_bytes=cap) as client:
        first = await run_batch(client, make_jobs(3), tmp_path)

    images = [image for result in first.failures for image in result.images]
    seen = len(sandbox.image_requests)
    sandbox.release()
    async with connected(sandbox.url, max_image_bytes=2000) as client:
        second = await (
            Folder(tmp_path).collect(client) if is_collecting else run_batch(client, make_jobs(3), tmp_path)
        )

    assert {JobState.ANSWERED: 3} == first.by_state
    assert [(ImageState.LINKED, problem)] * 3 == [(image.state, image.problem) for image in images]
    assert None not in [image.tried_at for image in images]
    assert requests in (None, seen)
    assert ({JobState.DONE: 3}, 3, 3) == (second.by_state, count_images(tmp_path), len(sandbox.requests))
    assert {(None, None)} == {
        (image.problem, image.tried_at) for result in Folder(tmp_path).results() for image in result.images
    }


async def test_an_image_that_is_too_large_is_requested_again_with_a_larger_maximum_only(
    sandbox: Sandbox, tmp_path: Path
):
    """With the same maximum, or a smaller one, the result is known."""
    requests: list[int] = []
    for maximum in (20, 20, 10, 30):
        async with connected(sandbox.url, max_image_bytes=maximum) as client:
            await run_batch(client, make_jobs(2), tmp_path)

        requests.append(len(sandbox.image_requests))

    assert [2, 2, 2, 4] == requests
    assert 2 == len(sandbox.requests)


async def test_a_link_to_a_refused_host_is_not_tried_again(client: Ideogram, tmp_path: Path):
    """The time of the last try does not change."""
    row = job(0, JobState.ANSWERED, raw=b"{}", status=200)
    url, tried_at = "http://10.0.0.1/x.png?exp=9999999999", "2026-01-01T00:00:00+00:00"
    linked = image(row, state=ImageState.LINKED, url=url, problem="refused", tried_at=tried_at)
    folder = Folder(write_folder(tmp_path, [row], [linked]))
    await folder.collect(client)
    [result] = folder.results()

    assert ("refused", tried_at) == (result.images[0].problem, str(result.images[0].tried_at).replace(" ", "T"))


async def test_a_dead_image_host_stops_the_buying(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """After 20 images in a row only the calls in flight finish. The next run downloads what was billed."""
    sandbox.fail("images", fault=DEAD, times=1000)
    first = await run_batch(client, make_jobs(100), tmp_path)
    billed = sandbox.ledger.billed_images
    again = await run_batch(client, make_jobs(100), tmp_path)

    assert re.match(r"\d\d images in a row could not be downloaded", first.stopped or "")
    assert PROBLEM_TEXTS["unreachable"] in (first.stopped or "")
    assert "Folder.collect" in (first.stopped or "")
    assert 20 <= billed < 30
    assert billed == first.images_linked
    assert again.stopped is not None


@pytest.mark.parametrize("max_uncollected", [1, 5])
async def test_max_uncollected_bounds_what_is_bought(sandbox: Sandbox, tmp_path: Path, max_uncollected: int):
    """At most `max_uncollected` and the calls in flight are billed."""
    sandbox.fail("images", fault=DEAD, times=1000)
    async with connected(sandbox.url, limiter=fast_limiter(4)) as client:
        report = await run_batch(client, make_jobs(50, num_images=2), tmp_path, max_uncollected=max_uncollected)

    assert report.stopped is not None
    assert max_uncollected <= sandbox.ledger.billed_images <= max_uncollected + 4


async def test_sending_waits_for_downloads(sandbox: Sandbox, tmp_path: Path):
    """It resumes once an image is stored. Meanwhile no slot is held: other calls are sent."""
    sandbox.fail("images", fault=Fault.hang, times=100)
    async with (
        asyncio.timeout(TIMEOUT),
        connected(sandbox.url, limiter=fast_limiter(2)) as client,
        client.batch(make_jobs(12), tmp_path, max_uncollected=3) as batch,
    ):
        await wait_for_image_requests(sandbox, 3)
        for _ in range(5):
            await client.generate("not of the batch")

        bought = len(sandbox.requests) - 5
        releasing = asyncio.create_task(keep_releasing(sandbox))
        results = [result async for result in batch]
        releasing.cancel()

    assert 3 <= bought <= 5
    assert 12 == len(results)
    assert {JobState.DONE} == {result.state for result in results}
    assert batch.report().stopped is None


async def test_a_stop_ends_the_wait(sandbox: Sandbox, tmp_path: Path):
    """The jobs that waited stay pending."""
    sandbox.fail("images", fault=Fault.hang, times=100)
    async with (
        asyncio.timeout(TIMEOUT),
        connected(sandbox.url, limiter=fast_limiter(2)) as client,
        client.batch(make_jobs(12), tmp_path, max_uncollected=2) as batch,
    ):
        await wait_for_image_requests(sandbox, 2)
        await pause()
        batch.stop()
        releasing = asyncio.create_task(keep_releasing(sandbox))
        results = [result async for result in batch]
        releasing.cancel()

    assert 2 <= len(results) == len(sandbox.requests) <= 2 + 2


async def test_what_earlier_runs_left_does_not_stop_the_buying(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Only images that were answered in this run count."""
    sandbox.fail("images", fault=DEAD, times=16)
    await run_batch(client, make_jobs(8), tmp_path)
    report = await run_batch(client, make_jobs(20), tmp_path, max_uncollected=2)

    assert (None, 8, 12) == (report.stopped, report.images_linked, report.images_stored)


async def test_withheld_images_are_not_waited_for(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """There is nothing to download."""
    sandbox.fail(fault=Fault.unsafe(), times=20)
    results = await collect(client, make_jobs(20), tmp_path, max_uncollected=1)

    assert ({JobState.PARTIAL}, 20) == ({result.state for result in results}, len(results))


async def test_a_stored_image_resets_the_counts():
    """Failures in between are not in a row."""
    stopping = StopPolicy()
    uncollected = UncollectedImages(2, stopping)
    for _ in range(3):
        uncollected.record_answered(1)
        uncollected.record_failed("cut")
        uncollected.record_stored()

    assert (None, False) == (stopping.reason, uncollected.is_full)

    uncollected.record_answered(2)

    assert uncollected.is_full


async def test_slots_that_are_granted_too_late_are_released():
    """A call that queued before the maximum was reached waits without its slots."""
    uncollected = UncollectedImages(1, StopPolicy())
    limiter = fast_limiter(1)
    collecting = CollectingLimiter(limiter, uncollected)

    async def hold() -> None:
        async with collecting.acquire(1):
            held.set()
            await done.wait()

    held, done = asyncio.Event(), asyncio.Event()
    async with limiter.acquire(1):
        holding = asyncio.create_task(hold())
        await pause()
        uncollected.record_answered(1)

    await pause()

    assert (0, 0, False) == (limiter.statistics().in_flight, limiter.statistics().waiting, held.is_set())

    uncollected.record_stored()
    await held.wait()

    assert 1 == limiter.statistics().in_flight

    done.set()
    await holding
