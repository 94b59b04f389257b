"""One job of a batch, from registration to its result."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from functools import partial

from attrs import evolve, frozen

from ideogram_async._batch.dependencies import Dependencies
from ideogram_async._batch.downloads import ImageDownloads, list_images, write_sidecars
from ideogram_async._batch.intake import Intake, RegisteredJob
from ideogram_async._batch.job import ImageState, JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import JobRow
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import Progress
from ideogram_async._batch.results import ResultReader
from ideogram_async._batch.stopping import BatchStoppedError, StopPolicy
from ideogram_async._batch.workspace import Workspace
from ideogram_async._batch.write_ahead import JobRecord, write_ahead
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.call import Call
from ideogram_async._wire.decode import decode, status_error
from ideogram_async._wire.encode import encode
from ideogram_async.errors import BatchError, DecodeError, IdeogramError, InvalidRequestError
from ideogram_async.events import JobStarted
from ideogram_async.models.base import Reply
from ideogram_async.models.images import ImageAnswer

BILLED = (JobState.ANSWERED, JobState.DONE, JobState.PARTIAL)
FINISHED = (JobState.DONE, JobState.PARTIAL, JobState.REJECTED, JobState.AMBIGUOUS)


@frozen(kw_only=True)
class RunContext:
    """The components of a run that its jobs share."""

    transport: Transport
    workspace: Workspace
    intake: Intake
    dependencies: Dependencies
    downloads: ImageDownloads
    results: ResultReader
    progress: Progress
    stopping: StopPolicy
    sending: asyncio.Semaphore
    """Held by each job that is being sent or waits to be sent."""
    options: BatchOptions


class JobTask:
    """One job of a batch. Its creator holds `RunContext.sending` once for it; `run` releases it."""

    def __init__(self, job: RegisteredJob, context: RunContext) -> None:
        self.job = job
        self.row = job.row
        self._images = [*job.images]
        self._answer: ImageAnswer | None = None
        self._error: IdeogramError | None = job.problem
        self._context = context
        self._stopping = context.stopping
        # Registered now, and not when `run` starts: a job may only wait for earlier ones.
        self._is_running_already = context.dependencies.is_running(self.row.key)
        self._completion, self._pending = context.dependencies.begin(self.row.key, job.request)
        if self._is_running_already:
            # Its row changes until the same job has ended, and is then read again.
            self.row = evolve(self.row, state=JobState.PENDING)

    async def run(self) -> JobResult | None:
        """Run the job as far as possible, and return its result, or `None` if it is left for a later run.

        Raises:
            OSError: If the disk is full.
            JournalError: If the journal cannot be written.
        """
        try:
            await self._wait_for_dependencies()
            try:
                if self._error is None and self._may_send():
                    self._emit_started()
                    await self._send()
                    if self.row.state is JobState.AMBIGUOUS and self._may_send():  # the one resend of `retry_ambiguous`
                        await self._stopping.sleep(self._context.transport.options.retry.backoff(1))
                        await self._send()
            finally:
                self._context.sending.release()

            if self.row.state in BILLED:
                await self._download_images()
                await self._finish()

            return self.result()
        finally:
            self._context.dependencies.finish(self.row.key, self._completion)

    def result(self) -> JobResult | None:
        """Return the result in the job's current state; `None` if the job is pending and valid."""
        if self.row.state is JobState.PENDING and self._error is None:
            return None

        return self._context.results.make_result(
            self.row,
            self._images,
            self.job.request,
            index=self.job.index,
            answer=self._answer,
            error=self._error,
            from_journal=self.job.row.state is self.row.state is not JobState.PENDING,
        )

    async def reload(self) -> None:
        """Read the job from the journal, after it was interrupted.

        Raises:
            OSError: If the journal cannot be read.
            JournalError: If the journal is closed.
        """
        job = await self._context.intake.reload(self.job)
        self.row, self._images = job.row, [*job.images]

    async def _wait_for_dependencies(self) -> None:
        """Wait for the jobs whose images this one uses, and for the same job if it came before."""
        if not self._pending:
            return

        # Other jobs may be sent meanwhile.
        self._context.sending.release()
        for completion in self._pending:
            await completion.wait()

        if self._is_running_already:
            self.job = await self._context.intake.reload(self.job)
            self.row, self._images = self.job.row, [*self.job.images]

        await self._context.sending.acquire()

    def _may_send(self) -> bool:
        return self._stopping.reason is None and is_sendable(self.row, self._context.options)

    async def _send(self) -> None:
        """Reserve the price, send the call with write-ahead, and settle the reservation."""
        budget, price, self._error = self._context.progress.budget, self.row.usd or Decimal(0), None
        try:
            request = await self._prepare()
        except InvalidRequestError as error:
            self._error = error
            return

        if not await budget.reserve(price):
            self._stopping.stop(f"budget of {budget.cap} USD reached")
            return

        before, record = self.row, JobRecord(self._context.workspace.journal, self.row)
        try:
            await self._send_recorded(encode(request), record)
        except IdeogramError as error:
            self._error = None if isinstance(error, BatchStoppedError | BatchError) else error
            if record.failure is not None:
                # The retry layer may have replaced it by the unknown outcome of an earlier attempt.
                raise record.failure from None

        finally:  # also when cancelled: the journal records whether the call may have been billed
            self.row = await record.current()
            await self._settle(before, price)

    async def _prepare(self) -> Request[object]:
        """Return the request with the images of earlier jobs, once its files are verified.

        Raises:
            InvalidRequestError: If the job cannot be sent.
        """
        request = self.job.request
        if has_files(request):
            request = await self._context.dependencies.resolve(request)
            await in_thread(partial(self._context.workspace.inputs.verify_all, self.row.request))
            await self._context.intake.check(request)

        if self._context.progress.budget.cap is not None and self.row.usd is None:
            raise InvalidRequestError([("price", "is not known, and the batch has a cap")], subject="job")

        return request

    async def _send_recorded(self, call: Call, record: JobRecord) -> None:
        # A resend is decided by the batch, which reserves money for it, and not by the retry layer.
        retry = evolve(self._context.transport.options.retry, ambiguous=False)
        call.state.in_doubt = self.row.state is JobState.AMBIGUOUS
        async with self._stopping.interruptible() as in_flight:
            layer = partial(write_ahead, record=record, in_flight=in_flight)
            reply = await self._context.transport.build_stack(retry, wrap=layer)(call)

        if not reply.is_success:
            raise status_error(call, reply)

        # Before anything is awaited: unreadable answers stop the batch before the next call is sent.
        try:
            self._answer = decode(call, reply, self.job.request.endpoint.answer)
        except DecodeError:
            self._stopping.record_unreadable()
            raise

        self._stopping.record_success()

    async def _settle(self, before: JobRow, price: Decimal) -> None:
        """Settle the reservation and count the outcome toward the stop conditions."""
        budget, after = self._context.progress.budget, self.row
        is_unsent_resend = before.state is after.state is JobState.AMBIGUOUS and before.resends == after.resends
        if after.state is JobState.PENDING or is_unsent_resend:
            self._stopping.record_unsent(self._error)
            await budget.release(price)
        elif after.state is JobState.REJECTED:
            self._stopping.record_rejection()
            await budget.release(price)
        elif after.state is JobState.AMBIGUOUS:
            self._stopping.record_unknown()
            await budget.spend(price, in_doubt=True)
        else:
            await budget.spend(price)

    async def _download_images(self) -> None:
        """Download the images of the answer; if it cannot be read, the links in its bytes."""
        if self.row.state is JobState.ANSWERED:
            if self._answer is None and self._error is None:
                self._read_recorded_answer()

            self._images = self._images or list_images(self.row.key, self._answer, self.row.raw or b"")

        self._images = await self._context.downloads.download(self.row, self._images)

    def _read_recorded_answer(self) -> None:
        headers = json.loads(self.row.headers or "{}")
        reply = Reply(status=self.row.status or 200, headers=headers, raw=self.row.raw or b"", cut=self.row.error)
        try:
            self._answer = decode(encode(self.job.request), reply, self.job.request.endpoint.answer)
        except DecodeError as error:
            self._error = error

    async def _finish(self) -> None:
        """Record the job's state: done, partial, or still answered.

        A job that was done is answered again if an image was deleted and cannot be downloaded now.
        """
        workspace, states = self._context.workspace, [image.state for image in self._images]
        is_open = self._error is not None or ImageState.LINKED in states
        is_done = bool(states) and all(state is ImageState.STORED for state in states)
        after = JobState.ANSWERED if is_open else JobState.DONE if is_done else JobState.PARTIAL
        if self._context.options.sidecars and after is not self.row.state:
            await in_thread(partial(write_sidecars, workspace.folder, self.row, self._images))

        await workspace.journal.run(partial(queries.finish_job, row=self.row, images=self._images, after=after))
        self.row = evolve(self.row, state=after)

    def _emit_started(self) -> None:
        emit, row = self._context.transport.emit, self.row
        if emit.enabled:
            job_id = row.id or row.key
            emit(JobStarted(call_id=row.key, operation=row.operation, job_id=job_id, weight=row.weight))


def is_sendable(row: JobRow, options: BatchOptions) -> bool:
    """Return whether a job may be sent: pending, or ambiguous, not resent yet, and `retry_ambiguous` is set."""
    is_resend = row.state is JobState.AMBIGUOUS and options.retry_ambiguous and not row.resends
    return row.state is JobState.PENDING or is_resend


def is_finished(job: RegisteredJob, options: BatchOptions) -> bool:
    """Return whether a job needs no work in this run."""
    if job.problem is not None:
        return True

    is_linked = any(image.state is ImageState.LINKED for image in job.images)
    return job.row.state in FINISHED and not is_linked and not is_sendable(job.row, options)
