"""The journal: what it has said is on disk, and what it cannot trust it does not touch."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from decimal import Decimal
from functools import partial
from pathlib import Path

import attrs
import pytest
from support.paths import TESTS

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.queries import AttemptOutcome, ImageRow, JobRow
from ideogram_async._batch.journal.schema import APPLICATION_ID, MIGRATIONS
from ideogram_async._batch.journal.writer import Journal
from ideogram_async.errors import BatchLockedError, JournalError


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


async def test_what_was_added_is_found_again(journal: Journal, path: Path):
    """A job comes back as it went in, in another process of mind: after closing and opening."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0), job(1, usd=None)]))
    journal.close()
    again = Journal.open(path, origin="sandbox")
    found = await again.run(
        lambda database: [queries.find_job(database, key="key0"), queries.find_job(database, id="id1")]
    )
    again.close()

    assert [job(0), job(1, usd=None)] == found


async def test_a_job_moves_from_the_state_it_is_in(journal: Journal):
    """A transition touches one row that is in the state it starts from, and notes what is known with it."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    await journal.run(partial(queries.change_state, key="key0", before=JobState.PENDING, after=JobState.SENDING))
    await journal.run(
        partial(
            queries.change_state, key="key0", before=JobState.SENDING, after=JobState.ANSWERED, status=200, raw=b"{}"
        )
    )
    found = await journal.run(partial(queries.find_job, key="key0"))

    assert found is not None
    assert (JobState.ANSWERED, 200, b"{}") == (found.state, found.status, found.raw)


async def test_a_wrong_transition_is_an_error_and_changes_nothing(journal: Journal):
    """A job that is not where a step presumes it stays where it is."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    with pytest.raises(JournalError, match="job key0 is not sending"):
        await journal.run(partial(queries.change_state, key="key0", before=JobState.SENDING, after=JobState.DONE))

    assert [job(0)] == await journal.run(lambda database: queries.jobs_after(database, (JobState.PENDING,), -1))


@pytest.mark.parametrize("before", [JobState.PENDING, JobState.AMBIGUOUS])
@pytest.mark.parametrize(
    "outcome",
    [
        AttemptOutcome(state=JobState.ANSWERED, may_have_run=True, status=200, raw=b"{}", headers="{}"),
        AttemptOutcome(state=JobState.AMBIGUOUS, may_have_run=True, error="cut"),
        AttemptOutcome(state=JobState.PENDING, may_have_run=False, error="no connection"),
    ],
)
async def test_a_finished_attempt_is_returned_as_the_journal_has_it(
    journal: Journal, before: JobState, outcome: AttemptOutcome
):
    """The row is returned without being read again, and equals the one in the journal."""
    known = attrs.evolve(job(0, before), status=500, raw=b"?", headers="{}", error="an earlier one", resends=3)
    await journal.run(lambda database: queries.insert_jobs(database, [known]))
    await journal.run(partial(queries.begin_attempt, row=known))
    finished = await journal.run(partial(queries.finish_attempt, row=known, outcome=outcome))
    resends = 3 + (before is JobState.AMBIGUOUS and outcome.may_have_run)

    assert finished == await journal.run(partial(queries.find_job, key="key0"))
    assert (outcome.state, resends) == (finished.state, finished.resends)


async def test_images_are_linked_once_and_stored_from_linked(journal: Journal):
    """Linking twice keeps the first; storing presumes the state it starts from."""
    image = ImageRow(key="key0", number=0, state=ImageState.LINKED, url="https://ideogram.ai/x.png", seed=7)
    stored = ImageRow(**{**_facts(image), "state": ImageState.STORED, "path": "x.png", "sha256": "0" * 64, "size": 9})
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    for _ in range(2):
        await journal.run(lambda database: queries.insert_images(database, [image]))

    await journal.run(partial(queries.change_image, row=stored, before=ImageState.LINKED))
    with pytest.raises(JournalError, match="image 0 of job key0 is not linked"):
        await journal.run(partial(queries.change_image, row=stored, before=ImageState.LINKED))

    assert [stored] == await journal.run(partial(queries.images_of, key="key0"))


async def test_steps_that_meet_share_a_commit(journal: Journal):
    """A hundred steps at once take far fewer commits than a hundred."""
    await journal.run(lambda database: queries.insert_jobs(database, [job(number) for number in range(100)]))
    statements: list[str] = []
    await journal.run(lambda database: database.set_trace_callback(statements.append))
    moves = [
        partial(queries.change_state, key=f"key{number}", before=JobState.PENDING, after=JobState.SENDING)
        for number in range(100)
    ]
    await asyncio.gather(*map(journal.run, moves))

    assert statements.count("COMMIT") < 50


