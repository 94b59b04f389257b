"""Backpressure of a run: slots for jobs being sent, and for unconsumed results."""

from __future__ import annotations

import asyncio

from ideogram_async._batch.runner import MAX_UNCONSUMED, JobSlots
from ideogram_async._batch.source import LOOK_AHEAD


async def test_all_free_slots_are_acquired_at_once():
    """A group of jobs is read together, up to the limit and the look-ahead."""
    slots = JobSlots(10)

    assert 10 + LOOK_AHEAD == await slots.acquire()

    slots.release(3)

    assert 3 == await slots.acquire()


async def test_acquiring_waits_for_one_slot():
    """It waits until a job is answered."""
    slots = JobSlots(1)
    await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    is_waiting = not waiting.done()
    slots.sending.release()

    assert (True, 1) == (is_waiting, await waiting)


async def test_unconsumed_results_end_the_reading():
    """Jobs that are answered free no slot while their results are not taken."""
    slots, count = JobSlots(1), 0
    while count < 1 + LOOK_AHEAD + MAX_UNCONSUMED:
        acquired = await slots.acquire()
        count += acquired
        for _ in range(acquired):
            slots.sending.release()

    waiting = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0.01)
    is_waiting = not waiting.done()
    slots.unconsumed.release()

    assert (1 + LOOK_AHEAD + MAX_UNCONSUMED, True, 1) == (count, is_waiting, await waiting)
