"""The batch: what goes in comes out once, in every run, and the caller may leave at any moment."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from support.clients import Events
from support.leaks import files_below, other_tasks
from support.pictures import picture

from ideogram_async import (
    Describe,
    FromJob,
    Generate,
    Ideogram,
    InvalidRequestError,
    Job,
    JobConflictError,
    JobResult,
    JobState,
    LayerizeText,
    Remix,
    Upscale,
)
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.runner import MAX_UNCONSUMED
from ideogram_async._batch.source import LOOK_AHEAD
from ideogram_async.events import BatchFinished, BatchStopped, JobFinished, JobStarted
from ideogram_async.sandbox import Fault, Sandbox

TIMES_OUT = 20


def foxes(count: int, **fields: object) -> list[Job]:
    return [Job(Generate(f"fox {n}", seed=n, **fields), id=f"fox-{n}") for n in range(count)]  # type: ignore[arg-type]


async def results(client: Ideogram, jobs: object, folder: Path, **options: object) -> list[JobResult]:
    async with asyncio.timeout(TIMES_OUT), client.batch(jobs, folder, **options) as batch:  # type: ignore[arg-type]
        return [result async for result in batch]


def posts(box: Sandbox) -> int:
    return len(box.requests)


def own_tasks() -> list[str]:
    """Name the tasks of the client; the sandbox has some of its own in this loop."""
    codes = [task.get_coro().cr_code for task in other_tasks()]  # type: ignore[union-attr]
    return [
        code.co_qualname
        for code in codes
        if "/ideogram_async/" in code.co_filename and "/sandbox/" not in code.co_filename
    ]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "journal" in thread.name]


async def test_every_job_is_stored_and_told(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Each job gives one result with its images on disk, named after it."""
    found = await results(client, foxes(5, num_images=2), tmp_path)

    assert {f"fox-{n}" for n in range(5)} == {result.id for result in found}
    assert {f"fox-{n}-{i}.png" for n in range(5) for i in range(2)} == {path.name for path in tmp_path.glob("*.png")}
    assert all(image.path and image.path.is_file() for result in found for image in result.images)
    assert 5 == len(box.ledger.entries)


async def test_a_finished_folder_sends_nothing(client: Ideogram, box: Sandbox, tmp_path: Path):
    """The same call again gives the same results from the journal, without one request."""
    first = await results(client, foxes(5), tmp_path)
    box.reset()
    again = await results(client, foxes(5), tmp_path)

    assert (0, 0) == (posts(box), len(box.image_requests))
    assert all(result.from_journal for result in again)
    assert {(r.id, r.images) for r in first} == {(r.id, r.images) for r in again}


