"""Journal: committed steps are durable, and an untrusted file is left unchanged."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import attrs
import pytest
from support.paths import TESTS

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import ImageRow, JobRow
from ideogram_async._batch.journal.schema import APPLICATION_ID, MIGRATIONS
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.record import JobRecord
from ideogram_async.errors import JournalError
from ideogram_async.models.base import Reply


def job(number: int, state: JobState = JobState.PENDING, usd: str | None = "0.06") -> JobRow:
    return JobRow(
        key=f"key{number}",
        number=number,
        id=f"id{number}",
        operation="Generate",
        request="{}",
        fingerprint="f",
        weight=1,
        usd=None if usd is None else Decimal(usd),
        state=state,
    )


async def test_inserted_jobs_are_read_after_reopening(journal: Journal, path: Path):
    """A job is read as it was written."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0), job(1, usd=None)]))
    journal.close()
    reopened = Journal(path, origin="sandbox").open()
    rows = await reopened.run(
        lambda database: [queries.find_job(database, key="key0"), queries.find_job(database, id="id1")]
    )
    reopened.close()

    assert [job(0), job(1, usd=None)] == rows


async def test_a_transition_changes_the_state_and_the_values_with_it(journal: Journal):
    """It changes one row that is in the expected state."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    await journal.run(partial(queries.change_state, key="key0", before=JobState.PENDING, after=JobState.SENDING))
    await journal.run(
        partial(
            queries.change_state, key="key0", before=JobState.SENDING, after=JobState.ANSWERED, status=200, raw=b"{}"
        )
    )
    row = await journal.run(partial(queries.find_job, key="key0"))

    assert row is not None
    assert (JobState.ANSWERED, 200, b"{}") == (row.state, row.status, row.raw)


async def test_a_wrong_transition_is_an_error_and_changes_nothing(journal: Journal):
    """A job in another state than expected keeps it."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    with pytest.raises(JournalError, match="job key0 is not sending"):
        await journal.run(partial(queries.change_state, key="key0", before=JobState.SENDING, after=JobState.DONE))

    assert [job(0)] == await journal.run(lambda database: queries.jobs_after(database, (JobState.PENDING,), -1))


@pytest.mark.parametrize("before", [JobState.PENDING, JobState.AMBIGUOUS])
@pytest.mark.parametrize("ending", ["answered", "cut", "unsent"])
async def test_a_finished_attempt_is_returned_as_the_journal_has_it(journal: Journal, before: JobState, ending: str):
    """The row is returned without another read, and equals the one in the journal."""
    row = attrs.evolve(job(0, before), status=500, raw=b"?", headers="{}", error="an earlier error", resends=3)
    await journal.run(lambda database: queries.insert_jobs(database, [row]))
    record = JobRecord(journal, row)
    await record.begin()
    if ending == "answered":
        await record.answer(Reply(status=200, headers={}, raw=b"{}"))
    else:
        await record.fail(OSError(ending), may_have_run=ending == "cut")

    states = {"answered": JobState.ANSWERED, "cut": JobState.AMBIGUOUS, "unsent": before}
    resends = 3 + (before is JobState.AMBIGUOUS and ending != "unsent")

    assert record.row == await journal.run(partial(queries.find_job, key="key0"))
    assert (states[ending], resends) == (record.row.state, record.row.resends)


async def test_images_are_linked_once_and_stored_from_linked(journal: Journal):
    """A second insert keeps the first row, and storing expects the linked state."""
    image = ImageRow(key="key0", number=0, state=ImageState.LINKED, url="https://ideogram.ai/x.png", seed=7)
    stored = attrs.evolve(image, state=ImageState.STORED, path="x.png", sha256="0" * 64, size=9)
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    for _ in range(2):
        await journal.run(lambda database: queries.insert_images(database, [image]))

    await journal.run(partial(queries.change_image, row=stored, before=ImageState.LINKED))
    with pytest.raises(JournalError, match="image 0 of job key0 is not linked"):
        await journal.run(partial(queries.change_image, row=stored, before=ImageState.LINKED))

    assert [stored] == await journal.run(partial(queries.images_of, key="key0"))


