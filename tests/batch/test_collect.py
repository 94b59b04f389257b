"""`Folder.collect`: images that were billed are downloaded later, and nothing is sent."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from batch.test_accepting import leave_accepted, submissions
from download.conftest import serve
from support.batches import count_images, make_jobs, run_batch
from support.clients import connected
from support.folders import journal_path
from support.origin import ok, picture
from support.paths import DATA

from ideogram_async import BatchLockedError, Generate, Ideogram, Job, JobState, JournalError
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async.sandbox import Fault, Sandbox

IMAGE = picture("PNG")


async def test_linked_and_deleted_images_are_downloaded(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Images that could not be downloaded, and those whose file was deleted, are asked for again without a POST."""
    sandbox.fail("images", fault=Fault.status(418), times=3)
    await run_batch(client, make_jobs(6), tmp_path)
    next(tmp_path.glob("*.png")).unlink()
    paid = len(sandbox.requests)
    before = Folder(tmp_path).report()
    report = await Folder(tmp_path).collect(client)

    assert 3 == before.images_linked
    assert ({JobState.DONE: 6}, 6, 0) == (report.by_state, report.images_stored, report.images_linked)
    assert (6, paid) == (count_images(tmp_path), len(sandbox.requests))


async def test_it_needs_no_key_and_sends_no_pending_job(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Pending jobs stay pending, and the report covers them."""
    sandbox.fail(fault=Fault.status(402), after=2, times=100)
    await run_batch(client, make_jobs(8), tmp_path)
    next(tmp_path.glob("*.png")).unlink()
    sent = len(sandbox.requests)
    async with connected(sandbox.url, api_key="") as keyless:
        report = await Folder(tmp_path).collect(keyless, max_downloads=1)

    assert {JobState.DONE: 2, JobState.PENDING: 6} == report.by_state
    assert (2, sent) == (count_images(tmp_path), len(sandbox.requests))


async def test_nothing_to_download_is_no_request(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A complete folder causes no request of any kind."""
    await run_batch(client, make_jobs(3), tmp_path)
    before = len(sandbox.image_requests)
    report = await Folder(tmp_path).collect(client)

    assert (3, before) == (report.images_stored, len(sandbox.image_requests))


async def test_a_folder_in_use_is_refused(client: Ideogram, tmp_path: Path):
    """Another process may hold the folder."""
    await run_batch(client, make_jobs(1), tmp_path)
    lock = FolderLock(tmp_path / ".ideogram" / "lock").acquire()
    with pytest.raises(BatchLockedError):
        await Folder(tmp_path).collect(client)

    lock.release()

    assert 1 == (await Folder(tmp_path).collect(client)).images_stored


async def test_a_folder_without_a_journal_is_refused(client: Ideogram, tmp_path: Path):
    """Nothing is created."""
    with pytest.raises(JournalError):
        await Folder(tmp_path / "none").collect(client)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("is_collecting", [False, True])
async def test_an_image_that_is_given_up_is_not_requested_again(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, is_collecting: bool
):
    """The folder is finished."""
    sandbox.fail("images", fault=Fault.status(418))
    await run_batch(client, make_jobs(1), tmp_path)
    folder = Folder(tmp_path)
    await asyncio.to_thread(folder.resolve, "fox-0", "lost")
    await folder.collect(client) if is_collecting else await run_batch(client, make_jobs(1), tmp_path)
    report = folder.report()

    assert ({JobState.PARTIAL: 1}, 1, 1) == (report.by_state, report.images_lost, len(sandbox.image_requests))
    assert 1 == len(sandbox.requests)


async def test_accepted_jobs_are_waited_for(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Their images are downloaded. One that has failed is left for the next run, and nothing is sent."""
    sandbox.fail(fault=Fault.failed("internal_error"))
    await leave_accepted(client, sandbox, tmp_path, 3)
    sandbox.release()
    report = await Folder(tmp_path).collect(client)

    assert {JobState.DONE: 2, JobState.PENDING: 1} == report.by_state
    assert (2, 3) == (count_images(tmp_path), submissions(sandbox))


async def test_accepted_jobs_need_a_key(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Without one they stay accepted, with the reason, and the links of other jobs are downloaded all the same."""
    await run_batch(client, [Job(Generate("a hen"), id="hen")], tmp_path)
    (tmp_path / "hen-0.png").unlink()
    await leave_accepted(client, sandbox, tmp_path, 2)
    sandbox.release()
    async with connected(sandbox.url, api_key="") as keyless:
        report = await Folder(tmp_path).collect(keyless)

    assert {JobState.DONE: 1, JobState.ACCEPTED: 2} == report.by_state
    assert (1, "the API key is missing or not valid (401)") == (count_images(tmp_path), report.stopped)


async def test_a_generation_that_does_not_end_is_left(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The wait ends with the timeout of the client, and a later call asks again."""
    await leave_accepted(client, sandbox, tmp_path, 1)
    async with connected(sandbox.url, timeout=0.3) as impatient:
        report = await Folder(tmp_path).collect(impatient)

    sandbox.release()

    assert {JobState.ACCEPTED: 1} == report.by_state
    assert {JobState.DONE: 1} == (await Folder(tmp_path).collect(client)).by_state


@pytest.fixture
def former_folder(tmp_path: Path) -> Path:
    """The files of a folder with a job for each state that schema 1 had, without its journal."""
    folder = tmp_path / "out"
    (folder / ".ideogram").mkdir(parents=True)
    for name in ("stored-0.png", "half-0.png"):
        (folder / name).write_bytes(IMAGE)

    (folder / "conflict-0.png").write_bytes(b"mine")
    return folder


@pytest.mark.parametrize("is_collecting", [False, True])
async def test_a_folder_of_schema_1_is_healed(
    client: Ideogram, sandbox: Sandbox, former_folder: Path, is_collecting: bool
):
    """Images that a former version gave up are requested again, unless their link had expired, and nothing is sent."""
    async with serve() as host:
        host.answers = [ok(IMAGE)]
        journal = (DATA / "journal_1.sql").read_text().replace("http://127.0.0.1:1/", f"http://127.0.0.1:{host.port}/")
        with closing(sqlite3.connect(journal_path(former_folder))) as database:
            database.executescript(journal)

        with pytest.raises(JournalError, match="an older version") as caught:
            Folder(former_folder).report()

        for _ in range(2):
            if is_collecting:
                await Folder(former_folder).collect(client)
            else:
                await run_batch(client, [], former_folder)

        problems = {image.problem for result in Folder(former_folder).results() for image in result.images}
        (former_folder / "conflict-0.png").unlink()
        await Folder(former_folder).collect(client)

    states = {
        result.id: " ".join([result.state, *(image.state for image in result.images)])
        for result in Folder(former_folder).results()
    }

    assert "batch collect" in caught.value.advice
    assert {None, "name_taken"} == problems
    assert states == {
        **dict.fromkeys(["stored", "conflict", "refused", "too-large", "page", "cut", "lost-with-link"], "done stored"),
        "linked": "done stored",
        "half": "done stored stored",
        "half-withheld": "partial withheld stored",
        "withheld": "partial withheld",
        "lost": "partial lost",
        "expired": "partial expired",
        "rejected": "rejected",
        "ambiguous": "ambiguous",
        "pending": "pending",
    }
    assert (9, 0) == (len(host.requests), len(sandbox.requests))


async def test_a_journal_that_lost_records_is_enough(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A batch refuses such a journal, since it may pay twice. Downloading cannot, so it only warns."""
    await run_batch(client, make_jobs(2), tmp_path)
    journal = journal_path(tmp_path)
    older = journal.read_bytes()
    await run_batch(client, make_jobs(4), tmp_path)
    journal.write_bytes(older)
    (tmp_path / "fox-0-0.png").unlink()
    with pytest.raises(JournalError):
        await run_batch(client, make_jobs(4), tmp_path)

    report = await Folder(tmp_path).collect(client)

    assert ({JobState.DONE: 2}, 4) == (report.by_state, count_images(tmp_path))
    assert 4 == len(sandbox.requests)
    assert any(record.levelname == "WARNING" for record in caplog.records)
