"""The batch: jobs go in, results come out, and whatever happens in between, what was paid for is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ideogram_async._batch.job import JobResult
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import Progress
from ideogram_async._batch.report import Report
from ideogram_async._batch.runner import Run
from ideogram_async._batch.source import Jobs
from ideogram_async._batch.stopping import Halt
from ideogram_async._batch.workspace import Office
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import Tasks, in_thread


class Batch:
    """A bulk run. An async context manager that owns its tasks, and an async iterator of results.

    Leaving the block early stops sending, and waits for what is on its way; leaving it by an error or a cancellation
    ends what is on its way too, and notes it as ambiguous. Either way the same call goes on later.
    """

    def __init__(
        self, transport: Transport, prices: PriceTable, jobs: Jobs | None, folder: Path, options: BatchOptions
    ) -> None:
        self._transport = transport
        self._prices = prices
        self._jobs = jobs
        self._folder = folder
        self._options = options
        self._halt = Halt(self._note_stop)
        self._progress = Progress(transport, self._halt, options.max_cost_usd)
        self._run: Run | None = None

    def report(self) -> Report:
        """Sum up what has been done so far, and what earlier runs have left in doubt."""
        return self._progress.report()

    def stop(self, reason: str = "stopped") -> None:
        """Send nothing new. Calls in flight finish, and iteration continues until their results are delivered.

        Calling it again changes nothing. The same call of `client.batch` resumes later.

        Args:
            reason: The text of `report().stopped`.
        """
        self._halt.stop(reason)

    async def __aenter__(self) -> Self:
        if self._run is not None:
            raise RuntimeError("a batch runs once; make another")

        sessions, options = self._transport.config.sessions, self._options
        local = self._local = await sessions.ensure_open()
        pool = self._pool = sessions.new_image_session(local, options.max_downloads)
        try:
            self._office = await self._opened(local.tasks)
        except BaseException:
            await local.close_session(pool)
            raise

        self._progress.begin()
        self._run = Run(self._transport, self._prices, self._office, options, pool, self._halt, self._progress)
        self._task = asyncio.create_task(self._run.work(self._jobs))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self._run
        if run is None:
            return

        try:
            if not run.is_over:
                self._halt.stop("the caller left")
                run.outbox.leave()

            if error is not None:
                self._task.cancel()

            await asyncio.wait({self._task})
        finally:
            # The client owns it: a second cancellation leaves neither a lock nor a thread behind.
            await self._local.tasks.finish(self._close())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobResult:
        if self._run is None:
            raise RuntimeError("a batch runs inside its block: async with client.batch(...) as batch")

        result = await self._run.outbox.take()
        if result is not None:
            return result

        if self._run.failure is not None:
            raise self._run.failure

        raise StopAsyncIteration

    async def _opened(self, tasks: Tasks) -> Office:
        origin = "sandbox" if self._transport.config.hosts.loopback else str(self._transport.config.base_url.origin())
        opening = tasks.start(in_thread(partial(Office.open, self._folder, origin=origin)))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Whoever wanted it is gone, and the thread opens it all the same.
            tasks.start(_abandon(opening))
            raise

    async def _close(self) -> None:
        try:
            self._task.cancel()
            await asyncio.wait({self._task})
            await in_thread(self._office.close)
        finally:
            self._office.let_go()
            await self._local.close_session(self._pool)

    def _note_stop(self) -> None:
        self._progress.note_stop()
        if self._run is not None:
            self._run.stop_pulling()


async def _abandon(opening: asyncio.Task[Office]) -> None:
    with suppress(Exception):
        office = await opening
        await in_thread(office.close)
