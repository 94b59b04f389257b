"""What an earlier run has left: seen to before anything new is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from functools import partial

from attrs import frozen

from ideogram_async.batch import rows
from ideogram_async.batch.halt import Halt
from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.office import Office
from ideogram_async.batch.rows import Entry, JobRow
from ideogram_async.batch.settled import Settled, certain_of, cost_of

__all__ = ["Past", "recover", "take_over"]

PAGE = 32
"""Answers that are collected at once."""


@frozen
class Past:
    """What earlier runs have spent."""

    spent: Decimal
    """For certain, or in doubt."""
    in_doubt: Decimal
    ambiguous: list[JobResult]
    """Jobs that may have run."""


async def take_over(office: Office) -> Past:
    """Note what was on its way as in doubt, and see what has been spent."""
    await office.journal.run(rows.doubt_what_was_sending)
    groups, _ = await office.journal.run(rows.sums)
    spent = sum((cost_of(it.state, it.usd, it.resends) or Decimal(0)) * it.jobs for it in groups)
    certain = sum(certain_of(it.state, it.usd) * it.jobs for it in groups)
    settled = Settled(office.folder)
    ambiguous = [settled.result(Entry(row, [])) async for row in _rows(office, JobState.AMBIGUOUS)]
    return Past(Decimal(spent), Decimal(spent) - Decimal(certain), ambiguous)


async def recover(office: Office, halt: Halt, collect: Callable[[JobRow], Awaitable[None]]) -> None:
    """Collect what was answered and paid for, some at a time; a batch that stops leaves the rest."""
    page: list[JobRow] = []
    async for row in _rows(office, JobState.ANSWERED):
        page.append(row)
        if len(page) == PAGE:
            await _all(collect, page)
            page = []

        if halt.reason is not None:
            return

    await _all(collect, page)


async def _all(collect: Callable[[JobRow], Awaitable[None]], page: list[JobRow]) -> None:
    async def one(row: JobRow) -> None:
        await collect(row)

    async with asyncio.TaskGroup() as group:
        for row in page:
            group.create_task(one(row))


async def _rows(office: Office, state: JobState) -> AsyncIterator[JobRow]:
    after = -1
    while found := await office.journal.run(partial(rows.next_in, states=(state,), after=after, size=PAGE)):
        for row in found:
            yield row

        after = found[-1].number
