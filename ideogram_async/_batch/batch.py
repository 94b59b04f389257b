"""The class `Batch`."""

# Evaluated annotations: `typing.get_type_hints` works on the class.

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
from ideogram_async._batch.runner import Runner
from ideogram_async._batch.source import Jobs
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.workspace import Workspace
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import Tasks, in_thread


class Batch:
    """A bulk run: an async context manager that owns its tasks, and an async iterator of results.

    Leaving the block early stops sending and waits for the calls in flight. Leaving it by an error or a cancellation
    also ends the calls in flight, and records them as ambiguous. Running the same batch again resumes it.
    """

    def __init__(
        self, transport: Transport, prices: PriceTable, jobs: Jobs | None, folder: Path, options: BatchOptions
    ) -> None:
        self._transport = transport
        self._prices = prices
        self._jobs = jobs
        self._folder = folder
        self._options = options
        self._stopping = StopPolicy(self._on_stop)
        self._progress = Progress(transport, self._stopping, options.max_cost_usd)
        self._runner: Runner | None = None

    def report(self) -> Report:
        """Return the report of this run so far. It includes the cost that earlier runs left in doubt."""
        return self._progress.report()

    def stop(self, reason: str = "stopped") -> None:
        """Send nothing new. Calls in flight finish, and iteration continues until their results are delivered.

        Calling it again changes nothing. Running the same batch again resumes it.

        Args:
            reason: The text of `report().stopped`.
        """
        if self._runner is None or not self._runner.is_over:
            self._stopping.stop(reason)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("a batch runs once; create another one")

        sessions, options = self._transport.config.sessions, self._options
        self._loop_state = await sessions.ensure_open()
        self._image_session = sessions.new_image_session(self._loop_state, options.max_downloads)
        try:
            self._workspace = await self._open_workspace(self._loop_state.tasks)
        except BaseException:
            await self._loop_state.close_session(self._image_session)
            raise

        self._progress.begin()
        self._runner = Runner(
            self._transport, self._prices, self._workspace, options, self._image_session, self._stopping, self._progress
        )
        self._task = asyncio.create_task(self._runner.run(self._jobs))
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner = self._runner
        if runner is None:
            return

        try:
            if not runner.is_over:
                self._stopping.stop("the block was left early")
                runner.results.discard()

            if error is not None:
                self._task.cancel()

            await asyncio.wait({self._task})
        finally:
            # Owned by the client: a second cancellation leaves neither a lock nor a thread behind.
            await self._loop_state.tasks.finish(self._close())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobResult:
        if self._runner is None:
            raise RuntimeError("a batch runs inside its block: async with client.batch(...) as batch")

        result = await self._runner.results.get()
        if result is not None:
            return result

        if self._runner.failure is not None:
            raise self._runner.failure

        raise StopAsyncIteration

    async def _open_workspace(self, tasks: Tasks) -> Workspace:
        config = self._transport.config
        origin = "sandbox" if config.hosts.loopback else str(config.base_url.origin())
        opening = tasks.start(in_thread(partial(Workspace.open, self._folder, origin=origin)))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread opens the workspace regardless.
            tasks.start(_close_opened(opening))
            raise

    async def _close(self) -> None:
        try:
            self._task.cancel()
            await asyncio.wait({self._task})
            await in_thread(self._workspace.journal.close)
        finally:
            self._workspace.journal.request_close()
            await self._loop_state.close_session(self._image_session)

    def _on_stop(self) -> None:
        self._progress.emit_stopped()
        if self._runner is not None:
            self._runner.stop_reading()


async def _close_opened(opening: asyncio.Task[Workspace]) -> None:
    with suppress(Exception):
        workspace = await opening
        await in_thread(workspace.journal.close)
