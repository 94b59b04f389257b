"""What goes wrong around a batch: disks, money, the service, other processes, the clock. Ids name the fault tests."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.clients import Events, connected, fast_limiter
from support.pictures import picture

from ideogram_async import (
    BatchLockedError,
    Generate,
    Ideogram,
    ImageState,
    Job,
    JobResult,
    JobState,
    JournalError,
    Remix,
    Report,
)
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._download import atomic, disk
from ideogram_async.events import Throttled
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox import images as origin

TIMES_OUT = 20


def foxes(count: int, **fields: Any) -> list[Job]:
    return [Job(Generate(f"fox {n}", seed=n, **fields), id=f"fox-{n}") for n in range(count)]


async def run(client: Ideogram, jobs: Any, folder: Path, **options: Any) -> Report:
    async with asyncio.timeout(TIMES_OUT):
        return await client.run_batch(jobs, folder, **options)


def images(folder: Path) -> int:
    return len(list(folder.glob("*.png")))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("may not mount a file system")

    yield place
    subprocess.run(["umount", "-l", place], check=True)


def padded(size: int) -> Any:
    def draw(recipe: Any, image_format: str) -> bytes:
        return picture(image_format, size=(64 + recipe.seed % 64, 48), length=size)

    return draw


async def test_a_full_disk_stops_the_batch_and_loses_nothing(
    client: Ideogram, box: Sandbox, small_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    """When an image does not fit nothing more is sent; with room again everything paid for is stored, unasked."""
    monkeypatch.setattr(origin, "draw", padded(150_000))
    folder = small_disk / "out"
    report = await run(client, foxes(200), folder)
    sent = len(box.requests)

    assert report.stopped is not None
    assert "No space left on device" in report.stopped
    assert sent < 100

    # Still full, or nearly: no more is asked for than what may be in flight when that is noticed.
    # Noticed on entering, or at the first image.
    with suppress(OSError):
        assert "No space left on device" in str(await run(client, foxes(200), folder))

    assert len(box.requests) <= sent + 10
    sent = len(box.requests)

    # A job whose turn came on the full disk was not sent while one behind it was: those may be any of the 200.
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    report = await run(client, foxes(200), folder)

    assert 200 == len(box.requests) == images(folder) + len(report.ambiguous)
    assert [] == box.ledger.duplicates


async def test_a_journal_that_does_not_fit_stops_the_batch(client: Ideogram, box: Sandbox, small_disk: Path):
    """When the journal cannot grow nothing more is sent, and the folder goes on when there is room."""
    folder = small_disk / "out"
    (await run(client, foxes(1), folder))
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - 4096 * 12))
    report = await run(client, foxes(300), folder)

    assert "No space left on device" in (report.stopped or "")
    assert len(box.ledger.entries) <= images(folder) + len(report.ambiguous) + report.by_state.get(JobState.ANSWERED, 0)

    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    report = await run(client, foxes(60), folder)

    assert 60 == images(folder) + len(report.ambiguous)
    assert [] == box.ledger.duplicates


async def test_a_folder_that_cannot_be_written_costs_nothing(client: Ideogram, box: Sandbox, tmp_path: Path):
    """A file in the folder's place, or a disk that is read only, is noticed before anything is sent."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(OSError, match=r"."):
            await run(client, foxes(1), folder)

    assert [] == box.requests


