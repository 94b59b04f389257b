"""Counter of sends: written after the commit and before the first byte, and never ahead of the journal."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from support.batches import TIMEOUT, count_images, make_jobs, run_batch
from support.folders import job, journal_path, write_folder

from ideogram_async import Ideogram, JobState, JournalError
from ideogram_async._batch.journal import meta, queries, writer
from ideogram_async._batch.journal.counter import (
    COUNTER,
    Count,
    SendCounter,
    UncountedSendError,
    create_counter,
    read_counter,
)
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.record import JobRecord
from ideogram_async._batch.workspace import Workspace
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Fault, Sandbox


def counted(folder: Path) -> int | None:
    return read_counter(journal_path(folder).with_name(COUNTER)).sends


def recorded(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return meta.read_sends(database)


@pytest.fixture
def full_disk() -> Iterator[int]:
    """A descriptor that refuses every write with `ENOSPC`."""
    fd = os.open("/dev/full", os.O_WRONLY)
    yield fd
    os.close(fd)


def fill_disk_of(journal: Journal, full_disk: int) -> None:
    """Make the file system refuse every write to the counter."""
    counter = journal._counter
    assert counter is not None
    os.dup2(full_disk, counter._fd)


@pytest.mark.parametrize("sends", [0, 1, 2**40])
def test_a_counter_is_a_number_and_its_complement(tmp_path: Path, sends: int):
    """It has 16 bytes that only its owner can read, and is read as it was written."""
    path = tmp_path / COUNTER
    create_counter(path, 7)
    counter = SendCounter(path)
    counter.write(sends)
    counter.close()

    assert Count(sends) == read_counter(path)
    assert (sends.to_bytes(8) + (sends ^ (2**64 - 1)).to_bytes(8), 0o600) == (
        path.read_bytes(),
        path.stat().st_mode & 0o777,
    )


@pytest.mark.parametrize("content", [b"", b"1", bytes(16), bytes(8) + b"\xff" * 7, bytes(8) + b"\xff" * 9])
def test_a_damaged_counter_has_no_number(tmp_path: Path, content: bytes):
    """Neither has a file of another size."""
    (tmp_path / COUNTER).write_bytes(content)

    assert read_counter(tmp_path / COUNTER).sends is None


def test_a_counter_that_is_no_file_has_no_number(tmp_path: Path):
    """A folder, a pipe, a link and a missing file are not read, and reading does not wait."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    create_counter(tmp_path / COUNTER, 3)
    (tmp_path / "link").symlink_to(tmp_path / COUNTER)
    counts = [read_counter(tmp_path / name) for name in ("folder", "pipe", "link", "missing")]

    assert [None] * 4 == [count.sends for count in counts]
    assert all(count.problem for count in counts)


