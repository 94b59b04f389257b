"""Rows of the journal, and the checks of their values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeAlias, get_args

from attrs import frozen

from ideogram_async._accepted import Accepted
from ideogram_async._batch.job import ImageProblem, ImageState, JobState
from ideogram_async.errors import JournalError

Column: TypeAlias = str | bytes | int | None

# In the order of the fields below.
JOB = (
    "key, number, id, operation, request, fingerprint, weight, usd, state, status, raw, headers, error, resends,"
    " answered_at, carried, generation_id, poll, failures"
)
IMAGE = "key, number, state, url, seed, prompt, resolution, path, sha256, size, problem, tried_at, max_bytes, uri"

# Larger values in a journal are damage.
MAX_SENT_WEIGHT = 10_000
MAX_RESENDS = 1_000_000
MAX_USD = 10**15
MAX_NAME = 200
FILE_NAME = re.compile(rf"(?!\.\.?$)[^/\0]{{1,{MAX_NAME}}}")
POLL_PATH = re.compile(r"(/[\w.-]+)+/")
PROBLEMS = (None, *get_args(ImageProblem))


# Without slots: there may be very many rows, and a frozen class without slots is built in two thirds of the time.
@frozen(slots=False)
class JobRow:
    """A row of the table `job`."""

    key: str
    number: int
    id: str | None
    operation: str
    request: str
    fingerprint: str
    weight: int
    usd: Decimal | None
    state: JobState
    status: int | None = None
    raw: bytes | None = None
    headers: str | None = None
    error: str | None = None
    resends: int = 0
    answered_at: str | None = None
    """ISO 8601."""
    carried: str | None = None
    """The columns of the caller's own, as a JSON object of strings."""
    generation_id: str | None = None
    """The last generation that the service accepted."""
    poll: str | None = None
    """Path of the generation, without its id."""
    failures: int = 0
    """Generations of the request that have failed, which were not billed."""

    @property
    def doubts(self) -> int:
        """Return the number of attempts in doubt, without one whose outcome may still come."""
        return self.resends + (self.state is JobState.AMBIGUOUS)

    @property
    def accepted(self) -> Accepted | None:
        """Return the acceptance of the job, if its outcome is not known yet."""
        if self.state is not JobState.ACCEPTED or self.generation_id is None or self.poll is None:
            return None

        return Accepted(self.generation_id, weight=self.weight, poll=self.poll, raw=self.raw or b"{}")


@frozen(slots=False)
class ImageRow:
    """A row of the table `image`."""

    key: str
    number: int
    state: ImageState
    url: str | None = None
    seed: int | None = None
    prompt: str | None = None
    resolution: str | None = None
    path: str | None = None
    """The name in the folder, or in the sink."""
    sha256: str | None = None
    size: int | None = None
    problem: ImageProblem | None = None
    tried_at: str | None = None
    """The time of the last download, in ISO 8601."""
    max_bytes: int | None = None
    """The cap by which the image was too large."""
    uri: str | None = None
    """The URI of the image, if it is not in the folder."""


@frozen
class Entry:
    """A job with its images."""

    job: JobRow
    images: list[ImageRow]


@frozen
class JobGroup:
    """The number of jobs with the same state, price and resends."""

    state: JobState
    usd: Decimal | None
    resends: int
    jobs: int


def read_job(columns: Sequence[Column]) -> JobRow:
    """Return the row whose columns are those of `JOB`.

    Raises:
        JournalError: If a value is damaged.
    """
    key, number, job_id, operation, request, fingerprint, weight, usd, state, *rest = columns
    try:
        price, job_state = read_price(usd), JobState(str(state))
        row = JobRow(key, number, job_id, operation, request, fingerprint, weight, price, job_state, *rest)  # type: ignore[arg-type]  # STRICT tables
        _check_job(row)
    except (ArithmeticError, ValueError) as error:
        raise JournalError(f"job {key!r} of the journal is damaged: {error}") from None

    return row


def read_image(columns: Sequence[Column]) -> ImageRow:
    """Return the row whose columns are those of `IMAGE`.

    Raises:
        JournalError: If a value is damaged.
    """
    key, number, state, *rest = columns
    try:
        row = ImageRow(key, number, ImageState(state), *rest)  # type: ignore[arg-type]  # STRICT tables
        _check_image(row)
    except ValueError as error:
        raise JournalError(f"image {number!r} of job {key!r} of the journal is damaged: {error}") from None

    return row


def read_price(usd: Column) -> Decimal | None:
    """Return a price.

    Raises:
        ArithmeticError: If it is not a number.
        ValueError: If it is negative or too large.
    """
    if usd is None:
        return None

    price = Decimal(str(usd))
    if not 0 <= price <= MAX_USD:
        raise ValueError(f"{usd!r} is not a price")

    return price


def read_texts(row: JobRow, column: Literal["headers", "carried"]) -> dict[str, str]:
    """Return the headers of a job's reply, or its carried columns.

    Raises:
        JournalError: If they are damaged.
    """
    try:
        texts = json.loads(getattr(row, column) or "{}")
    except (RecursionError, ValueError):
        texts = None

    if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
        raise JournalError(f"job {row.key!r} of the journal is damaged: its column {column!r} cannot be read")

    return texts


def values_of(row: JobRow | ImageRow, columns: str) -> tuple[Column, ...]:
    """Return a row's values as SQLite stores them."""
    values = (getattr(row, name) for name in columns.split(", "))
    return tuple(str(value) if isinstance(value, Decimal) else value for value in values)


def timestamp() -> str:
    """Return the current time as the journal records it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check_job(row: JobRow) -> None:
    was_sent = row.state in (JobState.SENDING, JobState.ACCEPTED, JobState.AMBIGUOUS)
    if row.number < 0 or row.weight < 0 or (row.weight > MAX_SENT_WEIGHT and was_sent):
        raise ValueError(f"number {row.number}, weight {row.weight}")

    if not 0 <= row.resends <= MAX_RESENDS or row.failures < 0:
        raise ValueError(f"{row.resends} resends, {row.failures} failures")

    if row.state is JobState.ACCEPTED and not (row.generation_id and POLL_PATH.fullmatch(row.poll or "")):
        raise ValueError(f"accepted with id {row.generation_id!r} at {row.poll!r}")

    if row.status is not None and not 0 <= row.status <= 999:
        raise ValueError(f"{row.status} is not a status")

    _check_time(row.answered_at)


def _check_image(row: ImageRow) -> None:
    if min(row.number, row.size or 0, row.max_bytes or 0) < 0:
        raise ValueError(f"size {row.size}, cap {row.max_bytes}")

    # In a sink a name may have folders, and no local file has it.
    if row.path is not None and row.uri is None and not FILE_NAME.fullmatch(row.path):
        raise ValueError(f"{row.path[:MAX_NAME]!r} is outside the folder, or not a file name")

    if row.problem not in PROBLEMS:
        raise ValueError(f"{row.problem!r} is not a problem of a download")

    _check_time(row.tried_at)


def _check_time(text: str | None) -> None:
    if text is not None and datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
