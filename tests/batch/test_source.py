"""The caller's jobs come in groups of what is there: none is lost, none is late, none is iterate_jobs too soon."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from ideogram_async import Generate, Job
from ideogram_async._batch.source import InputReader, iterate_jobs


def jobs(count: int) -> Iterator[Job]:
    for n in range(count):
        yield Job(Generate(f"fox {n}"), id=str(n))


async def jobs_that_come(count: int) -> AsyncIterator[Job]:
    for job in jobs(count):
        await asyncio.sleep(0)
        yield job


def ids(found: list[Job]) -> list[str | None]:
    return [job.id for job in found]


@pytest.mark.parametrize("given", [lambda n: list(jobs(n)), jobs, jobs_that_come], ids=["list", "iterator", "async"])
@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
async def test_everything_comes_once_and_in_order(given, count: int):
    """Whatever the input is, and however many jobs it has."""
    found = [job.id async for job in iterate_jobs(given(count))]

    assert [str(n) for n in range(count)] == found


async def test_no_more_is_pulled_than_was_asked_for():
    """Also not while nobody asks."""
    count = 0

    def counted() -> Iterator[Job]:
        nonlocal count
        for job in jobs(100):
            count += 1
            yield job

    source = InputReader(counted())
    taken = ids(await source.read(3))
    taken += ids(await source.read(5)) if len(taken) == 3 else []
    await source.aclose()

    assert len(taken) <= count <= 8


async def test_what_has_come_does_not_wait_for_what_has_not():
    """An iterator that blocks gives what it gave before."""
    gate = threading.Event()

    def blocking() -> Iterator[Job]:
        yield from jobs(2)
        gate.wait(10)
        yield Job(Generate("late"), id="late")

    source = InputReader(blocking())
    first = ids(await source.read(16))
    while len(first) < 2:
        first += ids(await source.read(16))

    gate.set()
    late = ids(await source.read(16))

    assert (["0", "1"], ["late"], []) == (first, late, await source.read(16))


async def test_an_input_that_fails_gives_first_what_came_before():
    """Its error comes when the jobs before it are taken, and once."""

    def failing() -> Iterator[Job]:
        yield from jobs(3)
        raise KeyError("line 4")

    source, found = InputReader(failing()), []
    with pytest.raises(KeyError, match="line 4"):
        while True:
            found += ids(await source.read(16))

    assert (["0", "1", "2"], []) == (found, await source.read(16))


async def test_what_is_no_job_is_refused_after_those_before_it():
    """A stranger in a list does not take its neighbours with it."""
    source = InputReader([*jobs(2), "a fox"])  # type: ignore[list-item]

    assert ["0", "1"] == ids(await source.read(16))
    with pytest.raises(TypeError, match="a batch takes jobs and requests, not str"):
        await source.read(16)


async def test_closing_does_not_wait_for_an_input_that_blocks():
    """The thread is left to itself."""
    gate = threading.Event()

    def blocking() -> Iterator[Job]:
        yield from jobs(1)
        gate.wait(10)

    source = InputReader(blocking())
    await source.read(16)
    async with asyncio.timeout(5):
        waiting = asyncio.create_task(source.read(16))
        await asyncio.sleep(0)
        waiting.cancel()
        await source.aclose()

    gate.set()

    assert waiting.cancelled() or waiting.cancelling()


async def test_an_error_that_nobody_asks_for_is_not_told(caplog: pytest.LogCaptureFixture):
    """A source that is closed before its input's error was taken keeps it to itself."""

    def failing() -> Iterator[Job]:
        yield from jobs(1)
        raise KeyError("line 2")

    source = InputReader(failing())
    await source.read(16)
    waiting = asyncio.create_task(source.read(16))
    await asyncio.sleep(0)
    waiting.cancel()
    while source._reading is not None and not source._reading.done():
        await asyncio.sleep(0)

    await source.aclose()
    await asyncio.wait({waiting})
    del source, waiting
    gc.collect()

    assert [] == caplog.records
