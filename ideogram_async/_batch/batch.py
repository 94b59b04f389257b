"""The class `Batch`."""

# Evaluated annotations: `typing.get_type_hints` works on the class.

from concurrent.futures import Future, InvalidStateError
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ideogram_async._batch.job import JobResult
from ideogram_async._batch.journal.opening import OnLoss
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import Progress
from ideogram_async._batch.report import Report
from ideogram_async._batch.runner import Runner
from ideogram_async._batch.source import CollectOnly, Jobs
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.workspace import Workspace
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._pipeline.sessions import LoopState
from ideogram_async._prices import PriceTable
from ideogram_async._transport.drain import Work
from ideogram_async._transport.tasks import in_thread


class Batch:
    """A bulk run: an async context manager that owns its tasks, and an async iterator of results.

    Created by `Ideogram.batch`. Leaving the block in any way stops sending, lets the calls in flight finish, and stores
    their images. A cancellation leaves them `grace` seconds. Then, or at a second cancellation, they are given up, and
    listed as ambiguous. Accepted jobs are waited for during `grace` seconds after any stop, and stay accepted. Keep a
    batch of a background task inside `async with Ideogram()`. Running the same batch again resumes it.
    """

    def __init__(
        self, transport: Transport, prices: PriceTable, jobs: Jobs | None, folder: Path, options: BatchOptions
    ) -> None:
        options.accept.check(transport.config.hosts)
        self._transport = transport
        self._prices = prices
        self._jobs = jobs
        self._folder = folder
        self._options = options
        self._stopping = StopPolicy(self._on_stop, options.grace)
        self._progress = Progress(transport, self._stopping, options.max_cost_usd)
        self._is_abandoned = False
        self._runner: Runner | None = None

    def report(self) -> Report:
        """Return the report of this run so far. It includes the cost that earlier runs left in doubt."""
        return self._progress.report()

    def stop(self, reason: str = "stopped") -> None:
        """Send nothing new. Calls in flight finish, and iteration continues until their results are delivered.

        There is no time limit, and calling it again changes nothing. Running the same batch again resumes it.

        Args:
            reason: The text of `report().stopped`.
        """
        if self._runner is None or not self._runner.is_over:
            self._stopping.stop(reason)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("a batch runs once; create another one")

        state = await self._transport.config.sessions.ensure_open()
        opened: Future[Workspace] = Future()
        try:
            await state.tasks.finish(self._open(opened))
        except BaseException:
            self._abandon(opened)
            raise

        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None and not self._runner.is_over:
            self._runner.results.discard()

        await self._work.drain("the block was left early", error)

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

    async def _open(self, opened: Future[Workspace]) -> None:
        """Open the folder and start the run, unless the start was cancelled."""
        await in_thread(partial(self._open_workspace, opened))
        if opened.cancelled():
            return

        try:
            await opened.result().check_sink()
            if not self._is_abandoned:
                self._begin(self._transport.config.sessions.current(), opened.result())
        finally:
            if self._runner is None:
                await in_thread(opened.result().journal.close)

    def _open_workspace(self, opened: Future[Workspace]) -> None:
        """Open the folder, and close it again if the future was cancelled meanwhile. Blocks."""
        config = self._transport.config
        on_loss: OnLoss = "accept" if self._options.accept_loss else "refuse"
        if isinstance(self._jobs, CollectOnly):
            # Nothing is sent.
            on_loss = "warn"

        workspace = Workspace.open(self._folder, origin=config.origin, on_loss=on_loss, sink=self._options.sink)
        try:
            opened.set_result(workspace)
        except InvalidStateError:
            workspace.journal.close()

    def _abandon(self, opened: Future[Workspace]) -> None:
        """Close the folder that is being opened or was just opened. Its thread does so if the event loop has ended."""
        self._is_abandoned = True
        if not opened.cancel():
            opened.result().journal.request_close()
            if self._runner is not None:
                self._work.give_up()

    def _begin(self, state: LoopState, workspace: Workspace) -> None:
        """Start the run in a task of its own, which closes the folder at its end."""
        options = self._options
        session = self._transport.config.sessions.new_image_session(state, options.max_downloads)
        self._progress.begin()
        jobs, stopping = self._jobs, self._stopping
        runner = self._runner = Runner(
            jobs, self._transport, self._prices, workspace, options, session, stopping, self._progress
        )

        async def close() -> None:
            try:
                runner.end()
                await in_thread(workspace.journal.close)
            finally:
                workspace.journal.request_close()
                await state.close_session(session)

        self._work = Work(runner.run(), close=close, stop=self.stop, grace=options.grace)
        state.add_batch(self._work)

    def _on_stop(self) -> None:
        self._progress.emit_stopped()
        if self._runner is not None:
            self._runner.stop_reading()