async def test_a_read_only_disk_costs_nothing(client: Ideogram, box: Sandbox, small_disk: Path):
    """So is a disk that was mounted read only."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only"):
        await run(client, foxes(1), small_disk)

    assert [] == box.requests


async def test_a_failed_sync_is_not_repeated(
    client: Ideogram, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An image whose sync fails stays linked, the batch stops, and the next run stores it without a new call."""
    failed: list[int] = []

    def sync(fd: int) -> None:
        if not failed:
            failed.append(fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        disk.sync(fd)

    monkeypatch.setattr(atomic, "sync", sync)
    report = await run(client, foxes(100), tmp_path)
    paid = len(box.ledger.entries)

    assert "Input/output error" in (report.stopped or "")
    assert (paid - 1, paid) == (images(tmp_path), len(box.requests))

    await run(client, [], tmp_path)

    assert (paid, paid) == (images(tmp_path), len(box.requests))


async def test_an_existing_file_is_never_overwritten(client: Ideogram, box: Sandbox, tmp_path: Path):
    """The same bytes are adopted; other bytes stay, and the image is a conflict."""
    await run(client, foxes(2), tmp_path / "first")
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "fox-0-0.png").write_bytes((tmp_path / "first" / "fox-0-0.png").read_bytes())
    (folder / "fox-1-0.png").write_bytes(b"mine")
    report = await run(client, foxes(2), folder)

    assert {JobState.DONE: 1, JobState.PARTIAL: 1} == report.by_state
    assert ImageState.CONFLICT is report.failures[0].images[0].state
    assert b"mine" == (folder / "fox-1-0.png").read_bytes()


async def test_deleted_files_are_downloaded_again(client: Ideogram, box: Sandbox, tmp_path: Path):
    """What was deleted comes back while its link lives, and is expired afterwards; nothing is bought again."""
    await run(client, foxes(5), tmp_path)
    for n in range(3):
        (tmp_path / f"fox-{n}-0.png").unlink()

    await run(client, foxes(5), tmp_path)

    assert (5, 5) == (images(tmp_path), len(box.requests))

    (tmp_path / "fox-0-0.png").unlink()
    box.advance(100_000)
    report = await run(client, foxes(5), tmp_path)

    assert {JobState.DONE: 4, JobState.PARTIAL: 1} == report.by_state
    assert 5 == len(box.requests)


