"""Builder and queue of `JobResult` values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from ideogram_async._batch.costs import cost_of
from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.job import JobResult, JobState, StoredImage
from ideogram_async._batch.journal.rows import Entry, ImageRow, JobRow, read_texts
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._ledger.serialization import deserialize
from ideogram_async._operations import Request
from ideogram_async.errors import AmbiguousError, DecodeError, IdeogramError, InvalidRequestError, Phase, WaitTimeout

GIVEN_UP = "given up, although it may have run"
NO_ANSWER = "no reply is on record: the process ended during the call, or the reply could not be recorded"


class ResultReader:
    """Builds results from the rows of a folder's journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inputs = InputStore(folder / HIDDEN / "inputs")

    def read(self, entry: Entry) -> JobResult:
        """Return a job of an earlier run as a result.

        Raises:
            JournalError: If its request cannot be read.
        """
        request = deserialize(entry.job.request, self._inputs, entry.job.key)
        return self.make_result(entry.job, entry.images, request, index=entry.job.number, from_journal=True)

    def make_result(
        self,
        row: JobRow,
        images: Iterable[ImageRow],
        request: Request[object],
        *,
        index: int,
        answer: Any = None,
        error: IdeogramError | None = None,
        from_journal: bool,
    ) -> JobResult:
        """Return the result of a job in its current state. The error defaults to the one in the journal."""
        is_invalid = isinstance(error, InvalidRequestError) and row.state is JobState.PENDING
        return JobResult(
            id=row.id or row.key,
            key=row.key,
            index=index,
            request=request,
            state=JobState.REJECTED if is_invalid else row.state,
            images=tuple(map(self._stored_image, images)),
            answer=answer,
            error=error or _recorded_error(row, request),
            cost_usd=cost_of(row.state, row.usd, row.resends),
            from_journal=from_journal,
            carried=read_texts(row, "carried"),
        )

    def _stored_image(self, image: ImageRow) -> StoredImage:
        is_local = image.path is not None and image.uri is None
        path = self._folder / (image.path or "") if is_local else None
        return StoredImage(
            path=path,
            uri=image.uri if path is None else path.absolute().as_uri(),
            state=image.state,
            url=image.url,
            seed=image.seed,
            prompt=image.prompt,
            resolution=image.resolution,
            sha256=image.sha256,
            size=image.size,
            _name=None if image.uri is None else image.path,
            problem=image.problem,
            tried_at=None if image.tried_at is None else datetime.fromisoformat(image.tried_at),
        )


class ResultQueue:
    """Holds results until the caller takes them, in completion or in input order.

    Args:
        unconsumed: Acquired once per job, and released when its result is taken. It bounds the queue.
        is_ordered: Whether a result waits for those of earlier jobs.
    """

    def __init__(self, unconsumed: asyncio.Semaphore, *, is_ordered: bool) -> None:
        self._unconsumed = unconsumed
        self._is_ordered = is_ordered
        self._ready: asyncio.Queue[JobResult | None] = asyncio.Queue()
        self._held: dict[int, JobResult | None] = {}
        self._next_index = 0
        self._is_discarding = False

    async def get(self) -> JobResult | None:
        """Return the next result, or `None` once the batch is over."""
        result = await self._ready.get()
        if result is None:
            self._ready.put_nowait(None)
        else:
            self._unconsumed.release()

        return result

    def put(self, index: int, result: JobResult | None) -> None:
        """Add the result of a job; `None` for a job that is left for a later run."""
        if not self._is_ordered:
            self._deliver(result)
            return

        self._held[index] = result
        while self._next_index in self._held:
            self._deliver(self._held.pop(self._next_index))
            self._next_index += 1

    def end(self) -> None:
        """Mark the end: nothing more is added."""
        self._ready.put_nowait(None)

    def discard(self) -> None:
        """Discard results that are never taken. The journal has them."""
        self._is_discarding = True
        while not self._ready.empty():
            if self._ready.get_nowait() is not None:
                self._unconsumed.release()

    def _deliver(self, result: JobResult | None) -> None:
        if result is None or self._is_discarding:
            self._unconsumed.release()
        else:
            self._ready.put_nowait(result)


def _recorded_error(row: JobRow, request: Request[object]) -> IdeogramError | None:
    if row.state in (JobState.REJECTED, JobState.AMBIGUOUS) and row.status is not None and row.status >= 300:
        return _refusal(row, request)

    if (accepted := row.accepted) is not None:
        return WaitTimeout(f"the generation {accepted} has not ended yet", ticket=accepted, status=None)

    if row.state is JobState.AMBIGUOUS:
        return AmbiguousError(row.error or NO_ANSWER, phase=Phase.SENT)

    if row.state is JobState.REJECTED and row.status is not None:
        return _failure(row)

    if row.state is JobState.REJECTED:
        # No reply, also if an earlier one had failed: an image that it needs will never be stored.
        field, _, problem = (row.error or "").partition(": ")
        return InvalidRequestError([(field, problem)], subject="job")

    if row.error is None or row.state is JobState.DONE:
        return None

    if row.error.startswith(GIVEN_UP):
        return AmbiguousError(row.error, phase=Phase.SENT)

    # A billed answer that was cut. Its links are those of the images.
    is_answer = row.state in (JobState.ANSWERED, JobState.PARTIAL)
    return (
        DecodeError(f"truncated response: {row.error}", raw=row.raw or b"") if is_answer else IdeogramError(row.error)
    )


def _failure(row: JobRow) -> IdeogramError:
    # Imported here, like the rest of decoding.
    from ideogram_async._wire.decode import failure_of
    from ideogram_async.models.base import Reply

    return failure_of(Reply(status=row.status or 0, raw=row.raw or b""))


def _refusal(row: JobRow, request: Request[object]) -> IdeogramError:
    # Imported here: decoding is expensive to load, and few jobs need it.
    from ideogram_async._wire.decode import status_error
    from ideogram_async._wire.encode import encode
    from ideogram_async.models.base import Reply

    headers = read_texts(row, "headers")
    is_ambiguous = row.state is JobState.AMBIGUOUS
    reply = Reply(status=row.status or 0, headers=headers, raw=row.raw or b"", in_doubt=is_ambiguous)
    return status_error(encode(request), reply)
