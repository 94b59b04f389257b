"""One job of a batch, from registration to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TypeAlias

from attrs import evolve, frozen

from ideogram_async._accepted import Accepted
from ideogram_async._batch.accepting import announcing, submitting
from ideogram_async._batch.costs import BILLED
from ideogram_async._batch.dependencies import Dependencies, SourceLostError
from ideogram_async._batch.downloads import ImageDownloads, list_images, write_sidecars
from ideogram_async._batch.inputs import RecordedFile, recorded_files, verifying
from ideogram_async._batch.intake import Intake
from ideogram_async._batch.job import UNRECORDED, ImageState, JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import JobRow, read_texts
from ideogram_async._batch.options import BatchOptions
from ideogram_async._batch.progress import Progress
from ideogram_async._batch.record import MAX_FAILURES, JobRecord
from ideogram_async._batch.registration import RegisteredJob
from ideogram_async._batch.results import ResultReader
from ideogram_async._batch.stopping import BatchStoppedError, InFlight, StopPolicy, unless_stopped
from ideogram_async._batch.uncollected import CollectingLimiter, UncollectedImages
from ideogram_async._batch.workspace import Workspace
from ideogram_async._ledger.claims import quoted_usd
from ideogram_async._ledger.write_ahead import collected, recorded
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._pipeline.quotes import quote_call
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._transport.emitter import reporting, warn_if_empty
from ideogram_async._transport.polling import Poll
from ideogram_async._transport.tasks import in_thread, outlast
from ideogram_async._wire.acceptance import is_failure
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import decode, failure_of, links_in, status_error
from ideogram_async._wire.encode import encode
from ideogram_async.errors import (
    APIStatusError,
    BatchError,
    Billed,
    DecodeError,
    IdeogramError,
    InvalidRequestError,
    JournalError,
    NotSentError,
)
from ideogram_async.events import JobStarted
from ideogram_async.models.base import Reply
from ideogram_async.models.images import ImageAnswer

Layers: TypeAlias = Callable[[JobRecord, InFlight, Send, Poll], Send]
"""The layers of a call inside the limiter."""
FINISHED = (JobState.DONE, JobState.PARTIAL, JobState.REJECTED, JobState.AMBIGUOUS)


@frozen(kw_only=True)
class RunContext:
    """The components of a run that its jobs share."""

    transport: Transport
    workspace: Workspace
    intake: Intake
    dependencies: Dependencies
    downloads: ImageDownloads
    uncollected: UncollectedImages
    results: ResultReader
    progress: Progress
    stopping: StopPolicy
    sending: asyncio.Semaphore
    """Held by each job that is being sent or waits to be sent."""
    submissions: asyncio.Semaphore
    """Held by each submission in flight."""
    options: BatchOptions
    is_collecting: bool
    """Whether nothing is sent that costs money."""


class JobTask:
    """One job of a batch. Its creator holds `RunContext.sending` once for it; `run` releases it."""

    is_asked: asyncio.Event
    """Set once the service was asked for a job that was accepted in an earlier run, or the job has ended."""

    def __init__(self, job: RegisteredJob, context: RunContext) -> None:
        self.job = job
        self.row = job.row
        self.is_asked = asyncio.Event()
        self._images = [*job.images]
        self._answer: ImageAnswer | None = None
        self._is_new = False
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
                if self._error is None:
                    await self._send_or_resume()
            finally:
                self.is_asked.set()
                self._context.sending.release()

            if self.row.state in BILLED and self.row.key not in self._context.intake.unrecorded:
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
            from_journal=self.job.row.state is self.row.state not in (JobState.PENDING, JobState.ACCEPTED),
        )

    async def reload(self) -> None:
        """Read the job from the journal, after it was interrupted, however often the caller is cancelled.

        Raises:
            OSError: If the journal cannot be read.
            JournalError: If the journal is closed.
        """
        reading = self._context.intake.reload(self.job)
        # A cancellation is not raised: the caller ends once it has counted the job.
        await outlast(reading)
        # Until one is downloaded, the journal has no images.
        self.row, self._images = reading.result().row, [*reading.result().images] or self._images

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
        may_send = self._stopping.reason is None and not self._context.is_collecting
        return may_send and is_sendable(self.row, self._context.options)

    async def _send_or_resume(self) -> None:
        """Send the job, or wait for its generation if an earlier run has sent it."""
        failures = self.row.failures
        if (accepted := self.row.accepted) is not None:
            if self._stopping.reason is None:
                await self._resume(accepted)
        elif self._may_send():
            self._emit_started()
            await self._send()

        if self.row.failures > failures:
            await self._send_again()

        if self.row.state is JobState.AMBIGUOUS:
            await self._send_again()

    async def _resume(self, accepted: Accepted) -> None:
        """Wait for the generation of an earlier run, in its slots."""
        # It is in progress also if the limit has become smaller than its weight.
        limit = int(self._context.transport.config.limiter.statistics().limit)
        call = evolve(encode(self.job.request), weight=min(accepted.weight, limit))
        self._context.progress.budget.reserve_again(self.row.usd or Decimal(0))
        await self._perform(call, partial(self._resuming, accepted=accepted))

    async def _send_again(self) -> None:
        """Send the job once more, if it may be sent: after a failure, or as the one resend of `retry_ambiguous`."""
        if self._may_send():
            await self._stopping.sleep(self._context.transport.options.retry.backoff(1))
            await self._send()

    async def _send(self) -> None:
        """Reserve the price and send the call."""
        budget, self._error = self._context.progress.budget, None
        try:
            request, files = await self._prepare()
            submission = self._context.options.accept.submission(request.endpoint, self.row.key)
            if budget.cap is not None and self.row.usd is None and not await self._ask_for_price(request):
                return

            call = encode(request, private=self._context.transport.config.private, submission=submission)
        except SourceLostError as error:
            await self._reject(error)
            return
        except (InvalidRequestError, JournalError, NotSentError) as error:
            self._error = error
            return

        price = self.row.usd or Decimal(0)
        if not await budget.reserve(price):
            self._stopping.stop(budget.exhausted(price))
            return

        layers = partial(self._sending, files=files, is_submission=submission is not None)
        await self._perform(call, layers)

    async def _perform(self, call: Call, layers: Layers) -> None:
        """Run a call whose price is reserved, and settle the reservation."""
        before, record = self.row, JobRecord(self._context.workspace.journal, self.row)
        try:
            call.state.in_doubt = self.row.state is JobState.AMBIGUOUS
            async with self._stopping.interruptible() as in_flight:
                reply = await self._build_stack(partial(layers, record, in_flight))(call)

            self._read(call, reply)
        except IdeogramError as error:
            self._error = None if isinstance(error, BatchStoppedError | BatchError) else error
            if record.failure is not None:
                # The retry layer may have replaced it by the unknown outcome of an earlier attempt.
                raise record.failure from None

        finally:  # also when cancelled: the record has whether the call may have been billed
            self.row = record.row
            if record.is_unrecorded:
                self._keep_unrecorded(record.failure, is_accepted=record.is_accepted)

            await self._settle(before)

    async def _prepare(self) -> tuple[Request[object], list[RecordedFile]]:
        """Return the request with the images of earlier jobs, and all files that it sends.

        Raises:
            SourceLostError: If an image of an earlier job will never be stored.
            NotSentError: If an image of an earlier job is not stored yet.
            InvalidRequestError: If the job cannot be sent.
        """
        request, files = self.job.request, list[RecordedFile]()
        await self._context.downloads.check_names(self.row, request)
        if has_files(request):
            files = recorded_files(request, self.row.request)
            request, images = await self._context.dependencies.resolve(request, self.row.number)
            files += images
            await self._context.intake.check(request)

        return request, files

    async def _ask_for_price(self, request: Request[object]) -> bool:
        """Ask the service for the price of the job, and record it. Return whether it is known.

        Raises:
            InvalidRequestError: If the operation has no quotes.
        """
        transport = self._context.transport
        call = quote_call(encode(request, private=transport.config.private))
        try:
            async with self._stopping.interruptible():
                usd = await quoted_usd(request, partial(transport.ask, call), "job")
        except InvalidRequestError:
            raise
        except BatchStoppedError:
            return False
        except IdeogramError as error:
            await self._record_failed_quote(error)
            return False

        self.row = await self._context.workspace.journal.run(partial(queries.price_job, row=self.row, usd=usd))
        # Attempts in doubt have counted as zero so far.
        self._context.progress.budget.add_in_doubt(usd * self.row.doubts)
        return True

    async def _record_failed_quote(self, error: IdeogramError) -> None:
        """Count a quote that failed. If the service ran the call instead, the job may have been billed."""
        self._error = error
        if error.billed is Billed.NO:
            self._stopping.record_unsent(error)
            if isinstance(error, APIStatusError) and self._stopping.reason is None:
                self._stopping.record_rejection()

            return

        self._stopping.stop(str(error))
        record = JobRecord(self._context.workspace.journal, self.row)
        await record.begin()
        await record.fail(error, may_have_run=True)
        self.row = record.row

    async def _reject(self, error: SourceLostError) -> None:
        """Record that an image of an earlier job will never be stored. A job that may have run stays as it is."""
        if self.row.state is JobState.PENDING:
            [(field, problem)] = error.problems
            reject = partial(queries.reject_job, row=self.row, error=f"{field}: {problem}")
            self.row = await self._context.workspace.journal.run(reject)

        self._error = InvalidRequestError(error.problems, subject="job")

    def _build_stack(self, wrap: Callable[[Send, Poll], Send]) -> Send:
        transport = self._context.transport
        # A resend is decided by the batch, which reserves money for it, and not by the retry layer.
        retry = evolve(transport.options.retry, ambiguous=False)
        limiter = CollectingLimiter(transport.config.limiter, self._context.uncollected)
        return reporting(transport.build_stack(retry, wrap=wrap, limiter=limiter), transport.emit)

    def _sending(
        self,
        record: JobRecord,
        in_flight: InFlight,
        send: Send,
        poll: Poll,
        *,
        files: list[RecordedFile],
        is_submission: bool,
    ) -> Send:
        """Return the layers that send the call."""

        def record_attempts(poll: Poll) -> Send:
            return unless_stopped(recorded(send, record, poll), in_flight)

        poll = self._stopping.polling(poll)
        submissions = self._context.submissions
        layer = submitting(record_attempts, poll, submissions) if is_submission else record_attempts(poll)
        return verifying(layer, files)

    def _resuming(self, record: JobRecord, in_flight: InFlight, _: Send, __: Poll, *, accepted: Accepted) -> Send:
        """Return the layers that only wait for an accepted generation."""
        poller = self._context.transport.poll
        poll = self._stopping.polling(evolve(poller, send=announcing(poller.send, self.is_asked)))
        return unless_stopped(collected(accepted, record, poll), in_flight)

    def _read(self, call: Call, reply: Reply) -> None:
        """Decode the reply of a call, whose outcome is on record."""
        if not reply.is_success:
            raise status_error(call, reply)

        if is_failure(reply.raw):
            raise failure_of(reply)

        # Before anything is awaited: the answer may be a reason not to send the next call.
        try:
            self._answer = decode(call, reply, self.job.request.endpoint.answer)
            self._stopping.record_success()
        except DecodeError:
            self._stopping.record_unreadable()
            raise
        finally:
            self._is_new = True
            self._images = list_images(self.row.key, self._answer, reply.raw)
            self._context.uncollected.record_answered(sum(image.url is not None for image in self._images))

        warn_if_empty(call, self._answer)

    def _keep_unrecorded(self, failure: BaseException | None, *, is_accepted: bool) -> None:
        """Keep an outcome that is not on record for the result of this run, and stop the batch."""
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        job = self.row.id or self.row.key
        next_run = "asks for again" if is_accepted else "lists as ambiguous"
        self._stopping.stop(f"{reason}: {UNRECORDED} for job {job!r}, which the next run {next_run}")
        if self.row.state is JobState.ANSWERED:
            raw = self.row.raw or b""
            self._read_recorded_answer()
            self._images = list_images(self.row.key, self._answer, raw)
            self._error = self._error or DecodeError(f"{UNRECORDED}: {reason}", raw=raw, links=links_in(raw))

        self._context.intake.unrecorded[self.row.key] = evolve(self.job, row=self.row, images=self._images)

    async def _settle(self, before: JobRow) -> None:
        """Settle the reservation and count the outcome toward the stop conditions."""
        budget, after, price = self._context.progress.budget, self.row, self.row.usd or Decimal(0)
        is_unsent_resend = after.state is JobState.AMBIGUOUS and before.doubts == after.doubts
        if after.state is JobState.PENDING or is_unsent_resend:
            self._stopping.record_unsent(self._error)
            await budget.release(price)
        elif after.state is JobState.REJECTED:
            self._stopping.record_rejection()
            await budget.release(price)
        elif after.state is JobState.AMBIGUOUS:
            self._stopping.record_unknown()
            await budget.spend(price, in_doubt=True)
        elif after.state is JobState.ACCEPTED:
            if self._error is not None and self._stopping.reason is None:
                self._stopping.record_unknown()

            self._stopping.record_unsent(self._error)
            await budget.spend(price, in_doubt=True)
        else:
            await budget.spend(price)

    async def _download_images(self) -> None:
        """Download the images of the answer; if it cannot be read, the links in its bytes."""
        if self.row.state is JobState.ANSWERED:
            if self._answer is None and self._error is None:
                self._read_recorded_answer()

            self._images = self._images or list_images(self.row.key, self._answer, self.row.raw or b"")

        self._images = await self._context.downloads.download(self.row, self._images, is_new=self._is_new)

    def _read_recorded_answer(self) -> None:
        headers = read_texts(self.row, "headers")
        reply = Reply(status=self.row.status or 200, headers=headers, raw=self.row.raw or b"", cut=self.row.error)
        if not reply.is_success:
            raise JournalError(f"job {self.row.key!r} of the journal is damaged: {reply.status} is not an answer")

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
            await in_thread(partial(write_sidecars, workspace.held, self.row, self._images))

        await workspace.journal.run(partial(queries.finish_job, row=self.row, images=self._images, after=after))
        self.row = evolve(self.row, state=after)

    def _emit_started(self) -> None:
        emit, row = self._context.transport.emit, self.row
        if emit.enabled:
            job_id = row.id or row.key
            emit(JobStarted(call_id=row.key, operation=row.operation, job_id=job_id, weight=row.weight))


def is_sendable(row: JobRow, options: BatchOptions) -> bool:
    """Return whether a job may be sent: pending, or ambiguous, not resent yet, and `retry_ambiguous` is set."""
    if row.state is JobState.AMBIGUOUS:
        return options.retry_ambiguous and not row.resends and row.failures < MAX_FAILURES

    return row.state is JobState.PENDING


def is_finished(job: RegisteredJob, options: BatchOptions) -> bool:
    """Return whether a job needs no work in this run."""
    if job.problem is not None:
        return True

    is_linked = any(image.state is ImageState.LINKED for image in job.images)
    return job.row.state in FINISHED and not is_linked and not is_sendable(job.row, options)
