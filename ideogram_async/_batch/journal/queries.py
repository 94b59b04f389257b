"""Rows of the journal, and the queries that read and change them: plain functions of the connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

from attrs import asdict, evolve, frozen
from attrs.filters import exclude

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async.errors import JournalError

Column: TypeAlias = str | bytes | int | None

# In the order of the fields below.
JOB = "key, number, id, operation, request, fingerprint, weight, usd, state, status, raw, headers, error, resends"
IMAGE = "key, number, state, url, seed, prompt, resolution, path, sha256, size"
MAX_REFUSAL_BYTES = 65536


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
    sha256: str | None = None
    size: int | None = None


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


@frozen(kw_only=True)
class AttemptOutcome:
    """The outcome of one attempt to send a job."""

    state: JobState
    may_have_run: bool
    """Whether the attempt may have been billed."""
    status: int | None = None
    raw: bytes | None = None
    headers: str | None = None
    error: str | None = None
    """The reason for an unusable reply, or for none."""


def read_job(columns: Sequence[Column]) -> JobRow:
    """Return the row whose columns are those of `JOB`."""
    key, number, job_id, operation, request, fingerprint, weight, usd, state, *rest = columns
    price = None if usd is None else Decimal(str(usd))
    return JobRow(key, number, job_id, operation, request, fingerprint, weight, price, JobState(state), *rest)  # type: ignore[arg-type]  # STRICT tables


def read_image(columns: Sequence[Column]) -> ImageRow:
    """Return the row whose columns are those of `IMAGE`."""
    key, number, state, *rest = columns
    return ImageRow(key, number, ImageState(state), *rest)  # type: ignore[arg-type]  # STRICT tables


def values_of(row: JobRow | ImageRow, columns: str) -> tuple[Column, ...]:
    """Return a row's values as SQLite stores them."""
    values = (getattr(row, name) for name in columns.split(", "))
    return tuple(str(value) if isinstance(value, Decimal) else value for value in values)


def insert_jobs(database: sqlite3.Connection, rows: Iterable[JobRow]) -> None:
    """Insert jobs that are not in the journal yet."""
    database.executemany(
        f"INSERT INTO job ({JOB}, updated_at) VALUES ({', '.join('?' * 15)})",
        [(*values_of(row, JOB), _now()) for row in rows],
    )


def find_job(database: sqlite3.Connection, *, key: str | None = None, id: str | None = None) -> JobRow | None:
    """Return the job with that key, or with that id of the user."""
    column, value = ("id", id) if key is None else ("key", key)
    columns = database.execute(f"SELECT {JOB} FROM job WHERE {column} = ?", (value,)).fetchone()
    return read_job(columns) if columns else None


def find_jobs(database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, JobRow]:
    """Return the jobs with these keys, by key. Unknown keys are left out."""
    marks = ", ".join("?" * len(keys))
    rows = map(read_job, database.execute(f"SELECT {JOB} FROM job WHERE key IN ({marks})", keys))
    return {row.key: row for row in rows}


def jobs_after(
    database: sqlite3.Connection, states: tuple[JobState, ...], number: int, limit: int = -1
) -> list[JobRow]:
    """Return the next jobs in these states with a larger number, at most `limit`."""
    marks = ", ".join("?" * len(states))
    query = f"SELECT {JOB} FROM job WHERE state IN ({marks}) AND number > ? ORDER BY number LIMIT ?"
    return [read_job(columns) for columns in database.execute(query, (*states, number, limit))]


def entries_after(database: sqlite3.Connection, number: int, limit: int) -> list[Entry]:
    """Return the next jobs with a larger number, with their images. `raw` is the start of a refusal."""
    columns = JOB.replace("raw", f"CASE WHEN state IN (?, ?) THEN substr(raw, 1, {MAX_REFUSAL_BYTES}) END")
    query = f"SELECT {columns} FROM job WHERE number > ? ORDER BY number LIMIT ?"
    jobs = [*map(read_job, database.execute(query, (JobState.REJECTED, JobState.AMBIGUOUS, number, limit)))]
    images = images_by_job(database, [job.key for job in jobs])
    return [Entry(job, images[job.key]) for job in jobs]


