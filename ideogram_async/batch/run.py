"""The work of a batch: take over what earlier runs have left, pull jobs, and see each through to its result."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import attrs
from aiohttp import ClientSession

from ideogram_async.batch.chain import Chain
from ideogram_async.batch.collecting import Collector
from ideogram_async.batch.feed import Feed, Jobs
from ideogram_async.batch.halt import Halt
from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.noting import Noted
from ideogram_async.batch.office import Office
from ideogram_async.batch.options import BatchOptions
from ideogram_async.batch.outbox import Outbox
from ideogram_async.batch.progress import Progress
from ideogram_async.batch.recovery import recover, take_over
from ideogram_async.batch.room import Room
from ideogram_async.batch.rows import JobRow
from ideogram_async.batch.supply import Fresh, Left, Supply
from ideogram_async.batch.worker import Worker
from ideogram_async.errors import BatchError
from ideogram_async.exchange.stack import Stack
from ideogram_async.prices import PriceTable

__all__ = ["Run"]

T = TypeVar("T")


class Run:
    """A batch at work in its open folder. `work` is its whole life."""

    def __init__(
        self,
        stack: Stack,
        prices: PriceTable,
        office: Office,
        options: BatchOptions,
        pool: ClientSession,
        halt: Halt,
        progress: Progress,
    ) -> None:
        self._stack = stack
        self._pool = pool
        self._office = office
        self._options = options
        self._halt = halt
        self._progress = progress
        self._room = Room(int(stack.shared.limiter.statistics().limit))
        self._chain = Chain(office)
        self._feed = Feed(office, prices, stack)
        self._recovered: dict[str, JobResult] = {}
        self._pulling: asyncio.Task[None] | None = None
        self.outbox = Outbox(self._room.alive, is_ordered=options.ordered)
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
        downloads = self._stack.downloads_over(lambda: self._pool, lambda: places)
        return Worker(
            self._stack,
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
