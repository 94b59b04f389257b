"""Run of a batch: recovery of interrupted jobs, then a task for each job of the input."""

from __future__ import annotations

import asyncio
import errno
from contextlib import aclosing, suppress
from functools import partial

from aiohttp import ClientSession
from attrs import evolve

from ideogram_async._batch.accepting import MAX_SUBMISSIONS
from ideogram_async._batch.costs import BILLED, total_costs
from ideogram_async._batch.dependencies import Dependencies
from ideogram_async._batch.downloads import ImageDownloads
from ideogram_async._batch.intake import InputJobs, Intake, PendingJobs
from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import Entry, JobRow
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import PreviousRuns, Progress
from ideogram_async._batch.registration import RegisteredJob
from ideogram_async._batch.results import ResultQueue, ResultReader
from ideogram_async._batch.source import LOOK_AHEAD, CollectOnly, Jobs
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._batch.task import JobTask, RunContext, is_finished
from ideogram_async._batch.uncollected import UncollectedImages
from ideogram_async._batch.workspace import Workspace
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import unlisted
from ideogram_async.errors import BatchError

MAX_UNCONSUMED = 64
"""Jobs that may wait for their download, or for the caller to take their result."""
MIN_UNCOLLECTED = 10
"""The least default of `max_uncollected`."""
RECOVERY_PAGE = 32
"""Interrupted jobs read at a time."""


