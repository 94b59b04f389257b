"""Jobs and images as the journal's rows have them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from attrs import frozen

from ideogram_async.batch.job import ImageState, JobState

__all__ = ["IMAGE", "JOB", "Entry", "ImageRow", "JobRow", "Sum", "read_image", "read_job", "values_of"]


# Without slots: there may be very many, and a frozen value without them is made in two thirds of the time.
@frozen(slots=False)
class JobRow:
    """A job as the journal knows it."""

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


@frozen(slots=False)
class ImageRow:
    """An image as the journal knows it."""

    key: str
    number: int
    state: ImageState
    url: str | None = None
    seed: int | None = None
    prompt: str | None = None
    resolution: str | None = None
    path: str | None = None
    sha256: str | None = None
    size: int | None = None


@frozen
class Entry:
    """A job with its images."""

    job: JobRow
    images: list[ImageRow]


@frozen
class Sum:
    """How many jobs are alike in what counts for the bill."""

    state: JobState
    usd: Decimal | None
    resends: int
    jobs: int


# In the order of the fields.
JOB = "key, number, id, operation, request, fingerprint, weight, usd, state, status, raw, headers, error, resends"
IMAGE = "key, number, state, url, seed, prompt, resolution, path, sha256, size"


def values_of(row: JobRow | ImageRow, columns: str) -> tuple[Any, ...]:
    """Return a row's values as SQLite takes them."""
    values = (getattr(row, name) for name in columns.split(", "))
    return tuple(str(value) if isinstance(value, Decimal) else value for value in values)


def read_job(row: tuple[Any, ...]) -> JobRow:
    """Return a job, of the values of `JOB`."""
    key, number, name, operation, request, fingerprint, weight, usd, state, *rest = row
    cost = None if usd is None else Decimal(usd)
    return JobRow(key, number, name, operation, request, fingerprint, weight, cost, JobState(state), *rest)


def read_image(row: tuple[Any, ...]) -> ImageRow:
    """Return an image, of the values of `IMAGE`."""
    key, number, state, *rest = row
    return ImageRow(key, number, ImageState(state), *rest)
