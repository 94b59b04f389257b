"""The batch: jobs go in, results come out, and whatever happens in between, what was paid for is kept."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs

from ideogram_async.batch import rows
from ideogram_async.batch.chain import Chain
from ideogram_async.batch.collecting import Collector
from ideogram_async.batch.feed import Feed, Jobs, Noted, pulled
from ideogram_async.batch.halt import Halt
from ideogram_async.batch.job import ImageState, JobResult
from ideogram_async.batch.money import Budget
from ideogram_async.batch.office import Office
from ideogram_async.batch.options import BatchOptions
from ideogram_async.batch.outbox import Outbox
from ideogram_async.batch.recovery import recover, take_over
from ideogram_async.batch.report import Report, Tally
from ideogram_async.batch.rows import JobRow
from ideogram_async.batch.worker import Worker
from ideogram_async.events import BatchFinished, BatchStopped, JobFinished, JobStarted
from ideogram_async.exchange.stack import Stack
from ideogram_async.prices import PriceTable
from ideogram_async.transport.tasks import Tasks
from ideogram_async.transport.threads import in_thread

__all__ = ["Batch", "BatchOptions"]

T = TypeVar("T")
LOOK_AHEAD = 16
"""Jobs beyond those in flight that may wait for a place, so that the limiter can choose among them."""
LAG = 64
"""Jobs that may be answered and not yet collected, or collected and not yet taken by the caller."""


class Batch:
    """A bulk run. An async context manager that owns its tasks, and an async iterator of results.

    Leaving the block early stops sending, and waits for what is on its way; leaving it by an error or a cancellation
    ends what is on its way too, and notes it as ambiguous. Either way the same call goes on later.
    """

    def __init__(
        self, stack: Stack, prices: PriceTable, jobs: Jobs | None, folder: Path, options: BatchOptions
    ) -> None:
        self._stack = stack
        self._prices = prices
        self._jobs = jobs
        self._folder = folder
        self._options = options
        self._tally = Tally()
        self._budget = Budget(options.max_cost_usd, Decimal(0))
        self._doubted_before = Decimal(0)
        self._recovered: dict[str, JobResult] = {}
        self._halt = Halt(self._stop_pulling)
        self._is_over = False
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._puller: asyncio.Task[None] | None = None
        self._began = time.monotonic()
        self._ended: float | None = None
        self._throttled_before = 0

    def report(self) -> Report:
        """Sum up what has been done so far, and what earlier runs have left in doubt."""
        return self._tally.report(
            in_doubt=self._doubted_before + self._budget.in_doubt,
            throttled=self._stack.shared.limiter.statistics().rejected - self._throttled_before,
            elapsed=(self._ended or time.monotonic()) - self._began,
            stopped=self._halt.reason,
        )

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a batch runs once; make another")

        local = await self._stack.shared.sessions.open()
        self._office = await self._opened(local.tasks)
        self._tasks = local.tasks
        statistics = self._stack.shared.limiter.statistics()
        limit, self._throttled_before = int(statistics.limit), statistics.rejected
        self._asking = asyncio.Semaphore(limit + LOOK_AHEAD)
        self._alive = asyncio.Semaphore(limit + LOOK_AHEAD + LAG)
        self._outbox = Outbox(self._alive, is_ordered=self._options.ordered)
        self._began = time.monotonic()
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._task
        if task is None:
            return

        try:
            if error is not None:
                task.cancel()
            elif not self._is_over:
                self._halt.stop("the caller left")
                self._outbox.leave()

            await asyncio.wait({task})
        finally:
            # The client owns it: a second cancellation leaves neither a lock nor a thread behind.
            await self._tasks.finish(self._close(task))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobResult:
        if self._task is None:
            raise RuntimeError("a batch runs inside its block: async with client.batch(...) as batch")

        result = await self._outbox.take()
        if result is not None:
            return result

        if self._failure is not None:
            raise self._failure

        raise StopAsyncIteration

    async def _opened(self, tasks: Tasks) -> Office:
        origin = "sandbox" if self._stack.shared.hosts.loopback else str(self._stack.shared.base_url.origin())
        opening = tasks.start(in_thread(partial(Office.open, self._folder, origin=origin)))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Whoever wanted it is gone, and the thread opens it all the same.
            tasks.start(_abandon(opening))
            raise

    async def _close(self, task: asyncio.Task[None]) -> None:
        try:
            task.cancel()
            await asyncio.wait({task})
            await in_thread(self._office.close)
        finally:
            self._office.let_go()

    async def _work(self) -> None:
        try:
            await self._begin()
            async with asyncio.TaskGroup() as group:
                self._puller = group.create_task(self._pull(group))
        except Exception as error:
            self._fail(error)
        finally:
            self._is_over = True
            self._ended = time.monotonic()
            self._say_goodbye()
            self._outbox.end()

    async def _begin(self) -> None:
        """See what an earlier run has left: what was on its way is in doubt, what was answered is collected."""
        past = await take_over(self._office)
        self._tally = Tally(past.ambiguous)
        self._doubted_before = past.in_doubt
        self._budget = Budget(self._options.max_cost_usd, past.spent)
        self._chain = Chain(self._office)
        self._feed = Feed(self._office, self._prices, self._stack)
        self._worker = Worker(
            self._stack,
            self._office,
            self._collector(),
            self._budget,
            self._halt,
            self._chain,
            self._feed,
            sidecars=self._options.sidecars,
            retry_ambiguous=self._options.retry_ambiguous,
        )
        await recover(self._office, self._halt, self._recover)

    def _collector(self) -> Collector:
        downloads, options = self._stack.downloads, self._options
        return Collector(
            self._office.journal,
            downloads,
            self._folder,
            options.names,
            self._halt,
            max_downloads=options.max_downloads,
        )

    async def _recover(self, row: JobRow) -> None:
        noted = self._feed.recall(row, row.number)
        result = await self._guarded(self._worker.collect(noted, row, None))
        if result is not None:
            # Kept, so that the same job of the input is neither collected nor counted again.
            self._recovered[row.key] = result
            self._count(result)

    async def _pull(self, group: asyncio.TaskGroup) -> None:
        try:
            jobs = self._feed.left() if self._jobs is None else self._feed.noted(pulled(self._jobs))
            async with aclosing(jobs):
                async for noted in jobs:
                    if self._halt.reason is not None:
                        break

                    await self._alive.acquire()
                    await self._asking.acquire()
                    # Now, for only what came before may be waited for.
                    awaited = self._chain.awaited(noted.request)
                    former = self._chain.begin(noted.row.key)
                    group.create_task(self._do(noted, awaited, former, self._chain.turn(noted.row.key)))
        except Exception as error:
            # What is on its way is finished; then the caller hears of it.
            self._fail(error)

    async def _do(
        self, noted: Noted, awaited: list[asyncio.Event], former: asyncio.Event | None, turn: asyncio.Event
    ) -> None:
        try:
            if awaited or former is not None:
                # Others may be sent meanwhile.
                self._asking.release()
                noted = await self._its_turn(noted, awaited, former)
                await self._asking.acquire()

            result = await self._done(noted)
        finally:
            self._chain.end(noted.row.key, turn)

        self._outbox.put(noted.index, result)

    async def _its_turn(self, noted: Noted, awaited: list[asyncio.Event], former: asyncio.Event | None) -> Noted:
        """Wait for earlier jobs: those whose images it takes, and the same job if it came before."""
        for event in awaited:
            await event.wait()

        if former is None:
            return noted

        await former.wait()
        row = await self._guarded(self._office.journal.run(partial(rows.find, key=noted.row.key)))
        return attrs.evolve(noted, row=row or noted.row, is_repeat=True)

    async def _done(self, noted: Noted) -> JobResult | None:
        recovered = self._recovered.get(noted.row.key)
        try:
            if recovered is not None:
                return attrs.evolve(recovered, index=noted.index)

            facts = {"job_id": noted.row.id or noted.row.key, "weight": noted.row.weight}
            self._stack.emit(JobStarted, call_id=noted.row.key, operation=noted.row.operation, **facts)
            asked = await self._guarded(self._worker.ask(noted))
        finally:
            self._asking.release()

        result = None if asked is None else await self._guarded(self._worker.collect(noted, *asked))
        if result is not None and not noted.is_repeat:
            self._count(result)

        return result

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Let no job take the others with it: a disk that is full, or a journal that fails, stops the batch."""
        try:
            return await work
        except OSError as error:
            self._halt.stop(f"{error.strerror or error}: {self._folder}")
        except Exception as error:
            self._fail(error)

        return None

    def _count(self, result: JobResult) -> None:
        self._tally.add(result)
        self._stack.emit(
            JobFinished,
            call_id=result.key,
            operation=str(result.request.endpoint),
            job_id=result.id,
            state=str(result.state),
            stored=sum(image.state is ImageState.STORED for image in result.images),
            cost_usd=result.cost_usd,
        )

    def _say_goodbye(self) -> None:
        report = self.report()
        facts = {"jobs": report.jobs, "spent_usd": report.spent_usd, "in_doubt_usd": report.in_doubt_usd}
        self._stack.emit(BatchFinished, call_id="batch", operation="batch", **facts)

    def _stop_pulling(self) -> None:
        self._stack.emit(BatchStopped, call_id="batch", operation="batch", reason=self._halt.reason)
        if self._puller is not None:
            self._puller.cancel()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            # A full disk is no failure: the same call goes on when there is room.
            self._halt.stop(f"{error.strerror}: {self._folder}")
            return

        self._failure = self._failure or error
        self._halt.stop(str(error) or type(error).__name__)


async def _abandon(opening: asyncio.Task[Office]) -> None:
    with suppress(Exception):
        office = await opening
        await in_thread(office.close)
