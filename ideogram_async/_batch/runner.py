"""Run of a batch: recovery of interrupted jobs, then a task for each job of the input."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import partial

from aiohttp import ClientSession
from attrs import evolve

from ideogram_async._batch.costs import total_costs
from ideogram_async._batch.dependencies import Dependencies
from ideogram_async._batch.downloads import ImageDownloads
from ideogram_async._batch.intake import InputJobs, Intake, PendingJobs, RegisteredJob
from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import Entry, JobRow
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import PreviousRuns, Progress
from ideogram_async._batch.results import ResultQueue, ResultReader
from ideogram_async._batch.source import LOOK_AHEAD, Jobs
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.task import JobTask, RunContext, is_finished
from ideogram_async._batch.workspace import Workspace
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._prices import PriceTable
from ideogram_async.errors import BatchError

MAX_UNCONSUMED = 64
"""Jobs that may wait for their download, or for the caller to take their result."""
RECOVERY_PAGE = 32
"""Interrupted jobs read at a time."""


class Runner:
    """One run of a batch in its open folder."""

    def __init__(
        self,
        transport: Transport,
        prices: PriceTable,
        workspace: Workspace,
        options: BatchOptions,
        image_session: ClientSession,
        stopping: StopPolicy,
        progress: Progress,
    ) -> None:
        self._workspace = workspace
        self._stopping = stopping
        self._progress = progress
        self._slots = JobSlots(int(transport.config.limiter.statistics().limit))
        self._reader: asyncio.Task[None] | None = None
        self._recovered: dict[str, JobResult] = {}
        download_slots = asyncio.Semaphore(options.max_downloads)
        downloads = transport.new_downloads(lambda: image_session, lambda: download_slots)
        self._context = RunContext(
            transport=transport,
            workspace=workspace,
            intake=Intake(workspace, prices, transport),
            dependencies=Dependencies(workspace),
            downloads=ImageDownloads(workspace, downloads, options.names, stopping),
            results=ResultReader(workspace.folder),
            progress=progress,
            stopping=stopping,
            sending=self._slots.sending,
            options=options,
        )
        self.results = ResultQueue(self._slots.unconsumed, is_ordered=options.ordered)
        self.failure: Exception | None = None
        """The error to raise to the caller, after the results are taken."""
        self.is_over = False

    async def run(self, jobs: Jobs | None) -> None:
        """Run all jobs. An error stops the batch, and is kept in `failure`."""
        try:
            self._progress.add_previous(await self._mark_interrupted())
            await self._recover()
            async with asyncio.TaskGroup() as group:
                self._reader = group.create_task(self._read_jobs(jobs, group))
        except Exception as error:
            self._fail(error)
        finally:
            self.is_over = True
            self._progress.end()
            self.results.end()

    def stop_reading(self) -> None:
        """Stop reading the input. Jobs already read still finish."""
        # A listener may stop the batch in the reader itself, which then ends without a cancellation.
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()

    async def _mark_interrupted(self) -> PreviousRuns:
        """Mark the jobs that an earlier run was sending as ambiguous, and return the costs of earlier runs."""
        await self._workspace.journal.run(queries.mark_sending_ambiguous)
        groups, _ = await self._workspace.journal.run(queries.totals)
        spent, confirmed = total_costs(groups)
        rows = [row async for page in self._pages(JobState.AMBIGUOUS) for row in page]
        ambiguous = [self._context.results.read(Entry(row, [])) for row in rows]
        return PreviousRuns(spent, spent - confirmed, ambiguous)

    async def _recover(self) -> None:
        """Download the images of jobs that earlier runs left answered. A batch that stops leaves the rest."""
        async for page in self._pages(JobState.ANSWERED):
            async with asyncio.TaskGroup() as group:
                for row in page:
                    group.create_task(self._recover_job(row))

            if self._stopping.reason is not None:
                return

    async def _recover_job(self, row: JobRow) -> None:
        job = self._context.intake.recall(row, row.number, await self._context.intake.images_of(row))
        await self._slots.sending.acquire()
        result = await self._run_task(JobTask(job, self._context))
        if result is not None:
            # The same job of the input is neither downloaded nor counted again.
            self._recovered[row.key] = result

    async def _pages(self, state: JobState) -> AsyncIterator[list[JobRow]]:
        number = -1
        while page := await self._workspace.journal.run(
            partial(queries.jobs_after, states=(state,), number=number, limit=RECOVERY_PAGE)
        ):
            yield page
            number = page[-1].number

    async def _read_jobs(self, jobs: Jobs | None, group: asyncio.TaskGroup) -> None:
        try:
            async with aclosing(self._open_source(jobs)) as source:
                while self._stopping.reason is None:
                    count = await self._slots.acquire()
                    registered = await source.read(count)
                    self._slots.release(count - len(registered))
                    for job in registered:
                        self._start_job(job, group)

                    if not registered:
                        break
        except Exception as error:
            # The jobs in flight are finished before the caller sees the error.
            self._fail(error)

    def _open_source(self, jobs: Jobs | None) -> InputJobs | PendingJobs:
        workspace, intake = self._workspace, self._context.intake
        return PendingJobs(workspace, intake) if jobs is None else InputJobs(workspace, intake, jobs)

    def _start_job(self, job: RegisteredJob, group: asyncio.TaskGroup) -> None:
        """Start a job, or deliver its result if no work remains."""
        result = self._finished_result(job)
        if result is None:
            group.create_task(self._run_job(JobTask(job, self._context)))
            return

        self._slots.sending.release()
        self.results.put(job.index, result)

    def _finished_result(self, job: RegisteredJob) -> JobResult | None:
        key = job.row.key
        if self._context.dependencies.is_running(key):
            return None

        if (recovered := self._recovered.get(key)) is not None:
            return evolve(recovered, index=job.index)

        if not is_finished(job, self._context.options):
            return None

        from_journal = job.row.state is not JobState.PENDING
        result = self._context.results.make_result(
            job.row, job.images, job.request, index=job.index, error=job.problem, from_journal=from_journal
        )
        if not job.is_repeat:
            self._progress.add(result, job.row)

        return result

    async def _run_job(self, task: JobTask) -> None:
        self.results.put(task.job.index, await self._run_task(task))

    async def _run_task(self, task: JobTask) -> JobResult | None:
        """Run a job, count it and return its result. After an error the result is read from the journal."""
        try:
            result = await task.run()
        except asyncio.CancelledError:
            if _is_cancelled():
                self._count(task, await self._interrupted_result(task))
                raise

            # Passed on, it would end this job alone, and silently.
            self._fail(RuntimeError("a callback of the client was cancelled"))
            result = await self._interrupted_result(task)
        except Exception as error:
            if isinstance(error, OSError):
                self._stopping.stop(f"{error.strerror or error}: {self._workspace.folder}")
            else:
                self._fail(error)

            result = await self._interrupted_result(task)

        self._count(task, result)
        return result

    async def _interrupted_result(self, task: JobTask) -> JobResult | None:
        with suppress(BatchError, OSError):
            await task.reload()

        return None if task.row.state is JobState.PENDING else task.result()

    def _count(self, task: JobTask, result: JobResult | None) -> None:
        if result is not None:
            self._progress.add(result, task.row, is_repeat=task.job.is_repeat)

    def _fail(self, error: Exception) -> None:
        while isinstance(error, ExceptionGroup):
            # Callers look for an error by its type.
            error = error.exceptions[0]

        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            # A full disk stops the batch, but does not fail it: the same call resumes once there is space.
            self._stopping.stop(f"{error.strerror}: {self._workspace.folder}")
            return

        self.failure = self.failure or error
        self._stopping.stop(str(error) or type(error).__name__)


def _is_cancelled() -> bool:
    """Return whether the current task was cancelled. Otherwise a `CancelledError` comes from a caller's callback."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class JobSlots:
    """Backpressure: bounds on the jobs being sent and on unconsumed results.

    A job holds a slot of `sending` until it is answered, and one of `unconsumed` until its result is taken.

    Args:
        limit: The account's limit of images in progress.
    """

    def __init__(self, limit: int) -> None:
        self.sending = asyncio.Semaphore(limit + LOOK_AHEAD)
        self.unconsumed = asyncio.Semaphore(limit + LOOK_AHEAD + MAX_UNCONSUMED)

    async def acquire(self) -> int:
        """Wait for the slots of one job, acquire those of as many others as are free, and return the number of jobs."""
        await self._acquire_one()
        count = 1
        while not (self.sending.locked() or self.unconsumed.locked()):
            # Returns without waiting.
            await self._acquire_one()
            count += 1

        return count

    def release(self, count: int) -> None:
        for _ in range(count):
            self.unconsumed.release()
            self.sending.release()

    async def _acquire_one(self) -> None:
        await self.unconsumed.acquire()
        await self.sending.acquire()
