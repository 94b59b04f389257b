"""A batch whose folder is moved or replaced stops, and writes nothing to what took its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.batches import TIMEOUT, count_images, make_jobs, run_batch
from support.pictures import picture

from ideogram_async import FromJob, Generate, Ideogram, ImageFile, Job, JobState, Remix, Upscale
from ideogram_async._download.held import HeldFolder
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Sandbox


def link_elsewhere(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("outside"))


def replace(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.mkdir()


def move(path: Path) -> None:
    path.rename(path.with_name("moved"))


@pytest.mark.parametrize("change", [link_elsewhere, replace, move])
async def test_a_folder_that_is_replaced_stops_the_batch(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, change: Callable[[Path], None]
):
    """Nothing more is sent. The images of the calls in flight are stored in the folder, and it resumes where it is."""
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "out"
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(40), folder, sidecars=True) as batch:
        await sandbox.wait_for_requests(10)
        change(folder)
        sandbox.release()
        results = [result async for result in batch]

    sent = len(sandbox.requests)

    assert "moved or replaced" in (batch.report().stopped or "")
    assert {JobState.DONE: 10} == batch.report().by_state
    assert (10, 10, 10) == (sent, len(results), count_images(tmp_path / "moved"))
    assert 10 == len(list((tmp_path / "moved").glob("*.png.json")))
    assert [] == list((tmp_path / "outside").iterdir())
    assert not (folder.is_dir() and list(folder.iterdir()))

    report = await run_batch(client, make_jobs(40), tmp_path / "moved")

    assert (40, {JobState.DONE: 40}) == (len(sandbox.requests), report.by_state)


@pytest.mark.parametrize("change", [link_elsewhere, replace, move])
async def test_a_hidden_folder_that_is_replaced_stops_the_batch(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, change: Callable[[Path], None]
):
    """The journal stays in the folder that was opened, and nothing is written to the other."""
    (tmp_path / "outside").mkdir()
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(20), tmp_path) as batch:
        await sandbox.wait_for_requests(10)
        change(tmp_path / ".ideogram")
        sandbox.release()
        async for _ in batch:
            pass

    assert "moved or replaced" in (batch.report().stopped or "")
    assert (10, 10) == (len(sandbox.requests), count_images(tmp_path))
    assert [] == list((tmp_path / "outside").iterdir())


async def test_an_input_is_not_copied_to_another_folder(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A file that is not a path is copied before its job is sent, and not to what took the folder's place."""
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "out"

    async def jobs():
        yield Job(Generate("a fox"), id="fox")
        await sandbox.wait_for_requests(1)
        link_elsewhere(folder)
        yield Job(Remix(ImageFile(picture()), "a fox"), id="remix")

    report = await run_batch(client, jobs(), folder)

    assert "moved or replaced" in (report.stopped or "")
    assert 1 == len(sandbox.requests)
    assert [] == list((tmp_path / "outside").iterdir())


async def test_a_folder_may_be_a_symbolic_link(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The link is followed when the batch starts."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    report = await run_batch(client, make_jobs(3), tmp_path / "out")

    assert {JobState.DONE: 3} == report.by_state
    assert 3 == count_images(tmp_path / "disk")


async def test_the_working_directory_may_change(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A relative path means the folder where the batch started."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(20), Path("out")) as batch:
        await sandbox.wait_for_requests(10)
        monkeypatch.chdir(tmp_path / "elsewhere")
        sandbox.release()
        async for _ in batch:
            pass

    assert {JobState.DONE: 20} == batch.report().by_state
    assert (20, 0) == (count_images(tmp_path / "out"), count_images(tmp_path / "elsewhere"))


def test_a_closed_folder_opens_nothing(tmp_path: Path):
    """Its descriptor may belong to another file by then."""
    held = HeldFolder(tmp_path)
    held.close()
    held.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        held.open()


async def test_stored_images_stay_stored_where_the_folder_was_moved(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The files of jobs that are read after the move are not taken for deleted: their links may have expired."""
    folder = tmp_path / "out"
    await run_batch(client, make_jobs(10), folder)
    downloads = len(sandbox.image_requests)

    async def jobs():
        yield make_jobs(1)[0]
        folder.rename(tmp_path / "moved")
        for job in make_jobs(10)[1:]:
            yield job

    await run_batch(client, jobs(), folder)
    report = Folder(tmp_path / "moved").report()

    assert (10, 0) == (report.images_stored, report.images_linked)
    assert downloads == len(sandbox.image_requests)


async def test_images_and_copies_are_found_after_the_working_directory_changed(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A relative folder is where it was: also for images of earlier jobs, copied inputs and stored images."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    first = make_jobs(2)
    await run_batch(client, first, Path("out"))

    async def jobs():
        yield first[0]
        monkeypatch.chdir(tmp_path / "elsewhere")
        yield first[1]
        yield Job(Upscale(FromJob("fox-0")), id="big")
        yield Job(Remix(ImageFile(picture()), "a fox"), id="remix")

    report = await run_batch(client, jobs(), Path("out"))

    assert ({JobState.DONE: 4}, 4) == (report.by_state, len(sandbox.requests))
    assert 4 == len(sandbox.image_requests) == count_images(tmp_path / "out")
    assert [] == list((tmp_path / "elsewhere").iterdir())