async def test_shuffled_and_extended_input_pays_for_what_is_new(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Bare requests are known by their content and how often it came, wherever they stand."""
    requests = [Generate("a"), Generate("b"), Generate("a"), Generate("c")]
    await results(client, requests, tmp_path)
    assert 4 == len(box.ledger.entries)

    await results(client, [Generate("new"), *reversed(requests), Generate("a")], tmp_path)

    assert 6 == len(box.ledger.entries)


async def test_ordered_results_come_in_order(client: Ideogram, box: Sandbox, tmp_path: Path):
    """With `ordered` the results come as the input went."""
    box.fail("images", fault=Fault.status(503), times=3)
    found = await results(client, foxes(30), tmp_path, ordered=True)

    assert list(range(30)) == [result.index for result in found]


async def test_an_id_already_used_by_another_request_is_a_conflict(client: Ideogram, box: Sandbox, tmp_path: Path):
    """The same id with another prompt is refused before money is spent on it."""
    await results(client, [Job(Generate("a fox"), id="fox")], tmp_path)
    box.reset()
    with pytest.raises(JobConflictError, match="'fox' is already used by a different request"):
        await results(client, [Job(Generate("a dog"), id="fox")], tmp_path)

    assert 0 == posts(box)


async def test_a_changed_file_is_a_new_job(client: Ideogram, box: Sandbox, tmp_path: Path):
    """When the file of a remix has changed between two runs, it is another job, and the first stays."""
    path = tmp_path / "fox.png"
    path.write_bytes(picture())
    first = await results(client, [Remix(path, "a fox")], tmp_path / "out")
    path.write_bytes(picture(size=(80, 80)))
    second = await results(client, [Remix(path, "a fox")], tmp_path / "out")

    assert first[0].key != second[0].key
    assert 2 == len(box.ledger.entries) == len(list((tmp_path / "out").glob("*.png")))


async def test_the_same_id_twice_is_one_job(client: Ideogram, box: Sandbox, tmp_path: Path):
    """A job that is named twice is paid for once, told twice and counted once."""
    job = Job(Generate("a fox"), id="fox")
    async with asyncio.timeout(TIMES_OUT), client.batch([job, job], tmp_path) as batch:
        found = [result async for result in batch]

    assert [JobState.DONE] * 2 == [result.state for result in found]
    assert (1, 1) == (len(box.ledger.entries), batch.report().jobs)


async def test_a_chain_takes_the_image_of_an_earlier_job(client: Ideogram, box: Sandbox, tmp_path: Path):
    """A job whose image another makes waits for it; one that names what is later, itself or lost is rejected unpaid."""
    box.fail("generate", fault=Fault.unsafe(1), after=1)
    jobs = [
        Job(Upscale(FromJob("later")), id="early"),
        Job(Upscale(FromJob("own")), id="own"),
        Job(Generate("a fox"), id="fox"),
        Job(Generate("a withheld one"), id="withheld"),
        Job(Upscale(FromJob("fox")), id="big"),
        Job(Remix(FromJob("big"), "at night"), id="night"),
        Job(Upscale(FromJob("withheld")), id="never"),
        Job(Upscale(FromJob("fox", index=3)), id="no such image"),
        Job(Generate("later"), id="later"),
    ]
    found = {result.id: result for result in await results(client, jobs, tmp_path)}
    rejected = {name for name, result in found.items() if result.state is JobState.REJECTED}

    assert {"own", "never", "no such image"} == rejected - {"early"}
    assert JobState.DONE is found["night"].state
    assert isinstance(found["never"].error, InvalidRequestError)
    assert len(box.ledger.entries) == sum(result.state is not JobState.REJECTED for result in found.values())


async def test_many_children_of_one_slow_job_hold_nobody_up(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Jobs that wait for another leave their places to those behind them."""
    box.hold()
    children = [Job(Upscale(FromJob("fox"), prompt=str(n)), id=f"child-{n}") for n in range(40)]
    jobs = [Job(Generate("a fox"), id="fox"), *children, *foxes(5)]
    running = asyncio.create_task(results(client, jobs, tmp_path))
    await box.wait_for_requests(6)
    box.release()

    assert {JobState.DONE} == {result.state for result in await running}


async def test_sources_that_are_read_once_are_kept(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Open files and async readers are copied first, so that the folder alone can send the job in a later run."""

    class Reader:
        def __init__(self) -> None:
            self._file = io.BytesIO(picture(size=(70, 70)))

        async def read(self, size: int = -1) -> bytes:
            return self._file.read(size)

    answer = await client.generate("an earlier one")
    jobs = [Remix(io.BytesIO(picture()), "a"), Remix(Reader(), "b"), Upscale(answer.data[0])]
    box.hold()
    running = asyncio.create_task(results(client, jobs, tmp_path))
    await box.wait_for_requests(4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    box.release()
    async with asyncio.timeout(TIMES_OUT):
        report = await client.run_batch(None, tmp_path, retry_ambiguous=True)

    copies = {path.stat().st_mode & 0o777 for path in (tmp_path / ".ideogram" / "inputs").iterdir()}

    assert ({JobState.DONE: 3}, {0o600}) == (report.by_state, copies)


async def test_a_missing_file_concerns_its_job_only(client: Ideogram, box: Sandbox, tmp_path: Path):
    """What cannot be sent is rejected by name and unpaid, and the others go on; a later run may have the file."""
    path = tmp_path / "missing.png"
    jobs = [
        Job(Remix(path, "a"), id="a"),
        Job(Generate("x" * 1, num_images=99), id="b"),
        Job(Generate("c\ud800"), id="c"),
    ]
    found = await results(client, [*jobs, *foxes(2)], tmp_path / "out")
    rejected = {result.id: str(result.error) for result in found if result.state is JobState.REJECTED}

    assert ["a", "b", "c"] == sorted(rejected)
    assert "missing.png" in rejected["a"]
    assert 2 == len(box.ledger.entries)
    path.write_bytes(picture())

    assert JobState.DONE is next(r for r in await results(client, jobs, tmp_path / "out") if r.id == "a").state


@pytest.mark.parametrize("wrong", [Describe(b""), "a prompt", Job("a prompt")], ids=["describe", "text", "job of text"])  # type: ignore[arg-type]
async def test_only_what_makes_images_is_a_job(client: Ideogram, box: Sandbox, tmp_path: Path, wrong: object):
    """Something else in the input is an error of the input."""
    with pytest.raises(TypeError, match="a batch takes"):
        await results(client, [wrong], tmp_path)

    assert 0 == posts(box)


async def test_layers_are_stored(client: Ideogram, tmp_path: Path):
    """Layerize stores the base and the original."""
    [result] = await results(client, [LayerizeText(picture(size=(512, 512)))], tmp_path)

    assert (JobState.DONE, 2) == (result.state, len(list(tmp_path.glob("*.png"))))


async def test_an_input_that_fails_raises_at_the_end(client: Ideogram, box: Sandbox, tmp_path: Path):
    """When the iterator raises at job 50, what is in flight is stored, and then the error surfaces."""

    def failing() -> Iterator[Job]:
        yield from foxes(50)
        raise KeyError("line 51")

    found: list[JobResult] = []
    with pytest.raises(KeyError, match="line 51"):
        async with asyncio.timeout(TIMES_OUT), client.batch(failing(), tmp_path) as batch:
            async for result in batch:
                found.append(result)

    assert len(box.ledger.entries) == len(found) == len(list(tmp_path.glob("*.png")))


async def test_an_endless_input_is_read_lazily(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Of an input without end, no more is pulled than is in flight, looked ahead, or not taken yet."""
    pulled = 0

    async def endless() -> AsyncIterator[Generate]:
        nonlocal pulled
        while True:
            pulled += 1
            yield Generate(f"fox {pulled}")

    box.hold()
    async with asyncio.timeout(TIMES_OUT), client.batch(endless(), tmp_path) as batch:
        await box.wait_for_requests(10)
        assert pulled <= 10 + LOOK_AHEAD + 2

        box.release()
        await anext(batch)
        # Nobody takes the rest: pulling ends where the places end.
        while pulled < 10 + LOOK_AHEAD + MAX_UNCONSUMED + 1:
            await asyncio.sleep(0)

        for _ in range(200):
            await asyncio.sleep(0)

        assert pulled <= 10 + LOOK_AHEAD + MAX_UNCONSUMED + 3

    assert posts(box) == len(list(tmp_path.glob("*.png")))


async def test_an_input_that_blocks_delays_no_other_job(client: Ideogram, tmp_path: Path):
    """While the input waits for its next job, those before it are finished."""
    gate = threading.Event()

    def blocking() -> Iterator[Job]:
        yield from foxes(3)
        gate.wait(TIMES_OUT)

    async with asyncio.timeout(TIMES_OUT), client.batch(blocking(), tmp_path) as batch:
        for _ in range(3):
            await anext(batch)

        gate.set()

        assert [] == [result async for result in batch]


async def test_leaving_early_finishes_what_flies(client: Ideogram, box: Sandbox, tmp_path: Path):
    """After `break` nothing more is sent, and what was sent is stored."""
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(200), tmp_path) as batch:
        async for _ in batch:
            break

    assert "the caller left" == batch.report().stopped
    assert len(box.ledger.entries) == len(list(tmp_path.glob("*.png"))) < 200
    assert ([], [], []) == (files_below(tmp_path), threads(), own_tasks())


async def cancelled(client: Ideogram, box: Sandbox, folder: Path, *, times: int) -> asyncio.Task[list[JobResult]]:
    box.hold()
    running = asyncio.create_task(results(client, foxes(30), folder))
    await box.wait_for_requests(10)
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await running

    return running


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_cancelled_batch_lists_the_calls_in_flight(client: Ideogram, box: Sandbox, tmp_path: Path, times: int):
    """What was on its way is ambiguous, by its price; no part, no lock, no thread and no task is left."""
    await cancelled(client, box, tmp_path, times=times)
    await client.aclose()

    assert ([], [], []) == (files_below(tmp_path), threads(), own_tasks())
    assert [] == list(tmp_path.glob(".*.part"))

    box.release()
    async with asyncio.timeout(TIMES_OUT):
        report = await client.run_batch(foxes(30), tmp_path)

    assert {JobState.DONE: 20, JobState.AMBIGUOUS: 10} == report.by_state
    assert (Decimal("0.60"), 10) == (report.in_doubt_usd, len(report.ambiguous))
    assert [] == box.ledger.duplicates


async def test_draining_can_be_cancelled(client: Ideogram, box: Sandbox, tmp_path: Path):
    """The first end waits for what flies; a cancellation during that wait notes it as ambiguous."""

    async def leave() -> None:
        async with client.batch(foxes(30), tmp_path):
            await box.wait_for_requests(10)

    box.hold()
    running = asyncio.create_task(leave())
    await box.wait_for_requests(10)
    for _ in range(20):
        await asyncio.sleep(0)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (10, []) == (posts(box), threads())
    assert 10 == len((await client.run_batch([], tmp_path)).ambiguous)


async def test_an_error_in_the_block_ends_what_flies(client: Ideogram, box: Sandbox, tmp_path: Path):
    """The caller's own error comes through, and the folder can be used at once."""
    box.hold()
    with pytest.raises(ZeroDivisionError):
        async with client.batch(foxes(30), tmp_path):
            await box.wait_for_requests(10)
            raise ZeroDivisionError

    box.release()
    async with asyncio.timeout(TIMES_OUT):
        report = await client.run_batch(foxes(30), tmp_path, retry_ambiguous=True)

    assert {JobState.DONE: 30} == report.by_state
    # The ten that were in doubt may have been paid for twice; their owner has asked for it.
    assert (Decimal("1.80"), Decimal("0.60")) == (report.spent_usd, report.in_doubt_usd)


async def test_cancelled_while_it_opens_it_holds_nothing(client: Ideogram, tmp_path: Path):
    """A caller that is gone before the folder is open leaves no lock behind."""
    entering = asyncio.create_task(client.batch([], tmp_path).__aenter__())
    await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering

    await client.aclose()

    assert ([], []) == (files_below(tmp_path), threads())


async def test_two_tasks_share_the_results(client: Ideogram, tmp_path: Path):
    """Several tasks may iterate: each result goes to one of them, and all see the end."""
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(20), tmp_path) as batch:

        async def take() -> list[str]:
            return [result.id async for result in batch]

        shares = await asyncio.gather(take(), take(), take())

    assert sorted(job.id or "" for job in foxes(20)) == sorted(name for share in shares for name in share)


