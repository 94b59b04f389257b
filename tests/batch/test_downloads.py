"""Images of a batch: names, sidecars, conflicts and later downloads."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from support.batches import TIMEOUT, by_id, collect, count_images, make_jobs, run_batch
from support.pictures import picture

from ideogram_async import (
    Generate,
    Ideogram,
    ImageState,
    Job,
    JobState,
    LayerizeText,
)
from ideogram_async._batch import task
from ideogram_async._download import atomic, disk
from ideogram_async.sandbox import Fault, Sandbox


async def test_layers_are_stored(client: Ideogram, tmp_path: Path):
    """Layerize stores the base image and the original."""
    [result] = await collect(client, [LayerizeText(picture(size=(512, 512)))], tmp_path)

    assert (JobState.DONE, 2) == (result.state, len(list(tmp_path.glob("*.png"))))


@pytest.mark.parametrize("max_downloads", [3, 24])
async def test_max_downloads_bounds_concurrent_downloads(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, max_downloads: int
):
    """Nothing else bounds them: a batch has its own connections."""
    sandbox.fail("images", fault=Fault.hang, times=max_downloads)
    async with asyncio.timeout(TIMEOUT):
        running = asyncio.create_task(
            collect(client, make_jobs(16, num_images=2), tmp_path, max_downloads=max_downloads)
        )
        while len(sandbox.image_requests) < max_downloads:
            await asyncio.sleep(0)

        for _ in range(200):
            await asyncio.sleep(0)

        concurrent = len(sandbox.image_requests)
        sandbox.release()
        await running

    assert max_downloads == concurrent


async def test_a_sidecar_is_written_next_to_its_image(client: Ideogram, tmp_path: Path):
    """It contains the request, seed, price and hash."""
    [result] = await collect(client, [Job(Generate("a fox", seed=7), id="fox")], tmp_path, sidecars=True)
    sidecar = json.loads((tmp_path / "fox-0.png.json").read_text())
    fields = tuple(sidecar[name] for name in ("job", "seed", "job_usd", "sha256"))

    assert ("fox", 7, "0.06", result.images[0].sha256) == fields


async def test_a_failed_sidecar_keeps_the_image_stored(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An image on disk is recorded as stored: its link may have expired when the batch resumes."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(task, "write_sidecars", fail)
        await client.run_batch([Generate("fox", num_images=2)], tmp_path, sidecars=True)

    sandbox.advance(10**6)
    report = await client.run_batch([Generate("fox", num_images=2)], tmp_path, sidecars=True)

    assert ({JobState.DONE: 1}, 2) == (report.by_state, report.images_stored)


async def test_an_existing_file_is_never_overwritten(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A file with the same bytes is adopted. One with other bytes stays, and the image is a conflict."""
    await run_batch(client, make_jobs(2), tmp_path / "first")
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "fox-0-0.png").write_bytes((tmp_path / "first" / "fox-0-0.png").read_bytes())
    (folder / "fox-1-0.png").write_bytes(b"mine")
    report = await run_batch(client, make_jobs(2), folder)

    assert {JobState.DONE: 1, JobState.PARTIAL: 1} == report.by_state
    assert ImageState.CONFLICT is report.failures[0].images[0].state
    assert b"mine" == (folder / "fox-1-0.png").read_bytes()


async def test_deleted_files_are_downloaded_again(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A deleted file is downloaded while its link is valid, and expired afterwards. No new image is generated."""
    await run_batch(client, make_jobs(5), tmp_path)
    for n in range(3):
        (tmp_path / f"fox-{n}-0.png").unlink()

    await run_batch(client, make_jobs(5), tmp_path)

    assert (5, 5) == (count_images(tmp_path), len(sandbox.requests))

    (tmp_path / "fox-0-0.png").unlink()
    sandbox.advance(100_000)
    report = await run_batch(client, make_jobs(5), tmp_path)

    assert {JobState.DONE: 4, JobState.PARTIAL: 1} == report.by_state
    assert 5 == len(sandbox.requests)


async def test_a_job_whose_deleted_image_is_unavailable_is_answered(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A later run without input downloads the image."""
    await collect(client, make_jobs(2), tmp_path)
    (tmp_path / "fox-0-0.png").unlink()
    sandbox.fail("images", fault=Fault.status(503), times=12)

    results = by_id(await collect(client, make_jobs(2), tmp_path))

    assert {"fox-0": JobState.ANSWERED, "fox-1": JobState.DONE} == {
        name: result.state for name, result in results.items()
    }

    while not (tmp_path / "fox-0-0.png").exists():
        # Each run uses up some of the remaining faults.
        await collect(client, None, tmp_path)

    assert 2 == len(sandbox.ledger.entries)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"seed": 2**63}, (None, "fox")),
        ({"seed": -(2**70)}, (None, "fox")),
        ({"seed": 2**63 - 1}, (2**63 - 1, "fox")),
        ({"prompt": "half \ud800"}, (1, "half ?")),
    ],
)
async def test_an_answer_with_values_that_the_journal_cannot_store(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, values: dict[str, object], stored: tuple[object, ...]
):
    """A number that is too large, or an unpaired surrogate, neither ends the batch nor hides the image."""
    item = {"url": None, "is_image_safe": False, "seed": 1, "prompt": "fox", "resolution": "1024x1024"} | values
    answer = {"created": "2026-01-01T00:00:00Z", "data": [item]}
    sandbox.fail(fault=Fault.status(200, json.dumps(answer)))

    results = by_id(await collect(client, make_jobs(1), tmp_path))
    [image] = results["fox-0"].images

    assert (JobState.PARTIAL, ImageState.WITHHELD) == (results["fox-0"].state, image.state)
    assert stored == (image.seed, image.prompt)


async def test_a_wrong_clock_expires_no_link(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A link that has expired by the local clock is still requested."""
    wrong_time = time.time() + 2 * 86400
    monkeypatch.setattr(time, "time", lambda: wrong_time)
    sandbox.advance(-2 * 86400)
    report = await run_batch(client, make_jobs(3), tmp_path)

    assert {JobState.DONE: 3} == report.by_state


async def test_a_failed_sync_is_not_repeated(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The image stays linked and the batch stops. The next run stores the image without a new call."""
    has_failed = False

    def fail_once(fd: int) -> None:
        nonlocal has_failed
        if not has_failed:
            has_failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        disk.sync(fd)

    monkeypatch.setattr(atomic, "sync", fail_once)
    report = await run_batch(client, make_jobs(100), tmp_path)
    billed = len(sandbox.ledger.entries)

    assert "Input/output error" in (report.stopped or "")
    assert (billed - 1, billed) == (count_images(tmp_path), len(sandbox.requests))

    await run_batch(client, [], tmp_path)

    assert (billed, billed) == (count_images(tmp_path), len(sandbox.requests))


async def test_a_slow_disk_does_not_block_the_event_loop(
    client: Ideogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The event loop runs while a sync takes half a second."""
    lags: list[float] = []

    def slow_sync(fd: int) -> None:
        threading.Event().wait(0.5)
        disk.sync(fd)

    async def measure() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - began)

    monkeypatch.setattr(atomic, "sync", slow_sync)
    measuring = asyncio.create_task(measure())
    await run_batch(client, make_jobs(4), tmp_path)
    measuring.cancel()

    # A blocked loop would lag by the half second of a sync.
    assert sorted(lags)[int(len(lags) * 0.99)] < 0.25
