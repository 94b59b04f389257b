"""The steps of a journal: plain functions of its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from ideogram_async.batch.job import ImageState, JobState
from ideogram_async.errors.batch import JournalError

__all__ = [
    "Entry",
    "ImageRow",
    "JobRow",
    "Sum",
    "add",
    "begin",
    "find",
    "find_or_add",
    "images_of",
    "jobs_in",
    "link",
    "move",
    "next_in",
    "page",
    "settle",
    "store",
    "sums",
]


@frozen(kw_only=True)
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


@frozen(kw_only=True)
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


JOB = "key, number, id, operation, request, fingerprint, weight, usd, state, status, raw, headers, error, resends"
IMAGE = "key, number, state, url, seed, prompt, resolution, path, sha256, size"


def add(database: sqlite3.Connection, rows: Iterable[JobRow]) -> None:
    """Note jobs that are about to be sent some day."""
    database.executemany(
        f"INSERT INTO job ({JOB}, updated_at) VALUES ({', '.join('?' * 15)})",
        [(*_values(row, JOB), _now()) for row in rows],
    )


def find_or_add(database: sqlite3.Connection, row: JobRow) -> JobRow:
    """Return the job of that key as it is known, or add it. What was never sent costs what it costs today."""
    known = find(database, key=row.key)
    if known is not None and known.state is JobState.PENDING and known.usd != row.usd:
        database.execute("UPDATE job SET usd = ? WHERE key = ?", (_values(row, "usd")[0], row.key))
        return evolve(known, usd=row.usd)

    if known is not None:
        return known

    (count,) = database.execute("SELECT coalesce(max(number), -1) + 1 FROM job").fetchone()
    added = evolve(row, number=count)
    add(database, [added])
    return added


def find(database: sqlite3.Connection, *, key: str | None = None, id: str | None = None) -> JobRow | None:
    """Look a job up by its key, or by the id that the user gave."""
    row = database.execute(f"SELECT {JOB} FROM job WHERE key = ? OR id = ?", (key, id)).fetchone()
    return _job(row) if row else None


def jobs_in(database: sqlite3.Connection, *states: JobState) -> Iterator[JobRow]:
    """Go over the jobs in these states, in the order in which they came."""
    marks = ", ".join("?" * len(states))
    for row in database.execute(f"SELECT {JOB} FROM job WHERE state IN ({marks}) ORDER BY number", states):
        yield _job(row)


def move(database: sqlite3.Connection, key: str, before: JobState, after: JobState, **facts: Any) -> None:
    """Take a job from one state to the next, and note what is known with it.

    Raises:
        JournalError: If it is not in that state: somebody else has moved it, and nothing may be built on it.
    """
    columns = {"state": after, "updated_at": _now(), **facts}
    assigned = ", ".join(f"{name} = ?" for name in columns)
    moved = database.execute(
        f"UPDATE job SET {assigned} WHERE key = ? AND state = ?", (*columns.values(), key, before)
    ).rowcount
    if moved != 1:
        raise JournalError(f"job {key} is not {before}, so it cannot become {after}")


def begin(database: sqlite3.Connection, key: str, before: JobState) -> None:
    """Note that a job is about to leave; counts it if it may have left before."""
    move(database, key, before, JobState.SENDING, status=None, raw=None, headers=None, error=None)
    if before is JobState.AMBIGUOUS:
        _count_resend(database, key, 1)


def settle(
    database: sqlite3.Connection, key: str, before: JobState, after: JobState, *, may_have_run: bool, **facts: Any
) -> None:
    """Note what has come of an attempt that began in the state `before`. One that did not run was no resend."""
    move(database, key, JobState.SENDING, after, **facts)
    if before is JobState.AMBIGUOUS and not may_have_run:
        _count_resend(database, key, -1)


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
    return [_job(row) for row in found]


def page(database: sqlite3.Connection, after: int, size: int) -> list[Entry]:
    """List the next jobs after that number, with their images. An answer's bytes come only where they are a refusal."""
    brief = JOB.replace("raw", "CASE WHEN state IN (?, ?) THEN substr(raw, 1, 65536) END")
    told = (JobState.REJECTED, JobState.AMBIGUOUS)
    found = database.execute(
        f"SELECT {brief} FROM job WHERE number > ? ORDER BY number LIMIT ?", (*told, after, size)
    ).fetchall()
    entries = {job.key: Entry(job, []) for job in map(_job, found)}
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
        f"INSERT OR IGNORE INTO image ({IMAGE}) VALUES ({', '.join('?' * 10)})", [_values(row, IMAGE) for row in rows]
    )


def images_of(database: sqlite3.Connection, key: str) -> list[ImageRow]:
    """List a job's images."""
    rows = database.execute(f"SELECT {IMAGE} FROM image WHERE key = ? ORDER BY number", (key,))
    return [_image(row) for row in rows]


def store(database: sqlite3.Connection, row: ImageRow, before: ImageState) -> None:
    """Note what has become of an image.

    Raises:
        JournalError: If it is not in that state.
    """
    columns = ("state", "path", "sha256", "size")
    assigned = ", ".join(f"{name} = ?" for name in columns)
    values = [getattr(row, name) for name in columns]
    stored = database.execute(
        f"UPDATE image SET {assigned} WHERE key = ? AND number = ? AND state = ?",
        (*values, row.key, row.number, before),
    ).rowcount
    if stored != 1:
        raise JournalError(f"image {row.number} of job {row.key} is not {before}, so it cannot become {row.state}")


def _values(row: JobRow | ImageRow, columns: str) -> tuple[Any, ...]:
    values = (getattr(row, name) for name in columns.split(", "))
    return tuple(str(value) if isinstance(value, Decimal) else value for value in values)


def _job(row: tuple[Any, ...]) -> JobRow:
    facts: dict[str, Any] = dict(zip(JOB.split(", "), row, strict=True))
    facts["state"] = JobState(facts["state"])
    facts["usd"] = None if facts["usd"] is None else Decimal(facts["usd"])
    return JobRow(**facts)


def _image(row: tuple[Any, ...]) -> ImageRow:
    facts: dict[str, Any] = dict(zip(IMAGE.split(", "), row, strict=True))
    facts["state"] = ImageState(facts["state"])
    return ImageRow(**facts)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
