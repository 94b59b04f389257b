"""Registration of jobs: identity, conflicts and files."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from support.batches import TIMEOUT, by_id, collect, count_images, make_jobs, run_batch
from support.pictures import picture

from ideogram_async import (
    Generate,
    Ideogram,
    Job,
    JobConflictError,
    JobResult,
    JobState,
    Remix,
    Upscale,
)
from ideogram_async._batch.folder import Folder
from ideogram_async.sandbox import Sandbox


async def test_shuffled_and_extended_input_pays_for_new_jobs_only(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A request without an id is identified by its content and its number of earlier occurrences."""
    requests = [Generate("a"), Generate("b"), Generate("a"), Generate("c")]
    await collect(client, requests, tmp_path)
    assert 4 == len(sandbox.ledger.entries)

    await collect(client, [Generate("new"), *reversed(requests), Generate("a")], tmp_path)

    assert 6 == len(sandbox.ledger.entries)


async def test_an_id_already_used_by_another_request_is_a_conflict(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """The same id with another prompt is refused before it costs anything."""
    await collect(client, [Job(Generate("a fox"), id="fox")], tmp_path)
    sandbox.reset()
    with pytest.raises(JobConflictError, match="'fox' is already used by a different request"):
        await collect(client, [Job(Generate("a dog"), id="fox")], tmp_path)

    assert [] == sandbox.requests


async def test_jobs_after_a_conflict_are_not_registered(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Jobs before the conflict are done."""
    await collect(client, [Job(Generate("a fox"), id="fox")], tmp_path)
    jobs = [*make_jobs(3), Job(Generate("a dog"), id="fox"), Job(Generate("later"), id="later")]
    results: list[JobResult] = []
    with pytest.raises(JobConflictError, match="'fox' is already used by a different request"):
        async with asyncio.timeout(TIMEOUT), client.batch(jobs, tmp_path) as batch:
            async for result in batch:
                results.append(result)

    assert {"fox-0", "fox-1", "fox-2"} == {result.id for result in results}
    assert {"fox", "fox-0", "fox-1", "fox-2"} == {result.id for result in Folder(tmp_path).results()}


async def test_a_changed_file_is_a_new_job(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A remix whose file changed between two runs is another job, and the first job stays."""
    path = tmp_path / "fox.png"
    path.write_bytes(picture())
    first = await collect(client, [Remix(path, "a fox")], tmp_path / "out")
    path.write_bytes(picture(size=(80, 80)))
    second = await collect(client, [Remix(path, "a fox")], tmp_path / "out")

    assert first[0].key != second[0].key
    assert 2 == len(sandbox.ledger.entries) == count_images(tmp_path / "out")


async def test_one_shot_sources_are_copied(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Open files and async readers are copied first, so a later run can send the job from the folder alone."""

    class Reader:
        def __init__(self) -> None:
            self._file = io.BytesIO(picture(size=(70, 70)))

        async def read(self, size: int = -1) -> bytes:
            return self._file.read(size)

    answer = await client.generate("an earlier one")
    jobs = [Remix(io.BytesIO(picture()), "a"), Remix(Reader(), "b"), Upscale(answer.data[0])]
    sandbox.hold()
    running = asyncio.create_task(collect(client, jobs, tmp_path, grace=0))
    await sandbox.wait_for_requests(4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    sandbox.release()
    report = await run_batch(client, None, tmp_path, retry_ambiguous=True)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / ".ideogram" / "inputs").iterdir()}

    assert ({JobState.DONE: 3}, {0o600}) == (report.by_state, modes)


async def test_an_invalid_job_affects_no_other(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that cannot be sent is rejected with its reason and costs nothing; a later run may have the file."""
    path = tmp_path / "missing.png"
    jobs = [
        Job(Remix(path, "a"), id="a"),
        Job(Generate("b", num_images=99), id="b"),
        Job(Generate("c\ud800"), id="c"),
    ]
    results = await collect(client, [*jobs, *make_jobs(2)], tmp_path / "out")
    rejected = {result.id: str(result.error) for result in results if result.state is JobState.REJECTED}

    assert ["a", "b", "c"] == sorted(rejected)
    assert "missing.png" in rejected["a"]
    assert 2 == len(sandbox.ledger.entries)
    path.write_bytes(picture())

    assert JobState.DONE is by_id(await collect(client, jobs, tmp_path / "out"))["a"].state


@pytest.mark.parametrize(
    ("name", "rule"), [("", "id: is empty"), ("a\nb", "id: 'a\\nb' contains control characters"), ("\x7f", "control")]
)
async def test_an_id_that_cannot_be_shown_is_refused(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, name: str, rule: str
):
    """It is refused before money is spent, and listed by a plan."""
    job = Job(Generate("a fox"), id=name)
    [result] = await collect(client, [job], tmp_path)
    plan = await client.plan([job])

    assert (JobState.REJECTED, []) == (result.state, sandbox.requests)
    assert rule in str(result.error)
    assert ["id"] == [field for _, field, _ in plan.problems]


def test_an_id_that_is_no_string_is_refused():
    """A number is not an id."""
    with pytest.raises(TypeError, match="the id of a job is a string, not int: 5"):
        Job(Generate("a fox"), id=5)  # type: ignore[arg-type]


def test_carried_columns_are_copied_text():
    """Later changes of the mapping are not seen, and other values than strings are refused."""
    columns = {"row": "7"}
    job = Job(Generate("a fox"), carried=columns)
    columns["row"] = "8"

    assert {"row": "7"} == job.carried
    with pytest.raises(TypeError, match=r"map names to strings, not \{'row': 7\}"):
        Job(Generate("a fox"), carried={"row": 7})  # type: ignore[dict-item]


async def test_a_slow_file_delays_no_earlier_job(client: Ideogram, tmp_path: Path):
    """Jobs before it are finished while the file is read."""
    gate = asyncio.Event()

    class SlowReader:
        def __init__(self) -> None:
            self._file = io.BytesIO(picture())

        async def read(self, size: int = -1) -> bytes:
            await gate.wait()
            return self._file.read(size)

    async with asyncio.timeout(TIMEOUT), client.batch([*make_jobs(3), Remix(SlowReader(), "a fox")], tmp_path) as batch:
        before = [await anext(batch) for _ in range(3)]
        gate.set()
        after = [result async for result in batch]

    assert ({0, 1, 2}, [3]) == ({result.index for result in before}, [result.index for result in after])