async def test_queued_steps_share_a_commit(journal: Journal):
    """A hundred concurrent steps need fewer than fifty commits."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(number) for number in range(100)]))
    statements: list[str] = []
    await journal.run(lambda database: database.set_trace_callback(statements.append))
    steps = [
        partial(queries.change_state, key=f"key{number}", before=JobState.PENDING, after=JobState.SENDING)
        for number in range(100)
    ]
    await asyncio.gather(*map(journal.run, steps))

    assert statements.count("COMMIT") < 50


async def test_urgent_steps_run_first(journal: Journal):
    """They run before all other queued steps, and steps of the same urgency run in order."""
    gate, order = threading.Event(), list[int]()
    blocking = asyncio.create_task(journal.run(lambda _: gate.wait(10)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(journal.run(lambda _, n=n: order.append(n))) for n in range(2)]
    urgent = [asyncio.create_task(journal.run(lambda _, n=n: order.append(n), urgent=True)) for n in range(2, 4)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(blocking, *others, *urgent)

    assert [2, 3, 0, 1] == order


async def test_closing_runs_the_queued_steps_and_refuses_new_ones(journal: Journal):
    """A step after the close is an error."""
    gate, order = threading.Event(), list[int]()
    blocking = asyncio.create_task(journal.run(lambda _: gate.wait(10)))
    await asyncio.sleep(0)
    steps = [asyncio.create_task(journal.run(lambda _, n=n: order.append(n))) for n in range(3)]
    await asyncio.sleep(0)
    journal.request_close()
    gate.set()
    await asyncio.gather(blocking, *steps)
    await asyncio.to_thread(journal.close)
    with pytest.raises(JournalError, match="is closed"):
        await journal.run(lambda _: None)

    assert [0, 1, 2] == order


async def test_a_failing_step_affects_no_other(journal: Journal):
    """Of the steps of one commit, the failing one is rolled back and the others are committed."""

    def insert_and_fail(database: sqlite3.Connection) -> None:
        queries.insert_jobs(database, [job(1)])
        raise KeyError("bug")

    outcomes = await asyncio.gather(
        journal.run(lambda database: queries.insert_jobs(database, [job(0)])),
        journal.run(insert_and_fail),
        journal.run(lambda database: queries.insert_jobs(database, [job(2)])),
        return_exceptions=True,
    )
    rows = await journal.run(lambda database: queries.jobs_after(database, (JobState.PENDING,), -1))

    assert [type(None), KeyError, type(None)] == [type(outcome) for outcome in outcomes]
    assert [job(0), job(2)] == rows


async def test_the_step_of_a_cancelled_caller_still_runs(journal: Journal):
    """The cancellation is raised at once, and the step is committed."""
    task = asyncio.create_task(journal.run(lambda database: queries.insert_jobs(database, [job(0)])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [job(0)] == await journal.run(lambda database: queries.jobs_after(database, (JobState.PENDING,), -1))


def test_a_step_is_durable_once_it_returns(path: Path):
    """It survives a SIGKILL right after."""
    program = f"""
import asyncio, os, signal
from pathlib import Path
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.writer import Journal
from test_journal import job

async def main():
    journal = Journal(Path({str(path)!r}), origin="sandbox").open()
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent) + os.pathsep + str(TESTS)}
    killed = subprocess.run([sys.executable, "-c", program], env=env, check=False)
    journal = Journal(path, origin="sandbox").open()
    row = asyncio.run(journal.run(partial(queries.find_job, key="key0")))
    journal.close()

    assert -signal.SIGKILL == killed.returncode
    assert job(0) == row


def read_alone(path: Path) -> int:
    """Count the jobs in a copy of the database file without its WAL."""
    copy = shutil.copy(path, path.with_name("copy"))
    with closing(sqlite3.connect(copy)) as database:
        (count,) = database.execute("SELECT count(*) FROM job").fetchone()

    return int(count)


async def test_an_open_journal_is_checkpointed(journal: Journal, path: Path):
    """The WAL of a long run stays small: what it contained is in the database file."""
    for start in range(0, 400, 100):
        rows = [attrs.evolve(job(number), raw=bytes(20_000)) for number in range(start, start + 100)]
        await journal.run(partial(queries.insert_jobs, rows=rows))

    assert read_alone(path) >= 300


async def test_a_journal_is_checkpointed_when_it_is_closed(journal: Journal, path: Path):
    """Its database file is complete, even while another process reads it."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        reader.execute("SELECT count(*) FROM job").fetchone()
        before = read_alone(path)
        await asyncio.to_thread(journal.close)

        assert (0, 1) == (before, read_alone(path))


def write_garbage(path: Path) -> None:
    path.write_bytes(b"\x00garbage" * 1000)


def write_foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE foreign_table (a)")

    database.close()


def write_newer(path: Path) -> None:
    Journal(path, origin="sandbox").open().close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    database.close()


def write_other_origin(path: Path) -> None:
    Journal(path, origin="https://api.ideogram.ai").open().close()


def write_empty(path: Path) -> None:
    path.touch()


def write_damaged(path: Path) -> None:
    journal = Journal(path, origin="sandbox").open()
    asyncio.run(journal.run(lambda database: queries.insert_jobs(database, [job(number) for number in range(500)])))
    journal.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xff" * (4096 * 5)
    path.write_bytes(content)


WRITERS = [write_garbage, write_foreign, write_newer, write_other_origin, write_empty, write_damaged]


@pytest.mark.parametrize("write", WRITERS)
def test_an_untrusted_file_is_refused_and_left_unchanged(path: Path, write):
    """Damaged, foreign and newer files, and those of another service, keep every byte."""
    write(path)
    before = path.read_bytes()
    with pytest.raises(JournalError):
        Journal(path, origin="sandbox").open()

    assert before == path.read_bytes()


def test_an_unfinished_journal_is_created_again(path: Path):
    """A journal is created under another name, which a killed process may leave."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_bytes(b"half a journal")
    Journal(path, origin="sandbox").open().close()

    assert not unfinished.exists()


def test_a_new_journal_is_marked_private_and_durable(path: Path, journal: Journal):
    """It has the application id, only its owner can read it, and every commit is synced."""
    settings = asyncio.run(
        journal.run(
            lambda database: [
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version", "journal_mode", "synchronous")
            ]
        )
    )

    assert [APPLICATION_ID, len(MIGRATIONS), "wal", 2] == settings
    assert 0o600 == path.stat().st_mode & 0o777