async def test_each_send_is_counted(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A retry after 429 counts, since it was sent; a second run continues the number."""
    sandbox.fail("generate", fault=Fault.status(429), times=2)
    await run_batch(client, make_jobs(5), tmp_path)

    assert len(sandbox.requests) == counted(tmp_path) == recorded(journal_path(tmp_path))

    await run_batch(client, make_jobs(8), tmp_path)

    assert len(sandbox.requests) == counted(tmp_path) == recorded(journal_path(tmp_path))


async def test_a_group_of_sends_is_counted_once(journal: Journal, path: Path):
    """The sends of one commit are one write to the counter."""
    rows = [job(number, JobState.PENDING) for number in range(20)]
    await journal.run(lambda database: queries.insert_jobs(database, rows))
    begun = [journal.submit(partial(queries.begin_attempt, row=row), urgent=True, is_send=True) for row in rows]
    writes: list[int] = []
    assert journal._counter is not None
    journal._counter.write = writes.append  # type: ignore[method-assign]
    await asyncio.gather(*begun)

    assert 20 == writes[-1] == recorded(path)
    assert len(writes) < 20


async def test_a_send_that_cannot_be_counted_is_taken_back(journal: Journal, path: Path, full_disk: int):
    """Its row is as it was before, and nothing more may be sent."""
    rows = [job(0, JobState.PENDING), job(1, JobState.AMBIGUOUS)]
    await journal.run(lambda database: queries.insert_jobs(database, rows))
    fill_disk_of(journal, full_disk)
    record = JobRecord(journal, rows[0])
    with pytest.raises(UncountedSendError, match="No space left on device"):
        await record.begin()

    with pytest.raises(OSError, match="No space left on device"):
        await JobRecord(journal, rows[1]).begin()

    states = await journal.run(
        lambda database: [queries.find_job(database, key=row.key).state for row in rows]  # type: ignore[union-attr]
    )

    assert [JobState.PENDING, JobState.AMBIGUOUS] == states
    assert (JobState.PENDING, False) == (record.row.state, record.is_unrecorded)
    assert (1, 0) == (recorded(path), read_counter(path.with_name(COUNTER)).sends)


async def test_a_resend_that_cannot_be_counted_is_taken_back(journal: Journal, full_disk: int):
    """It does not count as a resend."""
    row = job(0, JobState.AMBIGUOUS)
    await journal.run(lambda database: queries.insert_jobs(database, [row]))
    fill_disk_of(journal, full_disk)
    with pytest.raises(UncountedSendError):
        await JobRecord(journal, row).begin()

    after = await journal.run(partial(queries.find_job, key=row.key))

    assert after is not None
    assert (JobState.AMBIGUOUS, 0) == (after.state, after.resends)


async def test_a_batch_stops_when_a_send_cannot_be_counted(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, full_disk: int, monkeypatch: pytest.MonkeyPatch
):
    """Nothing more is sent and nothing is in doubt. The next run sends the rest."""
    counters: list[SendCounter] = []

    def open_counter(path: Path) -> SendCounter:
        counters.append(SendCounter(path))
        return counters[-1]

    monkeypatch.setattr(writer, "SendCounter", open_counter)
    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(make_jobs(30), tmp_path) as batch:
        await sandbox.wait_for_requests(10)
        os.dup2(full_disk, counters[0]._fd)
        sandbox.release()
        async for _ in batch:
            pass

    assert "No space left on device" in (batch.report().stopped or "")
    assert (10, ()) == (len(sandbox.requests), Folder(tmp_path).report().ambiguous)

    report = await run_batch(client, make_jobs(30), tmp_path)

    assert {JobState.DONE: 30} == report.by_state
    assert (30, 30) == (len(sandbox.requests), count_images(tmp_path))


async def test_a_step_in_the_same_commit_is_not_affected(journal: Journal, full_disk: int):
    """Only the send is an error; the outcome that was committed with it is on record."""
    rows = [job(0, JobState.PENDING), job(1, JobState.PENDING)]
    fill_disk_of(journal, full_disk)
    inserted = journal.submit(lambda database: queries.insert_jobs(database, rows), urgent=True)
    begun = journal.submit(partial(queries.begin_attempt, row=rows[0]), urgent=True, is_send=True)
    outcomes = await asyncio.gather(inserted, begun, return_exceptions=True)

    assert [type(None), UncountedSendError] == [type(outcome) for outcome in outcomes]


async def test_a_failed_commit_is_not_counted(journal: Journal, path: Path):
    """The counter is never ahead: a step that fails leaves both numbers."""
    missing = job(0, JobState.PENDING)
    with pytest.raises(JournalError):
        await journal.submit(partial(queries.begin_attempt, row=missing), is_send=True)

    assert 0 == recorded(path) == read_counter(path.with_name(COUNTER)).sends


async def test_a_journal_that_lost_records_permits_no_sending(tmp_path: Path):
    """One that was opened to collect images refuses a send."""
    row = job(0, JobState.PENDING)
    folder = write_folder(tmp_path, [row])
    create_counter(journal_path(folder).with_name(COUNTER), 5)
    workspace = Workspace.open(folder, origin="sandbox", on_loss="warn")
    with pytest.raises(JournalError, match="without permission to send"):
        await JobRecord(workspace.journal, row).begin()

    await asyncio.to_thread(workspace.journal.close)

    assert (5, 0) == (counted(folder), recorded(journal_path(folder)))


async def test_collecting_reads_a_journal_that_lost_records(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It downloads what is left with a warning, and sends nothing."""
    sandbox.fail("images", fault=Fault.status(503), times=15)
    await run_batch(client, make_jobs(3), tmp_path)
    create_counter(journal_path(tmp_path).with_name(COUNTER), 5)
    await Folder(tmp_path).collect(client)

    assert (3, 3) == (len(sandbox.requests), count_images(tmp_path))
    assert any("has lost records: 2 of 5" in record.getMessage() for record in caplog.records)


def test_a_job_of_a_journal_that_lost_records_can_be_resolved(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """It is, with a warning, and the journal stays behind: a batch still refuses the folder."""
    folder = write_folder(tmp_path, [job(0, JobState.AMBIGUOUS)])
    create_counter(journal_path(folder).with_name(COUNTER), 5)
    result = Folder(folder).resolve("row-0", "lost")

    assert JobState.PARTIAL == result.state
    assert ["has lost records" in record.getMessage() for record in caplog.records] == [True]
    assert (5, 0) == (counted(folder), recorded(journal_path(folder)))