async def test_a_failing_listener_never_affects_a_batch(
    client: Ideogram, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Its first failure is logged, the others are ignored, and the batch goes on."""

    def failing(_: object) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        found = await results(client, foxes(5), tmp_path, on_event=failing)

    assert (5, 1) == (len(found), len(caplog.records))


async def test_a_batch_tells_its_events(client: Ideogram, tmp_path: Path):
    """A listener of the batch's own hears of each job, of the stop and of the end."""
    events = Events()
    async with asyncio.timeout(TIMES_OUT), client.batch(foxes(3), tmp_path, on_event=events) as batch:
        await anext(batch)

    assert ["the caller left"] == [event.reason for event in events.of(BatchStopped)]
    assert len(events.of(JobFinished)) == events.of(BatchFinished)[0].jobs


async def test_only_what_is_begun_is_told_as_started(client: Ideogram, tmp_path: Path):
    """A job that an earlier run has settled, or that is refused unsent, ends without having started."""
    await results(client, foxes(3), tmp_path)
    events = Events()
    found = await results(client, [*foxes(4), Generate("")], tmp_path, on_event=events)

    assert (1, 5) == (len(events.of(JobStarted)), len(events.of(JobFinished)))
    assert [False, False, True, True, True] == sorted(result.from_journal for result in found)


async def test_a_settled_job_that_comes_twice_counts_once(client: Ideogram, tmp_path: Path):
    """Of the same id each place in the input gets its result, and the report counts one job."""
    await results(client, foxes(2), tmp_path)
    async with asyncio.timeout(TIMES_OUT), client.batch([*foxes(2), *foxes(2)], tmp_path) as batch:
        found = [result async for result in batch]

    assert ([0, 1, 2, 3], 2) == ([result.index for result in found], batch.report().jobs)


@pytest.mark.parametrize("most", [3, 24])
async def test_as_many_images_as_asked_for_come_at_once(client: Ideogram, box: Sandbox, tmp_path: Path, most: int):
    """`max_downloads` bounds the downloads of a batch, and nothing else does: its connections are its own."""
    box.fail("images", fault=Fault.hang, times=most)
    async with asyncio.timeout(TIMES_OUT):
        running = asyncio.create_task(results(client, foxes(16, num_images=2), tmp_path, max_downloads=most))
        while len(box.image_requests) < most:
            await asyncio.sleep(0)

        for _ in range(200):
            await asyncio.sleep(0)

        at_once = len(box.image_requests)
        box.release()
        await running

    assert most == at_once


async def test_a_conflict_leaves_what_comes_after_it_alone(client: Ideogram, box: Sandbox, tmp_path: Path):
    """Jobs before the one whose id is taken are done, and those after it are not even noted."""
    await results(client, [Job(Generate("a fox"), id="fox")], tmp_path)
    jobs = [*foxes(3), Job(Generate("a dog"), id="fox"), Job(Generate("later"), id="later")]
    found: list[JobResult] = []
    with pytest.raises(JobConflictError, match="'fox' is already used by a different request"):
        async with asyncio.timeout(TIMES_OUT), client.batch(jobs, tmp_path) as batch:
            async for result in batch:
                found.append(result)

    assert {"fox-0", "fox-1", "fox-2"} == {result.id for result in found}
    assert {"fox", "fox-0", "fox-1", "fox-2"} == {result.id for result in Folder(tmp_path).results()}


async def test_a_file_that_is_slow_to_come_holds_up_none_before_it(client: Ideogram, tmp_path: Path):
    """While a job's file is read, those that came before it are finished."""
    gate = asyncio.Event()

    class Slow:
        def __init__(self) -> None:
            self._file = io.BytesIO(picture())

        async def read(self, size: int = -1) -> bytes:
            await gate.wait()
            return self._file.read(size)

    async with asyncio.timeout(TIMES_OUT), client.batch([*foxes(3), Remix(Slow(), "a fox")], tmp_path) as batch:
        before = [await anext(batch) for _ in range(3)]
        gate.set()
        after = [result async for result in batch]

    assert ({0, 1, 2}, [3]) == ({result.index for result in before}, [result.index for result in after])


async def test_sidecars_stand_beside_the_images(client: Ideogram, tmp_path: Path):
    """Each image gets a file with its request, seed, price and hash."""
    [result] = await results(client, [Job(Generate("a fox", seed=7), id="fox")], tmp_path, sidecars=True)
    told = json.loads((tmp_path / "fox-0.png.json").read_text())

    assert ("fox", 7, "0.06", result.images[0].sha256) == (told["job"], told["seed"], told["job_usd"], told["sha256"])


async def test_names_follow_a_template(client: Ideogram, tmp_path: Path):
    """A template names the files; the key keeps them apart."""
    [result] = await results(client, [Job(Generate("A Fox!", seed=7), id="Fox")], tmp_path, names="{prompt}-{seed}")

    assert [f"a-fox--7-{result.key[:8]}-0.png"] == [path.name for path in tmp_path.glob("*.png")]


@pytest.mark.parametrize("names", ["{nothing}", "{seed:d}", "{}", "{id.real}"])
def test_a_template_that_cannot_work_is_refused_at_once(names: str, tmp_path: Path):
    """Before anything is paid for."""
    with pytest.raises(ValueError, match=r"."):
        Ideogram("key").batch([], tmp_path, names=names)


async def test_a_plan_sends_nothing(client: Ideogram, box: Sandbox, tmp_path: Path):
    """It counts jobs, images, money and duplicates, and lists what is wrong by its place."""
    handle = io.BytesIO(picture())
    jobs = [
        Job(Generate("a", num_images=2), id="a"),
        Generate("b"),
        Generate("b"),
        Job(Generate("c", num_images=99), id="a"),
        Remix(tmp_path / "missing.png", "d"),
        Upscale(FromJob("nobody")),
        Remix(handle, "e"),
    ]
    plan = await client.plan(jobs)

    assert (7, 1, 0, posts(box)) == (plan.jobs, plan.duplicates, handle.tell(), 0)
    assert [(3, "num_images"), (3, "id"), (4, "image"), (5, "image")] == [(n, field) for n, field, _ in plan.problems]


async def test_nothing_is_left_for_the_collector(client: Ideogram, tmp_path: Path):
    """An ended batch leaves no warning behind."""
    await results(client, foxes(3), tmp_path)
    gc.collect()

    assert ([], []) == (own_tasks(), threads())
