"""Queue of results between a run and its caller."""

from __future__ import annotations

import asyncio

import pytest

from ideogram_async import Generate, JobResult, JobState
from ideogram_async._batch.results import ResultQueue


def result(index: int) -> JobResult:
    return JobResult(id=f"fox-{index}", key=f"key{index}", index=index, request=Generate("fox"), state=JobState.DONE)


async def drain(queue: ResultQueue) -> list[int]:
    indexes: list[int] = []
    while (item := await queue.get()) is not None:
        indexes.append(item.index)

    return indexes


@pytest.mark.parametrize(("is_ordered", "expected"), [(False, [2, 0, 3]), (True, [0, 2, 3])])
async def test_results_have_the_order_of_completion_or_of_the_input(is_ordered: bool, expected: list[int]):
    """A job that is left for a later run has no result, and delays no other."""
    queue = ResultQueue(asyncio.Semaphore(0), is_ordered=is_ordered)
    for index, item in [(2, result(2)), (0, result(0)), (1, None), (3, result(3))]:
        queue.put(index, item)

    queue.end()

    assert expected == await drain(queue)


async def test_every_job_releases_its_slot_once():
    """The slot is released when the result is taken or discarded, or if the job has none."""
    unconsumed = asyncio.Semaphore(0)
    queue = ResultQueue(unconsumed, is_ordered=False)
    queue.put(0, result(0))
    queue.put(1, None)
    queue.put(2, result(2))
    await queue.get()
    queue.discard()
    queue.put(3, result(3))

    for _ in range(4):
        assert not unconsumed.locked()
        await unconsumed.acquire()

    assert unconsumed.locked()


async def test_every_caller_gets_the_end():
    """The end is returned to every caller, in every call."""
    queue = ResultQueue(asyncio.Semaphore(0), is_ordered=False)
    queue.end()

    assert [None, None, None] == [await queue.get() for _ in range(3)]
