"""Input of a batch: jobs are read lazily, in order and in groups."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.batches import TIMEOUT, collect, count_images, make_jobs

from ideogram_async import Describe, Generate, Ideogram, Job, JobResult
from ideogram_async._batch.runner import MAX_UNCONSUMED
from ideogram_async._batch.source import LOOK_AHEAD, InputReader, iterate_jobs
from ideogram_async.sandbox import Sandbox


def iterate(count: int) -> Iterator[Job]:
    for n in range(count):
        yield Job(Generate(f"fox {n}"), id=str(n))


async def iterate_async(count: int) -> AsyncIterator[Job]:
    for job in iterate(count):
        await asyncio.sleep(0)
        yield job


def ids(jobs: list[Job]) -> list[str | None]:
    return [job.id for job in jobs]


@pytest.mark.parametrize(
    "source", [lambda n: list(iterate(n)), iterate, iterate_async], ids=["list", "iterator", "async"]
)
@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
async def test_every_job_is_read_once_and_in_order(source, count: int):
    """A list, an iterator and an async iterator of any length are read completely."""
    read = [job.id async for job in iterate_jobs(source(count))]

    assert [str(n) for n in range(count)] == read


async def test_no_more_jobs_are_read_than_requested():
    """Nothing is read while no `read` is waiting."""
    count = 0

    def counted() -> Iterator[Job]:
        nonlocal count
        for job in iterate(100):
            count += 1
            yield job

    reader = InputReader(counted())
    read = ids(await reader.read(3))
    read += ids(await reader.read(5)) if len(read) == 3 else []
    await reader.aclose()

    assert len(read) <= count <= 8


async def test_available_jobs_do_not_wait_for_a_blocking_iterator():
    """Jobs that it yielded before it blocked are returned."""
    gate = threading.Event()

    def blocking() -> Iterator[Job]:
        yield from iterate(2)
        gate.wait(10)
        yield Job(Generate("late"), id="late")

    reader = InputReader(blocking())
    first = ids(await reader.read(16))
    while len(first) < 2:
        first += ids(await reader.read(16))

    gate.set()
    late = ids(await reader.read(16))

    assert (["0", "1"], ["late"], []) == (first, late, await reader.read(16))


async def test_the_error_of_the_input_follows_the_jobs_before_it():
    """It is raised once, after they were returned."""

    def failing() -> Iterator[Job]:
        yield from iterate(3)
        raise KeyError("line 4")

    reader, read = InputReader(failing()), []
    with pytest.raises(KeyError, match="line 4"):
        while True:
            read += ids(await reader.read(16))

    assert (["0", "1", "2"], []) == (read, await reader.read(16))


async def test_an_invalid_item_is_refused_after_the_jobs_before_it():
    """An invalid item in a list affects no job before it."""
    reader = InputReader([*iterate(2), "a fox"])  # type: ignore[list-item]

    assert ["0", "1"] == ids(await reader.read(16))
    with pytest.raises(TypeError, match=r"a batch takes jobs and requests, not str \(position 2 of the input\)"):
        await reader.read(16)


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        (Generate("a fox"), "a batch takes an iterable of jobs and requests, not Generate"),
        (5, "a batch takes an iterable of jobs and requests, not int"),
        ("a fox", "a batch takes jobs and requests, not str (position 0 of the input)"),
        ([Generate("a fox"), Generate], "not the class Generate (position 1 of the input)"),
        ([Job(None)], "not NoneType (position 0 of the input)"),  # type: ignore[arg-type]
        ([Describe(b"png")], "a batch takes requests that make images, not Describe (position 0 of the input)"),
    ],
    ids=["request", "number", "text", "class", "empty job", "no images"],
)
async def test_an_input_of_the_wrong_type_is_refused_with_its_position(jobs: Any, reason: str):
    """The error states what a batch takes."""

    async def read_all() -> None:
        reader = InputReader(jobs)
        while await reader.read(16):
            pass

    with pytest.raises(TypeError, match=re.escape(reason)):
        await read_all()


async def test_closing_does_not_wait_for_a_blocking_input():
    """The thread is abandoned."""
    gate = threading.Event()

    def blocking() -> Iterator[Job]:
        yield from iterate(1)
        gate.wait(10)

    reader = InputReader(blocking())
    await reader.read(16)
    async with asyncio.timeout(30):
        waiting = asyncio.create_task(reader.read(16))
        await asyncio.sleep(0)
        waiting.cancel()
        await reader.aclose()

    gate.set()

    assert waiting.cancelled() or waiting.cancelling()


async def test_an_error_of_the_input_is_dropped_when_the_reader_closes(caplog: pytest.LogCaptureFixture):
    """Nothing is logged about an error that was not read."""

    def failing() -> Iterator[Job]:
        yield from iterate(1)
        raise KeyError("line 2")

    reader = InputReader(failing())
    await reader.read(16)
    waiting = asyncio.create_task(reader.read(16))
    await asyncio.sleep(0)
    waiting.cancel()
    while reader._reading is not None and not reader._reading.done():
        await asyncio.sleep(0)

    await reader.aclose()
    await asyncio.wait({waiting})
    del reader, waiting
    gc.collect()

    assert [] == caplog.records


@pytest.mark.parametrize("item", [Describe(b""), "a prompt", Job("a prompt")], ids=["describe", "text", "job of text"])  # type: ignore[arg-type]
async def test_only_a_request_that_makes_images_is_a_job(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, item: object
):
    """Any other item is an error of the input."""
    with pytest.raises(TypeError, match="a batch takes"):
        await collect(client, [item], tmp_path)

    assert [] == sandbox.requests


async def test_an_error_of_the_input_is_raised_after_the_results(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """If the iterator raises after job 50, the images of earlier jobs are stored first."""

    def failing() -> Iterator[Job]:
        yield from make_jobs(50)
        raise KeyError("line 51")

    results: list[JobResult] = []
    with pytest.raises(KeyError, match="line 51"):
        async with asyncio.timeout(TIMEOUT), client.batch(failing(), tmp_path) as batch:
            async for result in batch:
                results.append(result)

    assert len(sandbox.ledger.entries) == len(results) == count_images(tmp_path)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_input_that_cancels_itself_is_an_error(client: Ideogram, tmp_path: Path, is_async: bool):
    """It is not mistaken for the end of the input."""

    def cancelling() -> Iterator[Job]:
        yield from make_jobs(2)
        raise asyncio.CancelledError

    async def cancelling_async() -> AsyncIterator[Job]:
        for job in cancelling():
            yield job

    batch = client.batch(cancelling_async() if is_async else cancelling(), tmp_path)
    with pytest.raises(RuntimeError, match="the input was cancelled before its end"):
        async with asyncio.timeout(TIMEOUT), batch:
            while True:
                await anext(batch)

    assert "the input was cancelled before its end" == batch.report().stopped


async def test_an_endless_input_is_read_lazily(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """No more jobs are read than are in flight, looked ahead at, or unconsumed."""
    count = 0

    async def endless() -> AsyncIterator[Generate]:
        nonlocal count
        while True:
            count += 1
            yield Generate(f"fox {count}")

    sandbox.hold()
    async with asyncio.timeout(TIMEOUT), client.batch(endless(), tmp_path) as batch:
        await sandbox.wait_for_requests(10)
        assert count <= 10 + LOOK_AHEAD + 2

        sandbox.release()
        await anext(batch)
        # No other result is consumed: reading ends when the slots are used up.
        while count < 10 + LOOK_AHEAD + MAX_UNCONSUMED + 1:
            await asyncio.sleep(0)

        for _ in range(200):
            await asyncio.sleep(0)

        assert count <= 10 + LOOK_AHEAD + MAX_UNCONSUMED + 3

    assert len(sandbox.requests) == count_images(tmp_path)


async def test_a_blocking_input_delays_no_earlier_job(client: Ideogram, tmp_path: Path):
    """Earlier jobs are finished while the input blocks."""
    gate = threading.Event()

    def blocking() -> Iterator[Job]:
        yield from make_jobs(3)
        gate.wait(TIMEOUT)

    async with asyncio.timeout(TIMEOUT), client.batch(blocking(), tmp_path) as batch:
        for _ in range(3):
            await anext(batch)

        gate.set()

        assert [] == [result async for result in batch]