async def test_urgent_steps_go_first(journal: Journal):
    """Steps for calls that hold places overtake others that wait, and keep their own order."""
    gate, done = threading.Event(), []
    blocking = asyncio.create_task(journal.run(lambda _: gate.wait(10)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(journal.run(lambda _, n=n: done.append(n))) for n in range(2)]
    urgent = [asyncio.create_task(journal.run(lambda _, n=n: done.append(n), urgent=True)) for n in range(2, 4)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(blocking, *others, *urgent)

    assert [2, 3, 0, 1] == done


async def test_a_step_that_fails_takes_no_other_with_it(journal: Journal):
    """Of steps in one commit, the one that fails is undone and the others stand."""

    def adds_and_fails(database: sqlite3.Connection) -> None:
        queries.insert_jobs(database, [job(1)])
        raise KeyError("oops")

    outcomes = await asyncio.gather(
        journal.run(lambda database: queries.insert_jobs(database, [job(0)])),
        journal.run(adds_and_fails),
        journal.run(lambda database: queries.insert_jobs(database, [job(2)])),
        return_exceptions=True,
    )
    kept = await journal.run(lambda database: queries.jobs_after(database, (JobState.PENDING,), -1))

    assert [type(None), KeyError, type(None)] == [type(outcome) for outcome in outcomes]
    assert [job(0), job(2)] == kept


async def test_a_cancelled_caller_leaves_its_step_to_be_done(journal: Journal):
    """A cancellation is passed on at once, and what was asked for reaches the disk."""
    task = asyncio.create_task(journal.run(lambda database: queries.insert_jobs(database, [job(0)])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [job(0)] == await journal.run(lambda database: queries.jobs_after(database, (JobState.PENDING,), -1))


def test_a_killed_process_has_what_it_was_told(path: Path):
    """After SIGKILL right behind a step, the step is there."""
    program = f"""
import asyncio, os, signal
from pathlib import Path
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.writer import Journal
from test_journal import job

async def main():
    journal = Journal.open(Path({str(path)!r}), origin="sandbox")
    await journal.run(lambda database: queries.insert_jobs(database, [job(0)]))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent) + os.pathsep + str(TESTS)}
    died = subprocess.run([sys.executable, "-c", program], env=env, check=False)
    journal = Journal.open(path, origin="sandbox")
    found = asyncio.run(journal.run(partial(queries.find_job, key="key0")))
    journal.close()

    assert -signal.SIGKILL == died.returncode
    assert job(0) == found


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00garbage" * 1000)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (a)")

    database.close()


def newer(path: Path) -> None:
    Journal.open(path, origin="sandbox").close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    database.close()


def of_another_origin(path: Path) -> None:
    Journal.open(path, origin="https://api.ideogram.ai").close()


def empty(path: Path) -> None:
    path.touch()


def damaged(path: Path) -> None:
    journal = Journal.open(path, origin="sandbox")
    asyncio.run(journal.run(lambda database: queries.insert_jobs(database, [job(number) for number in range(500)])))
    journal.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xff" * (4096 * 5)
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [garbage, foreign, newer, of_another_origin, empty, damaged])
def test_what_cannot_be_trusted_is_refused_and_left_alone(path: Path, spoil):
    """A journal that is damaged, foreign, newer or another service's is refused, and not one byte of it changes."""
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(JournalError):
        Journal.open(path, origin="sandbox")

    assert before == path.read_bytes()


def test_one_that_was_never_finished_is_made_anew(path: Path):
    """A journal grows beside its place: what a process has left there that died over it is no journal yet."""
    growing = path.with_name(f"{path.name}.new")
    growing.write_bytes(b"half a journal")
    Journal.open(path, origin="sandbox").close()

    assert not growing.exists()


def test_a_new_journal_is_marked_private_and_durable(path: Path, journal: Journal):
    """It carries our mark, is for its owner alone, and syncs every commit."""
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


def test_one_process_holds_a_folder(tmp_path: Path):
    """A second holder is refused at once, and told who holds it; after release the folder is free."""
    first = FolderLock(tmp_path / ".ideogram" / "lock")
    (tmp_path / ".ideogram").mkdir()
    first.acquire()
    with pytest.raises(BatchLockedError, match=f"{tmp_path} is locked by process {os.getpid()}"):
        FolderLock(tmp_path / ".ideogram" / "lock").acquire()

    first.release()
    FolderLock(tmp_path / ".ideogram" / "lock").acquire().release()

    assert 0o600 == (tmp_path / ".ideogram" / "lock").stat().st_mode & 0o777


def test_a_forked_child_does_not_keep_the_folder(tmp_path: Path):
    """The lock is free when its holder lets go, even while a child that it forked lives on."""
    lock = FolderLock(tmp_path / "lock").acquire()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        theirs.send(b"alive")
        theirs.recv(1)
        os._exit(0)

    with ours, theirs:
        ours.recv(5)
        lock.release()
        again = FolderLock(tmp_path / "lock").acquire()
        again.release()
        ours.send(b".")

    assert (child, 0) == os.waitpid(child, 0)


def _facts(row: ImageRow) -> dict[str, object]:
    return attrs.asdict(row)