async def test_a_slow_disk_does_not_block_the_loop(client: Ideogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While a sync takes half a second, the event loop goes round."""
    lags: list[float] = []

    def slow(fd: int) -> None:
        threading.Event().wait(0.5)
        disk.sync(fd)

    async def measure() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - began)

    monkeypatch.setattr(atomic, "sync", slow)
    measuring = asyncio.create_task(measure())
    await run(client, foxes(4), tmp_path)
    measuring.cancel()

    assert sorted(lags)[int(len(lags) * 0.99)] < 0.05


async def test_a_second_batch_finds_the_folder_locked(client: Ideogram, box: Sandbox, tmp_path: Path):
    """It is refused at once by name, sends nothing, and the first goes on."""
    box.hold()
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(3), tmp_path) as batch:
        await box.wait_for_requests(3)
        with pytest.raises(BatchLockedError, match=f"locked by process {os.getpid()}"):
            await run(client, foxes(10), tmp_path)

        box.release()
        found = [result async for result in batch]

    assert (3, 3) == (len(found), len(box.requests))


def test_a_surviving_child_process_does_not_keep_the_lock(tmp_path: Path):
    """When the owner is killed, a child that it forked earlier holds nothing."""
    script = f"""if True:
        import os, signal, time
        from pathlib import Path
        from ideogram_async._batch.journal.lock import FolderLock
        lock = FolderLock(Path({str(tmp_path)!r}) / "lock").acquire()
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.closerange(0, 3)
            os.write(tell, b"x")
            time.sleep(30)
            os._exit(0)
        os.read(told, 1)
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    owner = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    child = int(owner.stdout)
    lock = FolderLock(tmp_path / "lock").acquire()
    os.kill(child, 0)
    lock.release()
    os.kill(child, 9)


async def test_a_row_of_ambiguous_calls_stops_the_batch(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Five calls in doubt in a row stop the batch; no more are sent than those in flight besides."""
    box.fail(fault=Fault.status(500), times=1000)
    report = await run(client, foxes(100), tmp_path)

    assert "5 jobs in a row have an unknown outcome" == report.stopped
    assert len(box.requests) == len(report.ambiguous) <= 20


async def test_a_clock_that_jumps_expires_nothing(
    client: Ideogram, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A link that seems past by our clock is tried all the same."""
    ahead = time.time() + 2 * 86400
    monkeypatch.setattr(time, "time", lambda: ahead)
    box.advance(-2 * 86400)
    report = await run(client, foxes(3), tmp_path)

    assert {JobState.DONE: 3} == report.by_state


async def test_an_empty_account_stops_the_batch(client: Ideogram, box: Sandbox, tmp_path: Path):
    """After a 402 nothing more is sent, what flies is stored, and the next run pays for the rest, once each."""
    box.fail(fault=Fault.status(402), after=36, times=1000)
    report = await run(client, foxes(100), tmp_path)

    assert "the balance or the plan does not cover the call (402)" == report.stopped
    assert 36 == len(box.ledger.entries) == images(tmp_path)
    assert len(box.requests) <= 36 + 10

    paid = box.ledger.entries
    box.reset()
    await run(client, foxes(100), tmp_path)

    assert 100 == len(paid) + len(box.ledger.entries) == images(tmp_path)


@pytest.mark.parametrize(("status", "words"), [(401, "key"), (403, "key"), (307, "redirects")])
async def test_a_refused_key_stops_the_batch(client: Ideogram, box: Sandbox, tmp_path: Path, status: int, words: str):
    """What is refused to one is refused to all: no more is sent than what was in flight."""
    box.fail(fault=Fault.status(status), times=1000)
    report = await run(client, foxes(100), tmp_path)

    assert words in (report.stopped or "")
    assert len(box.requests) <= 10


async def test_a_missing_key_sends_nothing(box: Sandbox, tmp_path: Path):
    """Without a key nothing is sent, and the folder stays as it was."""
    async with connected(box.url, api_key="") as client:
        report = await run(client, foxes(30), tmp_path)

    assert "the API key is not valid (401)" == report.stopped
    assert [] == box.requests


async def test_a_bad_request_concerns_only_its_job(client: Ideogram, box: Sandbox, tmp_path: Path):
    """One rejected job is unpaid and not sent again; twenty in a row stop the batch."""
    box.fail(fault=Fault.status(400), after=3)
    report = await run(client, foxes(10), tmp_path)

    assert {JobState.DONE: 9, JobState.REJECTED: 1} == report.by_state
    assert report.failures[0].error is not None

    again = await run(client, foxes(10), tmp_path)

    assert (10, str(report.failures[0].error)) == (len(box.requests), str(again.failures[0].error))

    box.reset()
    box.fail(fault=Fault.status(400), times=1000)
    report = await run(client, foxes(100, num_images=2), tmp_path / "other")

    assert "20 jobs in a row" in (report.stopped or "")
    assert len(box.requests) <= 30


async def test_a_captive_portal_stops_the_batch(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Answers that nobody can read are kept, not asked for again, and stop the batch when three come in a row."""
    box.fail(fault=Fault.wrong_type, times=1000)
    report = await run(client, foxes(100), tmp_path)

    assert "3 answers in a row cannot be read" == report.stopped
    assert {JobState.ANSWERED} == set(report.by_state)
    assert len(box.requests) <= 20


async def test_a_dead_network_stops_the_batch(client: Ideogram, box: Sandbox, tmp_path: Path):
    """When nothing can be sent, the jobs wait for another run."""
    box.fail(fault=Fault.refuse)
    report = await run(client, foxes(100), tmp_path)

    assert "could not be sent" in (report.stopped or "")
    assert Decimal(0) == report.in_doubt_usd

    box.release()

    assert {JobState.DONE: 100} == (await run(client, foxes(100), tmp_path)).by_state


async def test_a_stop_does_not_wait_for_a_closed_gate(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Jobs that wait because of a 429 are left for another run at once when the batch stops."""
    events = Events()
    refusal = Fault.status(429, headers={"Retry-After": "600"})
    box.fail(fault=refusal, times=1000)
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(30), tmp_path, on_event=events) as batch:
        while not events.of(Throttled):
            await asyncio.sleep(0.001)

    assert (0, "the caller left") == (len(box.ledger.entries), batch.report().stopped)


@pytest.mark.parametrize("seed", range(3))
async def test_the_cap_holds_through_faults(client: Ideogram, box: Sandbox, tmp_path: Path, seed: int):
    """Of 100 jobs of any weight with 5 % faults, what was paid and what is in doubt never exceed the cap."""
    rng = random.Random(seed)
    cap, faults = Decimal("6.00"), (Fault.reset_before_headers, Fault.html_502, Fault.status(500), Fault.status(400))
    for n in range(200):
        if rng.random() < 0.05:
            box.fail(fault=rng.choice(faults), after=n)

    jobs = [Job(Generate(f"fox {n}", num_images=rng.randint(1, 4)), id=str(n)) for n in range(100)]
    reports = [await run(client, jobs, tmp_path, max_cost_usd=cap) for _ in range(3)]
    whole = Folder(tmp_path).report()
    spent = whole.spent_usd + whole.in_doubt_usd

    assert box.ledger.billed_usd <= spent <= cap
    assert "budget of 6.00 USD reached" in [report.stopped for report in reports]
    assert [] == box.ledger.duplicates


async def test_a_second_purchase_needs_money_of_its_own(client: Ideogram, box: Sandbox, tmp_path: Path):
    """With `retry_ambiguous` a job is sent twice at most, and both attempts count against the cap."""
    box.fail(fault=Fault.close_after_body, times=1000)
    report = await run(client, foxes(2), tmp_path / "a", retry_ambiguous=True, max_cost_usd="0.24")

    assert (4, Decimal("0.24")) == (len(box.requests), report.in_doubt_usd)

    box.reset()
    box.fail(fault=Fault.close_after_body, times=1000)
    report = await run(client, foxes(1), tmp_path / "b", retry_ambiguous=True, max_cost_usd="0.06")

    assert (1, "budget of 0.06 USD reached") == (len(box.requests), report.stopped)

    again = await run(client, foxes(1), tmp_path / "a", retry_ambiguous=True)

    assert (1, JobState.AMBIGUOUS) == (len(box.requests), again.ambiguous[0].state)


async def test_a_job_of_unknown_price_is_not_bought_under_a_cap(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Under a cap it is rejected unpaid; without one it is sent by the next run."""
    request = Remix(picture(), "a fox", character_reference_images=[picture()])
    unknown = [Job(Generate("a", custom_model_uri="model/fox/version/1", character_reference_images=[picture()]))]
    assert client.estimate(unknown[0].request).usd is None
    assert client.estimate(request).usd is not None
    report = await run(client, unknown, tmp_path, max_cost_usd=10)

    assert ([], {JobState.REJECTED: 1}) == (box.requests, report.by_state)


async def test_what_is_in_doubt_is_listed_whatever_is_asked(client: Ideogram, box: Sandbox, tmp_path: Path):
    """A later run of other jobs still lists, with its price, what an earlier one has left in doubt."""
    box.fail(fault=Fault.close_after_body)
    await run(client, foxes(3), tmp_path)
    report = await run(client, [Generate("another")], tmp_path)

    assert {JobState.DONE: 1, JobState.AMBIGUOUS: 1} == report.by_state
    assert (Decimal("0.06"), Decimal("0.06")) == (report.in_doubt_usd, report.ambiguous[0].cost_usd)


async def test_a_journal_of_another_service_is_refused(box: Sandbox, client: Ideogram, tmp_path: Path):
    """A folder of the sandbox is none of the service, and nothing is sent."""
    await run(client, foxes(1), tmp_path)
    async with Ideogram("key", limiter=fast_limiter()) as other:
        with pytest.raises(JournalError, match="belongs to sandbox"):
            await run(other, foxes(1), tmp_path)


async def test_the_key_is_in_no_file(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Neither the journal nor a sidecar holds the key; the journal is its owner's alone."""
    async with client.batch(foxes(3), tmp_path, sidecars=True) as batch:
        found: list[JobResult] = [result async for result in batch]
        held = [path for path in tmp_path.rglob("*") if path.is_file()]
        contents = [path.read_bytes() for path in held]
        modes = {path.stat().st_mode & 0o777 for path in held if ".ideogram" in path.parts}

    assert 3 == len(found)
    assert not any(b"canary" in content for content in contents)
    assert ({0o600}, 0o700) == (modes, (tmp_path / ".ideogram").stat().st_mode & 0o777)
