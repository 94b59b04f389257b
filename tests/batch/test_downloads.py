"""Images of a batch: names, sidecars, conflicts and later downloads."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from support.batches import TIMEOUT, by_id, collect, count_images, make_jobs, run_batch
from support.pictures import picture

from ideogram_async import (
    Generate,
    Ideogram,
    ImageState,
    InvalidRequestError,
    Job,
    JobState,
    LayerizeText,
)
from ideogram_async._batch import task
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.identity import job_key
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
            collect(client, make_jobs(16, num_images=2), tmp_path, max_downloads=max_downloads, max_uncollected=32)
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
    """A file with the same bytes is adopted. One with other bytes stays; the image stays linked until it moves."""
    names = "{id}-{seed}"  # known after the answer only
    await run_batch(client, make_jobs(2), tmp_path / "first", names=names)
    folder = tmp_path / "second"
    folder.mkdir()
    first, second = sorted((tmp_path / "first").glob("*.png"))
    (folder / first.name).write_bytes(first.read_bytes())
    (folder / second.name).write_bytes(b"mine")
    report = await run_batch(client, make_jobs(2), folder, names=names)
    image, requests = report.failures[0].images[0], len(sandbox.image_requests)

    assert {JobState.DONE: 1, JobState.ANSWERED: 1} == report.by_state
    assert (ImageState.LINKED, "name_taken") == (image.state, image.problem)
    assert b"mine" == (folder / second.name).read_bytes()

    report = await run_batch(client, make_jobs(2), folder, names=names)

    assert (1, requests) == (report.images_linked, len(sandbox.image_requests))

    (folder / second.name).rename(folder / "mine.png")
    report = await run_batch(client, make_jobs(2), folder, names=names)

    assert ({JobState.DONE: 2}, second.read_bytes()) == (report.by_state, (folder / second.name).read_bytes())
    assert 4 == len(sandbox.ledger.entries)


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
    assert ImageState.EXPIRED == report.failures[0].images[0].state
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

    await run_batch(client, [], tmp_path)
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


async def test_a_folder_without_its_journal_pays_for_no_image_again(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Every job with an image on disk is refused before it is sent, and no number of them stops the batch."""
    await run_batch(client, make_jobs(30), tmp_path)
    shutil.rmtree(tmp_path / ".ideogram")
    (tmp_path / "fox-7-0.png").unlink()
    report = await run_batch(client, make_jobs(30), tmp_path)
    error = report.failures[0].error

    assert ({JobState.REJECTED: 29, JobState.DONE: 1}, None) == (report.by_state, report.stopped)
    assert (31, Decimal("0.06")) == (len(sandbox.requests), report.spent_usd)
    assert isinstance(error, InvalidRequestError)
    assert str(tmp_path / f"{report.failures[0].id}-0.png") in str(error)
    assert "Move the file" in error.advice
    assert 29 == Folder(tmp_path).report().by_state[JobState.PENDING]

    (tmp_path / "fox-3-0.png").rename(tmp_path / "moved")
    report = await run_batch(client, make_jobs(30), tmp_path)

    assert (32, 2) == (len(sandbox.requests), report.by_state[JobState.DONE])


@pytest.mark.parametrize(
    ("request_", "name", "options"),
    [
        (Generate("a fox"), "fox-0.png", {}),
        (Generate("a fox"), "fox-0.jpg", {}),
        (Generate("a fox", num_images=3), "fox-2.webp", {}),
        (LayerizeText(picture(size=(512, 512))), "fox-1.png", {}),
        (Generate("a fox"), f"a-fox-{job_key('', id='fox', occurrence=0)[:8]}-0.png", {"names": "a {id}"}),
        (Generate("a fox"), "dangling", {}),
    ],
)
async def test_a_taken_name_is_noticed_before_money_is_spent(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, request_, name: str, options: dict[str, str]
):
    """For each image that the request makes, in each format. A dangling symbolic link takes a name, too."""
    if name == "dangling":
        (tmp_path / "fox-0.png").symlink_to(tmp_path / "missing")
    else:
        (tmp_path / name).touch()

    [result] = await collect(client, [Job(request_, id="fox")], tmp_path, **options)

    assert (JobState.REJECTED, 0) == (result.state, len(sandbox.requests))


@pytest.mark.parametrize("name", ["fox-1.png", "fox-0.gif", "fox-0.png.json", "fox.png"])
async def test_other_names_are_free(client: Ideogram, tmp_path: Path, name: str):
    """A file with another name refuses no job."""
    (tmp_path / name).touch()
    [result] = await collect(client, [Job(Generate("a fox"), id="fox")], tmp_path)

    assert JobState.DONE == result.state


async def test_a_link_without_expiry_expires_a_day_after_its_answer(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """By the clock of the image host."""
    sandbox.fail("images", fault=Fault.status(404), times=100)
    answer = {"url": f"{sandbox.image_url}/x.png", "is_image_safe": True, "seed": 1, "prompt": "", "resolution": "1x1"}
    reply = json.dumps({"created": "2026-01-01T00:00:00Z", "data": [answer]})
    sandbox.fail(fault=Fault.status(200, reply))
    states: list[str] = []
    for seconds in (0, 86_000, 1000):
        sandbox.advance(seconds)
        [result] = await collect(client, make_jobs(1), tmp_path)
        states += [image.state for image in result.images]

    assert [ImageState.LINKED, ImageState.LINKED, ImageState.EXPIRED] == states
    assert JobState.PARTIAL == result.state


async def test_rejected_bytes_are_kept_in_the_hidden_folder(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Under the key of the job and the number of the image."""
    sandbox.fail("images", fault=Fault.status(200, b"<html>back soon"), times=3)
    [result] = await collect(client, make_jobs(1), tmp_path)
    rejected = tmp_path / ".ideogram" / "rejected"

    assert [rejected / f"{result.key}-0"] == list(rejected.iterdir())
    assert b"<html>back soon" == (rejected / f"{result.key}-0").read_bytes()


async def test_an_image_shows_itself_in_a_notebook(client: Ideogram, tmp_path: Path):
    """A stored image is shown as a picture, and one whose file is missing by its path."""
    result = (await collect(client, make_jobs(1), tmp_path))[0]
    image = result.images[0]
    shown = image._repr_html_()
    (tmp_path / "fox-0-0.png").unlink()

    assert '<img src="data:image/png;base64,' in shown
    assert f"<code>{tmp_path / 'fox-0-0.png'}</code>" in image._repr_html_()


async def test_an_image_that_is_not_stored_is_a_table_in_a_notebook(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It shows the state and the problem, and no signature of the link."""
    sandbox.fail("images", fault=Fault.status(404), times=9)
    html = (await collect(client, make_jobs(1), tmp_path))[0].images[0]._repr_html_()

    assert ">gone<" in html
    assert ">linked<" in html
    assert "sig=" not in html


async def test_results_and_reports_show_themselves_in_a_notebook(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A result shows its pictures and its state, a report its text and what failed, without a signature."""
    sandbox.fail("images", fault=Fault.status(404), times=9)
    async with client.batch([*make_jobs(1, num_images=2), Generate("", seed=1)], tmp_path, ordered=True) as batch:
        results = [result async for result in batch]

    shown, refused, report = results[0]._repr_html_(), results[1]._repr_html_(), batch.report()._repr_html_()

    assert "fox-0, answered, 0.12 USD" in shown
    assert ">linked<" in shown
    assert "prompt: must not be empty" in refused
    assert report.startswith("<pre>2 jobs in ")
    assert ">fox-0<" in report
    assert "must not be empty" in report
    assert "sig=" not in shown + report
