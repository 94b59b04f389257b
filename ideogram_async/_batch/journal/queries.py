"""The steps of a journal: plain functions of its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async.errors import JournalError


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


NO_ANSWER: dict[str, Any] = {"status": None, "raw": None, "headers": None, "error": None}

"""What is known of the answer while a job is on its way."""


def add(database: sqlite3.Connection, rows: Iterable[JobRow]) -> None:
    """Note jobs that are about to be sent some day."""
    database.executemany(
        f"INSERT INTO job ({JOB}, updated_at) VALUES ({', '.join('?' * 15)})",
        [(*values_of(row, JOB), _now()) for row in rows],
    )


def find(database: sqlite3.Connection, *, key: str | None = None, id: str | None = None) -> JobRow | None:
    """Look a job up by its key, or by the id that the user gave."""
    by, name = ("id", id) if key is None else ("key", key)
    row = database.execute(f"SELECT {JOB} FROM job WHERE {by} = ?", (name,)).fetchone()
    return read_job(row) if row else None


def jobs_in(database: sqlite3.Connection, *states: JobState) -> Iterator[JobRow]:
    """Go over the jobs in these states, in the order in which they came."""
    marks = ", ".join("?" * len(states))
    for row in database.execute(f"SELECT {JOB} FROM job WHERE state IN ({marks}) ORDER BY number", states):
        yield read_job(row)


def move(database: sqlite3.Connection, key: str, before: JobState, after: JobState, **facts: Any) -> None:
    """Take a job from one state to the next, and note what is known with it.

    Raises:
        JournalError: If it is not in that state: somebody else has moved it, and nothing may be built on it.
    """
    columns = {"state": after, "updated_at": _now(), **facts}
    assigned = ", ".join(f"{name} = ?" for name in columns)
    changed = f"UPDATE job SET {assigned} WHERE key = ? AND state = ?"
    if database.execute(changed, (*columns.values(), key, before)).rowcount != 1:
        raise JournalError(f"job {key} is not {before}, so it cannot become {after}")


def begin(database: sqlite3.Connection, key: str, before: JobState) -> None:
    """Note that a job is about to leave; counts it if it may have left before."""
    move(database, key, before, JobState.SENDING, **NO_ANSWER)
    if before is JobState.AMBIGUOUS:
        _count_resend(database, key, 1)


def settle(database: sqlite3.Connection, row: JobRow, after: JobState, *, may_have_run: bool, **facts: Any) -> JobRow:
    """Note what has come of an attempt, and return the job as it then is.

    An attempt that did not run was no resend. The job is told, and not read again: the place of the next call waits.

    Args:
        database: The journal.
        row: The job as it was before the attempt.
        after: Its state now.
        may_have_run: Whether the attempt may have cost money.
        **facts: What is known of the answer.
    """
    move(database, row.key, JobState.SENDING, after, **facts)
    is_resend = row.state is JobState.AMBIGUOUS
    if is_resend and not may_have_run:
        _count_resend(database, row.key, -1)

    resends = row.resends + (is_resend and may_have_run)
    return evolve(row, **NO_ANSWER | facts, state=after, resends=resends)


def _count_resend(database: sqlite3.Connection, key: str, by: int) -> None:
    database.execute("UPDATE job SET resends = resends + ? WHERE key = ?", (by, key))


def doubt_what_was_sending(database: sqlite3.Connection) -> None:
    """Note that what an earlier process was sending when it died may have run."""
    database.execute(
        "UPDATE job SET state = ?, updated_at = ? WHERE state = ?", (JobState.AMBIGUOUS, _now(), JobState.SENDING)
    )


def next_in(database: sqlite3.Connection, states: tuple[JobState, ...], after: int, size: int) -> list[JobRow]:
    """List the next jobs in these states, after that number."""
    marks = ", ".join("?" * len(states))
    found = database.execute(
        f"SELECT {JOB} FROM job WHERE state IN ({marks}) AND number > ? ORDER BY number LIMIT ?", (*states, after, size)
    )
    return [read_job(row) for row in found]


def page(database: sqlite3.Connection, after: int, size: int) -> list[Entry]:
    """List the next jobs after that number, with their images. An answer's bytes come only where they are a refusal."""
    brief = JOB.replace("raw", "CASE WHEN state IN (?, ?) THEN substr(raw, 1, 65536) END")
    told = (JobState.REJECTED, JobState.AMBIGUOUS)
    found = database.execute(
        f"SELECT {brief} FROM job WHERE number > ? ORDER BY number LIMIT ?", (*told, after, size)
    ).fetchall()
    entries = {job.key: Entry(job, []) for job in map(read_job, found)}
    for key in entries:
        entries[key].images.extend(images_of(database, key))

    return list(entries.values())


def sums(database: sqlite3.Connection) -> tuple[list[Sum], dict[ImageState, int]]:
    """Count jobs by state, price and resends, and images by state."""
    jobs = database.execute("SELECT state, usd, resends, count(*) FROM job GROUP BY 1, 2, 3 ORDER BY min(number)")
    images = database.execute("SELECT state, count(*) FROM image GROUP BY 1").fetchall()
    return (
        [Sum(JobState(state), None if usd is None else Decimal(usd), *rest) for state, usd, *rest in jobs],
        {ImageState(state): count for state, count in images},
    )


def link(database: sqlite3.Connection, rows: Iterable[ImageRow]) -> None:
    """Note the images of an answer."""
    database.executemany(
        f"INSERT OR IGNORE INTO image ({IMAGE}) VALUES ({', '.join('?' * 10)})", [values_of(row, IMAGE) for row in rows]
    )


def images_of(database: sqlite3.Connection, key: str) -> list[ImageRow]:
    """List a job's images."""
    rows = database.execute(f"SELECT {IMAGE} FROM image WHERE key = ? ORDER BY number", (key,))
    return [read_image(row) for row in rows]


def images_of_all(database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, list[ImageRow]]:
    """List the images of jobs."""
    found: dict[str, list[ImageRow]] = {key: [] for key in keys}
    marks = ", ".join("?" * len(keys))
    wanted = f"SELECT {IMAGE} FROM image WHERE key IN ({marks}) ORDER BY key, number"
    for row in database.execute(wanted, keys):
        found[row[0]].append(read_image(row))

    return found


def store(database: sqlite3.Connection, row: ImageRow, before: ImageState) -> None:
    """Note what has become of an image. One that is not known yet is added.

    Raises:
        JournalError: If it is known, and not in that state.
    """
    stored = database.execute(
        f"INSERT INTO image ({IMAGE}) VALUES ({', '.join('?' * 10)}) ON CONFLICT DO UPDATE SET"
        " state = excluded.state, path = excluded.path, sha256 = excluded.sha256, size = excluded.size"
        " WHERE state = ?",
        (*values_of(row, IMAGE), before),
    ).rowcount
    if stored != 1:
        raise JournalError(f"image {row.number} of job {row.key} is not {before}, so it cannot become {row.state}")


def keep(database: sqlite3.Connection, images: Iterable[ImageRow], row: ImageRow) -> None:
    """Note what has become of an image that was linked, and the others of its answer, unless they are known."""
    store(database, row, ImageState.LINKED)
    link(database, images)


def finish(
    database: sqlite3.Connection, row: JobRow, images: Iterable[ImageRow], last: ImageRow | None, after: JobState
) -> None:
    """Note what has become of a job, with that of the image which came last."""
    if last is not None:
        store(database, last, ImageState.LINKED)

    link(database, images)
    if after is not row.state:
        move(database, row.key, row.state, after)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