class Runner:
    """One run of a batch in its open folder."""

    def __init__(
        self,
        jobs: Jobs | None,
        transport: Transport,
        prices: PriceTable,
        workspace: Workspace,
        options: BatchOptions,
        image_session: ClientSession,
        stopping: StopPolicy,
        progress: Progress,
    ) -> None:
        self._jobs = jobs
        self._workspace = workspace
        self._stopping = stopping
        self._progress = progress
        limit = int(transport.config.limiter.statistics().limit)
        uncollected = UncollectedImages(options.max_uncollected or max(2 * limit, MIN_UNCOLLECTED), stopping)
        self._slots = JobSlots(limit)
        self._reader: asyncio.Task[None] | None = None
        self._recovering = asyncio.Semaphore(options.max_downloads)
        self._recovered: dict[str, JobResult] = {}
        self._resumed: dict[str, asyncio.Task[JobResult | None]] = {}
        """Jobs that an earlier run left accepted, by key."""
        download_slots = asyncio.Semaphore(options.max_downloads)
        downloads = transport.new_downloads(lambda: image_session, lambda: download_slots)
        self._context = RunContext(
            transport=transport,
            workspace=workspace,
            intake=Intake(workspace, prices, transport, retry_rejected=options.retry_rejected),
            dependencies=Dependencies(workspace),
            downloads=ImageDownloads(workspace, downloads, options.names, stopping, uncollected),
            uncollected=uncollected,
            results=ResultReader(workspace.folder),
            progress=progress,
            stopping=stopping,
            sending=self._slots.sending,
            submissions=asyncio.Semaphore(MAX_SUBMISSIONS),
            options=options,
            is_collecting=isinstance(jobs, CollectOnly),
        )
        self.results = ResultQueue(self._slots.unconsumed, is_ordered=options.ordered)
        self.failure: Exception | None = None
        """The error to raise to the caller, after the results are taken."""
        self.is_over = False

    async def run(self) -> None:
        """Run all jobs. An error stops the batch, and is kept in `failure`."""
        try:
            self._progress.add_previous(await self._mark_interrupted())
            async with asyncio.TaskGroup() as group:
                if self._context.is_collecting:
                    # Files of finished jobs may have been deleted. They need no API key, which polls do.
                    await self._recover(BILLED)
                    await self._resume_accepted(group)
                else:
                    await self._resume_accepted(group)
                    await self._recover((JobState.ANSWERED,))

                self._reader = unlisted(group.create_task(self._read_jobs(group)))
        except Exception as error:
            self._fail(error)

    def end(self) -> None:
        """End the results, once `run` has ended in any way."""
        self.is_over = True
        self._progress.end()
        self.results.end()

    def stop_reading(self) -> None:
        """Stop reading the input. Jobs already read still finish."""
        # A listener may stop the batch in the reader itself, which then ends without a cancellation.
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()

    async def _mark_interrupted(self) -> PreviousRuns:
        """Mark the jobs that an earlier run was sending as ambiguous, and return what earlier runs left."""
        await self._workspace.journal.run(queries.mark_sending_ambiguous)
        groups, _ = await self._workspace.journal.run(queries.totals)
        spent, confirmed = total_costs(groups)
        rows: list[JobRow] = []
        while page := await self._page_after(rows, JobState.AMBIGUOUS, JobState.ACCEPTED):
            rows += page

        unfinished = [self._context.results.read(Entry(row, [])) for row in rows]
        return PreviousRuns(spent, spent - confirmed, unfinished)

    async def _resume_accepted(self, group: asyncio.TaskGroup) -> None:
        """Start to wait for accepted jobs, and return once the service was asked for each of them."""
        tasks: list[JobTask] = []
        rows: list[JobRow] = []
        while rows := await self._page_after(rows, JobState.ACCEPTED):
            for row in rows:
                await self._slots.sending.acquire()
                task = JobTask(self._context.intake.recall(row, row.number), self._context)
                self._resumed[row.key] = unlisted(group.create_task(self._run_task(task)))
                tasks.append(task)

        for task in tasks:
            await task.is_asked.wait()

    async def _recover(self, states: tuple[JobState, ...]) -> None:
        """Download the images of jobs that earlier runs left in these states. A batch that stops leaves the rest."""
        intake = self._context.intake
        page: list[JobRow] = []
        while page := await self._page_after(page, *states):
            images = await intake.images_of([row.key for row in page])
            async with asyncio.TaskGroup() as group:
                for row in page:
                    job = intake.recall(row, row.number, images[row.key])
                    # A job that this run has resumed may have been answered since, and has its task.
                    if row.key not in self._resumed and not is_finished(job, self._context.options):
                        unlisted(group.create_task(self._recover_job(job)))

            if self._stopping.reason is not None:
                return

    async def _recover_job(self, job: RegisteredJob) -> None:
        async with self._recovering:
            if self._stopping.reason is not None:
                return

            await self._slots.sending.acquire()
            result = await self._run_task(JobTask(job, self._context))

        if result is not None:
            # The same job of the input is neither downloaded nor counted again.
            self._recovered[job.row.key] = result

    async def _page_after(self, rows: list[JobRow], *states: JobState) -> list[JobRow]:
        """Return the next jobs in these states after the last of `rows`."""
        # Not an async generator, which the end of the event loop would close while it runs.
        number = rows[-1].number if rows else -1
        step = partial(queries.jobs_after, states=states, number=number, limit=RECOVERY_PAGE)
        return await self._workspace.journal.run(step)

    async def _read_jobs(self, group: asyncio.TaskGroup) -> None:
        try:
            async with aclosing(self._open_source()) as source:
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

    def _open_source(self) -> InputJobs | PendingJobs:
        workspace, intake, jobs = self._workspace, self._context.intake, self._jobs
        return PendingJobs(workspace, intake) if jobs is None else InputJobs(workspace, intake, jobs)

    def _start_job(self, job: RegisteredJob, group: asyncio.TaskGroup) -> None:
        """Start a job, or deliver its result if no work remains."""
        if (resumed := self._resumed.get(job.row.key)) is not None:
            self._slots.sending.release()
            unlisted(group.create_task(self._deliver(job.index, resumed)))
            return

        result = self._finished_result(job)
        if result is None:
            unlisted(group.create_task(self._run_job(JobTask(job, self._context))))
            return

        self._slots.sending.release()
        self.results.put(job.index, result)

    async def _deliver(self, index: int, resumed: asyncio.Task[JobResult | None]) -> None:
        """Deliver the result of a job that was resumed before the input was read."""
        result = await resumed
        self.results.put(index, result and evolve(result, index=index))

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
        try:
            result = await self._run_task(task)
        except asyncio.CancelledError:
            self.results.put(task.job.index, task.result())
            raise

        self.results.put(task.job.index, result)

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

        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ESTALE):
            # A full disk, or a folder that was replaced, stops the batch but does not fail it: the same call resumes.
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
