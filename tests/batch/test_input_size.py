"""Size of the input: a folder remembers how many jobs the last input had, and whether it was read to its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.batches import make_jobs, run_batch
from support.folders import journal_path

from ideogram_async import Generate, Ideogram, Job, JournalError
from ideogram_async._batch.report import InputSize, input_of
from ideogram_async._batch.source import CountedJobs
from ideogram_async.batch import Folder


def size_of(folder: Path) -> InputSize | None:
    return input_of(Folder(folder).report())


async def run_three(client: Ideogram, jobs: object, folder: Path) -> str:
    """Stop a batch after three results, and return the folder's report during the run."""
    async with client.batch(jobs, folder) as batch:  # type: ignore[arg-type]
        number = 0
        async for _ in batch:
            number += 1
            if number == 3:
                batch.stop()

        return str(Folder(folder).report())


@pytest.mark.parametrize("is_counted", [False, True])
async def test_a_stopped_batch_states_how_many_jobs_there_are(client: Ideogram, tmp_path: Path, is_counted: bool):
    """A list has a length before it is read, also while the batch is running. A file that was checked has one, too."""
    jobs = make_jobs(200)
    during = await run_three(client, CountedJobs(iter(jobs), 200) if is_counted else jobs, tmp_path)
    after = Folder(tmp_path).report()

    assert InputSize(200, is_complete=False) == input_of(after)
    assert after.jobs < 200
    assert str(after).startswith(f"{after.jobs} of 200 jobs in ")
    assert " of 200 jobs in " in during


async def test_the_end_of_a_generator_is_remembered(client: Ideogram, tmp_path: Path):
    """The number of jobs of a generator is recorded once it was read to its end."""
    before = await run_three(client, iter(make_jobs(200)), tmp_path)
    stopped = size_of(tmp_path)
    await run_batch(client, iter(make_jobs(200)), tmp_path)
    report = Folder(tmp_path).report()

    assert InputSize(None, is_complete=False) == stopped
    assert " of " not in before.splitlines()[0]
    assert InputSize(200, is_complete=True) == input_of(report)
    assert str(report).startswith("200 jobs in ")


async def test_the_same_job_twice_is_one(client: Ideogram, tmp_path: Path):
    """The same job twice counts once. An invalid job counts, but is not recorded."""
    invalid = Job(Generate("a fox", seed=-5), id="invalid")
    await run_batch(client, [*make_jobs(2), *make_jobs(2), Generate("x"), Generate("x"), invalid], tmp_path)

    assert InputSize(5, is_complete=True) == size_of(tmp_path)
    assert str(Folder(tmp_path).report()).startswith("4 of 5 jobs in ")


@pytest.mark.parametrize("jobs", [None, []])
async def test_a_run_without_input_keeps_the_size(client: Ideogram, tmp_path: Path, jobs: list[Job] | None):
    """A run without input, and a collection of images, keep the size of the last input."""
    await run_batch(client, make_jobs(2), tmp_path)
    await run_batch(client, jobs, tmp_path)
    await Folder(tmp_path).collect(client)

    assert InputSize(2, is_complete=True) == size_of(tmp_path)


async def test_an_input_that_fails_was_not_read_to_its_end(client: Ideogram, tmp_path: Path):
    """The input of a generator that raises an error is incomplete, and its size is unknown."""

    def fail_after_two() -> Iterator[Job]:
        yield from make_jobs(2)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await run_batch(client, fail_after_two(), tmp_path)

    assert InputSize(None, is_complete=False) == size_of(tmp_path)


@pytest.mark.parametrize("value", ["", "[]", "{}", '{"jobs": -1, "is_complete": true}', '{"jobs": "1"}', "[" * 9999])
async def test_a_damaged_size_is_a_journal_error(client: Ideogram, tmp_path: Path, value: str):
    """The error names the size of the input as the damaged value."""
    await run_batch(client, make_jobs(1), tmp_path)
    with closing(sqlite3.connect(journal_path(tmp_path))) as database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'input'", (value,))
        database.commit()

    with pytest.raises(JournalError, match="the size of the input is"):
        Folder(tmp_path).report()