def totals(database: sqlite3.Connection) -> tuple[list[JobGroup], dict[ImageState, int]]:
    """Count jobs by state, price and resends, and images by state."""
    jobs = database.execute("SELECT state, usd, resends, count(*) FROM job GROUP BY 1, 2, 3 ORDER BY min(number)")
    images = database.execute("SELECT state, count(*) FROM image GROUP BY 1")
    return (
        [JobGroup(JobState(state), None if usd is None else Decimal(usd), *rest) for state, usd, *rest in jobs],
        {ImageState(state): count for state, count in images},
    )


def change_state(database: sqlite3.Connection, key: str, before: JobState, after: JobState, **columns: Column) -> None:
    """Change a job's state, and other columns with it.

    Raises:
        JournalError: If the job is not in the state `before`: another writer changed it.
    """
    changes: dict[str, Column] = {"state": after, "updated_at": _now(), **columns}
    assignments = ", ".join(f"{name} = ?" for name in changes)
    statement = f"UPDATE job SET {assignments} WHERE key = ? AND state = ?"
    if database.execute(statement, (*changes.values(), key, before)).rowcount != 1:
        raise JournalError(f"job {key} is not {before}, so it cannot become {after}")


def begin_attempt(database: sqlite3.Connection, row: JobRow) -> None:
    """Record that a job is about to be sent. A job whose outcome is unknown counts as resent."""
    is_resend = row.state is JobState.AMBIGUOUS
    reply: dict[str, Column] = {"status": None, "raw": None, "headers": None, "error": None}
    change_state(database, row.key, row.state, JobState.SENDING, resends=row.resends + is_resend, **reply)


def finish_attempt(database: sqlite3.Connection, row: JobRow, outcome: AttemptOutcome) -> JobRow:
    """Record the outcome of an attempt and return the new row. An attempt that did not run does not count as a resend.

    Args:
        database: The journal.
        row: The job as it was before the attempt.
        outcome: The outcome to record.
    """
    is_resend = row.state is JobState.AMBIGUOUS and outcome.may_have_run
    columns = asdict(outcome, filter=exclude("may_have_run"))
    finished = evolve(row, **columns, resends=row.resends + is_resend)
    change_state(database, row.key, JobState.SENDING, after=columns.pop("state"), **columns, resends=finished.resends)
    return finished


def mark_sending_ambiguous(database: sqlite3.Connection) -> None:
    """Mark the jobs that an earlier process was sending when it ended."""
    database.execute(
        "UPDATE job SET state = ?, updated_at = ? WHERE state = ?", (JobState.AMBIGUOUS, _now(), JobState.SENDING)
    )


def images_of(database: sqlite3.Connection, key: str) -> list[ImageRow]:
    """Return the images of a job."""
    return images_by_job(database, [key])[key]


def images_by_job(database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, list[ImageRow]]:
    """Return the images of jobs, by the job's key."""
    images: dict[str, list[ImageRow]] = {key: [] for key in keys}
    marks = ", ".join("?" * len(keys))
    query = f"SELECT {IMAGE} FROM image WHERE key IN ({marks}) ORDER BY key, number"
    for columns in database.execute(query, keys):
        images[columns[0]].append(read_image(columns))

    return images


def insert_images(database: sqlite3.Connection, rows: Iterable[ImageRow]) -> None:
    """Insert the images of an answer, except those that are known."""
    database.executemany(
        f"INSERT OR IGNORE INTO image ({IMAGE}) VALUES ({', '.join('?' * 10)})", [values_of(row, IMAGE) for row in rows]
    )


def change_image(database: sqlite3.Connection, row: ImageRow, before: ImageState) -> None:
    """Change an image's state and file.

    Raises:
        JournalError: If the image is not in the state `before`.
    """
    changed = database.execute(
        "UPDATE image SET state = ?, path = ?, sha256 = ?, size = ? WHERE key = ? AND number = ? AND state = ?",
        (row.state, row.path, row.sha256, row.size, row.key, row.number, before),
    ).rowcount
    if changed != 1:
        raise JournalError(f"image {row.number} of job {row.key} is not {before}, so it cannot become {row.state}")


def finish_download(database: sqlite3.Connection, images: Iterable[ImageRow], row: ImageRow) -> None:
    """Record the outcome of an image's download and insert the other images of its answer if they are new."""
    insert_images(database, images)
    change_image(database, row, ImageState.LINKED)


def finish_job(database: sqlite3.Connection, row: JobRow, images: Iterable[ImageRow], after: JobState) -> None:
    """Record the images of an answer, and the resulting state of the job."""
    insert_images(database, images)
    if after is not row.state:
        change_state(database, row.key, row.state, after)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
