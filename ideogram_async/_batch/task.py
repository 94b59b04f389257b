"""Takes one job through its states: reserved, sent on record, answered, collected."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from functools import partial
from typing import Any

import attrs

from ideogram_async._batch.costs import Budget
from ideogram_async._batch.dependencies import Chain
from ideogram_async._batch.downloads import Collector, images_in, write_sidecars
from ideogram_async._batch.intake import Feed, Noted
from ideogram_async._batch.job import ImageState, JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import ImageRow, JobRow
from ideogram_async._batch.results import Results
from ideogram_async._batch.stopping import BatchStoppedError, Halt
from ideogram_async._batch.workspace import Office
from ideogram_async._batch.write_ahead import Record, journaled
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.decode import decode, status_error
from ideogram_async._wire.encode import encode
from ideogram_async.errors import BatchError, DecodeError, IdeogramError, InvalidRequestError
from ideogram_async.events import JobStarted
from ideogram_async.models.base import Reply

PAID = (JobState.ANSWERED, JobState.DONE, JobState.PARTIAL)

SETTLED = (JobState.DONE, JobState.PARTIAL, JobState.REJECTED, JobState.AMBIGUOUS)


class Worker:
    """Does jobs, any number of them at a time."""

    def __init__(
        self,
        transport: Transport,
        office: Office,
        collector: Collector,
        budget: Budget,
        halt: Halt,
        chain: Chain,
        feed: Feed,
        *,
        retry_ambiguous: bool,
        sidecars: bool,
    ) -> None:
        self._transport = transport
        self._office = office
        self._journal = office.journal
        self._collector = collector
        self._budget = budget
        self._halt = halt
        self._chain = chain
        self._feed = feed
        self._results = Results(office.folder)
        self._retry_ambiguous = retry_ambiguous
        self._sidecars = sidecars
        # A second purchase is decided here, with its money, and not by the layer that tries again.
        self._retry = attrs.evolve(transport.options.retry, ambiguous=False)

    async def ask(self, noted: Noted) -> tuple[JobRow, IdeogramError | None]:
        """Send it, if it may be sent and there is money for it. Returns it as it then is, and what went wrong."""
        row, error = noted.row, noted.problem
        if error is not None or not self._may_be_sent(row):
            return row, error

        if self._transport.emit.enabled:
            job_id = row.id or row.key
            self._transport.emit(JobStarted(call_id=row.key, operation=row.operation, job_id=job_id, weight=row.weight))

        try:
            request = await self._make_ready(noted)
        except InvalidRequestError as problem:
            return row, problem

        bought, failure = await self._buy(row, request)
        if bought.state is not JobState.AMBIGUOUS or not self._may_be_sent(bought):
            return bought, failure

        # The second purchase that was asked for: it needs money of its own.
        await asyncio.sleep(self._transport.options.retry.backoff(1))
        return await self._buy(bought, request)

    async def collect(self, noted: Noted, row: JobRow, error: IdeogramError | None) -> JobResult | None:
        """Collect the images of an answer, and make the result; `None` for a job that waits for another run."""
        if row.state is JobState.PENDING and error is None:
            return None

        answer, images = None, [*noted.images]
        if row.state in PAID:
            # Whoever has got its places now is sent first.
            await asyncio.sleep(0)
            if row.state is JobState.ANSWERED:
                answer, error = self._read(noted, row)
                images = images or images_in(row.key, answer, row.raw or b"")

            images, last = await self._collector.collect(row, images)
            row = await self._finish(row, images, last, is_readable=error is None)

        return self._results.make(noted, row, images, answer, error)

    def told(self, noted: Noted) -> JobResult | None:
        """Return the result of a job for which nothing is left to do; `None` for any other."""
        row, images = noted.row, noted.images
        is_settled = row.state in SETTLED and all(image.state is not ImageState.LINKED for image in images)
        if noted.problem is None and (not is_settled or self._is_second(row)):
            return None

        return self.left(noted)

    def left(self, noted: Noted) -> JobResult:
        """Return the result of a job as the journal has it."""
        return self._results.make(noted, noted.row, noted.images, None, noted.problem)

    def _may_be_sent(self, row: JobRow) -> bool:
        if self._halt.reason is not None:
            return False

        return row.state is JobState.PENDING or self._is_second(row)

    def _is_second(self, row: JobRow) -> bool:
        return row.state is JobState.AMBIGUOUS and self._retry_ambiguous and not row.resends

    async def _make_ready(self, noted: Noted) -> Request[Any]:
        """Find the images of earlier jobs, and look once more at what lies on disk: this job alone is refused."""
        if not has_files(noted.request):
            return noted.request

        request = await self._chain.resolve(noted.request)
        await in_thread(partial(self._office.inputs.check_all, noted.row.request))
        await self._feed.check(request)
        return request

    async def _buy(self, row: JobRow, request: Request[Any]) -> tuple[JobRow, IdeogramError | None]:
        if self._budget.cap is not None and row.usd is None:
            return row, InvalidRequestError([("price", "is not known, and the batch has a cap")], subject="job")

        usd = row.usd or Decimal(0)
        if not await self._budget.reserve(usd):
            self._halt.stop(f"the cap of {self._budget.cap} USD is reached")
            return row, None

        return await self._send(row, request, usd)

    async def _send(self, known: JobRow, request: Request[Any], usd: Decimal) -> tuple[JobRow, IdeogramError | None]:
        call = encode(request)
        call.state.in_doubt = known.state is JobState.AMBIGUOUS
        record = Record(self._journal, known)
        row = known
        error: IdeogramError | None = None
        try:
            async with self._halt.waiting() as scope:
                reply = await self._transport.build_stack(self._retry, wrap=self._on_record(record, scope))(call)

            error = None if reply.is_success else status_error(call, reply)
            await record.settled()
        except BatchStoppedError:
            pass
        except BatchError:
            raise
        except IdeogramError as failure:
            error = failure
        except OSError as failure:
            self._halt.stop(f"{failure.strerror or failure}: {self._office.folder}")
        finally:
            # Also when the batch is cancelled: the journal tells what this call may have cost.
            row = await record.row()
            await self._book(known, row, usd, error)

        return row, error

    def _on_record(self, record: Record, scope: asyncio.Timeout) -> Any:
        return lambda send: journaled(send, record, self._halt, scope)

    async def _book(self, before: JobRow, row: JobRow, usd: Decimal, error: IdeogramError | None) -> None:
        is_refused_resend = before.state is row.state is JobState.AMBIGUOUS and before.resends == row.resends
        if row.state is JobState.PENDING or is_refused_resend:
            self._halt.note_unsent(error)
            await self._budget.release(usd)
        elif row.state is JobState.REJECTED:
            self._halt.note_rejection(error)
            await self._budget.release(usd)
        else:
            is_in_doubt = row.state is JobState.AMBIGUOUS
            if is_in_doubt:
                self._halt.note_doubt()

            await self._budget.spend(usd, in_doubt=is_in_doubt)

    def _read(self, noted: Noted, row: JobRow) -> tuple[Any, IdeogramError | None]:
        headers = json.loads(row.headers or "{}")
        reply = Reply(status=row.status or 200, headers=headers, raw=row.raw or b"", cut=row.error)
        is_new = noted.row.state is not JobState.ANSWERED
        try:
            answer = decode(encode(noted.request), reply, noted.request.endpoint.answer)
        except DecodeError as error:
            if is_new:
                self._halt.note_unreadable()

            return None, error

        if is_new:
            self._halt.note_success()

        return answer, None

    async def _finish(self, row: JobRow, images: list[ImageRow], last: ImageRow | None, *, is_readable: bool) -> JobRow:
        """Settle a job none of whose images can change any more. One that cannot be read stays open.

        One that was done is open again if somebody has deleted an image which cannot be had now.
        """
        is_open = not is_readable or any(image.state is ImageState.LINKED for image in images)
        is_whole = bool(images) and all(image.state is ImageState.STORED for image in images)
        after = JobState.ANSWERED if is_open else JobState.DONE if is_whole else JobState.PARTIAL
        if self._sidecars and after is not row.state:
            if last is not None:
                # A sidecar that cannot be written must not hide an image that stands there.
                await self._journal.run(partial(queries.keep, images=images, row=last))
                last = None

            await in_thread(partial(write_sidecars, self._office.folder, row, images))

        await self._journal.run(partial(queries.finish, row=row, images=images, last=last, after=after))
        return attrs.evolve(row, state=after)
