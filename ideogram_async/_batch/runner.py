"""The work of a batch: take over what earlier runs have left, pull jobs, and see each through to its result."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import attrs
from aiohttp import ClientSession

from ideogram_async._batch.costs import certain_of, cost_of
from ideogram_async._batch.dependencies import Chain
from ideogram_async._batch.downloads import Collector
from ideogram_async._batch.intake import Feed, Fresh, Left, Noted, Supply
from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import Entry, JobRow
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import Past, Progress
from ideogram_async._batch.results import ResultQueue, Settled
from ideogram_async._batch.source import LOOK_AHEAD, Jobs
from ideogram_async._batch.stopping import Halt
from ideogram_async._batch.task import Worker
from ideogram_async._batch.workspace import Office
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._prices import PriceTable
from ideogram_async.errors import BatchError

PAGE = 32

"""Answers that are collected at once."""


async def take_over(office: Office) -> Past:
    """Note what was on its way as in doubt, and see what has been spent."""
    await office.journal.run(queries.doubt_what_was_sending)
    groups, _ = await office.journal.run(queries.sums)
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
    while found := await office.journal.run(partial(queries.next_in, states=(state,), after=after, size=PAGE)):
        for row in found:
            yield row

        after = found[-1].number


LAG = 64

"""Jobs that may be answered and not yet collected, or collected and not yet taken by the caller."""


class Room:
    """Room for jobs. Each needs a place among those that ask until it is answered, and one until its result is taken.

    Args:
        limit: Images that may be in progress.
    """

    def __init__(self, limit: int) -> None:
        self.asking = asyncio.Semaphore(limit + LOOK_AHEAD)
        self.alive = asyncio.Semaphore(limit + LOOK_AHEAD + LAG)

    async def take(self) -> int:
        """Wait for room for a job, and take what more there is."""
        await self._take_one()
        count = 1
        while not (self.asking.locked() or self.alive.locked()):
            # Waits for nobody.
            await self._take_one()
            count += 1

        return count

    def give_back(self, count: int) -> None:
        """Give back room that no job has used."""
        for _ in range(count):
            self.alive.release()
            self.asking.release()

    async def _take_one(self) -> None:
        await self.alive.acquire()
        await self.asking.acquire()


T = TypeVar("T")


class Run:
    """A batch at work in its open folder. `work` is its whole life."""

    def __init__(
        self,
        transport: Transport,
        prices: PriceTable,
        office: Office,
        options: BatchOptions,
        pool: ClientSession,
        halt: Halt,
        progress: Progress,
    ) -> None:
        self._transport = transport
        self._pool = pool
        self._office = office
        self._options = options
        self._halt = halt
        self._progress = progress
        self._room = Room(int(transport.config.limiter.statistics().limit))
        self._chain = Chain(office)
        self._feed = Feed(office, prices, transport)
        self._recovered: dict[str, JobResult] = {}
        self._pulling: asyncio.Task[None] | None = None
        self.outbox = ResultQueue(self._room.alive, is_ordered=options.ordered)
        self.failure: Exception | None = None
        """What the caller has to hear of, once the results are taken."""
        self.is_over = False

    async def work(self, jobs: Jobs | None) -> None:
        """Do all jobs. Whatever goes wrong stops the batch, and is told by `failure`."""
        try:
            past = await take_over(self._office)
            self._progress.note_past(past)
            self._worker = self._hire()
            await recover(self._office, self._halt, self._recover)
            async with asyncio.TaskGroup() as group:
                self._pulling = group.create_task(self._pull(jobs, group))
        except Exception as error:
            self._fail(error)
        finally:
            self.is_over = True
            self._progress.end()
            self.outbox.end()

    def stop_pulling(self) -> None:
        """Ask for no more jobs; those that have come are seen through."""
        if self._pulling is not None:
            self._pulling.cancel()

    def _hire(self) -> Worker:
        office, options, halt = self._office, self._options, self._halt
        places = asyncio.Semaphore(options.max_downloads)
        downloads = self._transport.new_downloads(lambda: self._pool, lambda: places)
        return Worker(
            self._transport,
            office,
            Collector(office.journal, downloads, office.folder, options.names, halt),
            self._progress.budget,
            halt,
            self._chain,
            self._feed,
            sidecars=options.sidecars,
            retry_ambiguous=options.retry_ambiguous,
        )

    async def _recover(self, row: JobRow) -> None:
        noted = self._feed.recall(row, row.number, await self._feed.images_of(row))
        result = await self._guarded(self._worker.collect(noted, row, None))
        if result is not None:
            # Kept, so that the same job of the input is neither collected nor counted again.
            self._recovered[row.key] = result
            self._progress.add(result, row)

    async def _pull(self, jobs: Jobs | None, group: asyncio.TaskGroup) -> None:
        try:
            async with aclosing(self._supply(jobs)) as supply:
                while self._halt.reason is None:
                    count = await self._room.take()
                    come = await supply.take(count)
                    self._room.give_back(count - len(come))
                    for noted in come:
                        self._take_up(noted, group)

                    if not come:
                        break
        except Exception as error:
            # What is on its way is finished; then the caller hears of it.
            self._fail(error)

    def _supply(self, jobs: Jobs | None) -> Supply:
        return Left(self._office, self._feed) if jobs is None else Fresh(self._office, self._feed, jobs)

    def _take_up(self, noted: Noted, group: asyncio.TaskGroup) -> None:
        """Begin a job; one that is settled is told at once."""
        key = noted.row.key
        result = None if self._chain.is_under_way(key) else self._told(noted)
        if result is not None:
            self._room.asking.release()
            self.outbox.put(noted.index, result)
            return

        # Now, for only what came before may be waited for.
        awaited = self._chain.awaited(noted.request)
        former = self._chain.begin(key)
        group.create_task(self._do(noted, awaited, former, self._chain.turn(key)))

    def _told(self, noted: Noted) -> JobResult | None:
        recovered = self._recovered.get(noted.row.key)
        if recovered is not None:
            return attrs.evolve(recovered, index=noted.index)

        result = self._worker.told(noted)
        if result is not None and not noted.is_repeat:
            self._progress.add(result, noted.row)

        return result

    async def _do(
        self, noted: Noted, awaited: list[asyncio.Event], former: asyncio.Event | None, turn: asyncio.Event
    ) -> None:
        try:
            if awaited or former is not None:
                # Others may be sent meanwhile.
                self._room.asking.release()
                noted = await self._its_turn(noted, awaited, former)
                await self._room.asking.acquire()

            result = await self._done(noted)
        finally:
            self._chain.end(noted.row.key, turn)

        self.outbox.put(noted.index, result)

    async def _its_turn(self, noted: Noted, awaited: list[asyncio.Event], former: asyncio.Event | None) -> Noted:
        """Wait for earlier jobs: those whose images it takes, and the same job if it came before."""
        for event in awaited:
            await event.wait()

        if former is None:
            return noted

        await former.wait()
        return await self._guarded(self._feed.look_again(noted)) or attrs.evolve(noted, is_repeat=True)

    async def _done(self, noted: Noted) -> JobResult | None:
        result = None
        try:
            result = await self._seen_through(noted)
        finally:
            if result is None and not noted.is_repeat:
                await self._count(noted)

        return result

    async def _seen_through(self, noted: Noted) -> JobResult | None:
        try:
            asked = await self._guarded(self._worker.ask(noted))
        finally:
            self._room.asking.release()

        if asked is None:
            return None

        result = await self._guarded(self._worker.collect(noted, *asked))
        if result is not None and not noted.is_repeat:
            self._progress.add(result, asked[0])

        return result

    async def _count(self, noted: Noted) -> None:
        """Count a job that has no result, for it was cancelled, or the disk was full: it may have been paid for."""
        with suppress(BatchError, OSError):
            left = await self._feed.look_again(noted)
            if left.row.state is JobState.SENDING:
                # What came of it could not be noted.
                left = attrs.evolve(left, row=attrs.evolve(left.row, state=JobState.AMBIGUOUS))

            if left.row.state is not JobState.PENDING:
                self._progress.add(self._worker.left(left), left.row)

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Let no job take the others with it: a disk that is full, or a journal that fails, stops the batch."""
        try:
            return await work
        except OSError as error:
            self._halt.stop(f"{error.strerror or error}: {self._office.folder}")
        except Exception as error:
            self._fail(error)

        return None

    def _fail(self, error: Exception) -> None:
        while isinstance(error, ExceptionGroup):
            # Of several at once the first says enough, and callers look for it by its type.
            error = error.exceptions[0]

        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            # A full disk is no failure: the same call goes on when there is room.
            self._halt.stop(f"{error.strerror}: {self._office.folder}")
            return

        self.failure = self.failure or error
        self._halt.stop(str(error) or type(error).__name__)
