"""The steps of a journal: plain functions of its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import frozen

from ideogram_async.batch.job import ImageState, JobState
from ideogram_async.errors.batch import JournalError

__all__ = ["ImageRow", "JobRow", "add", "find", "images_of", "jobs_in", "link", "move", "store"]


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


JOB = "key, number, id, operation, request, fingerprint, weight, usd, state, status, raw, headers, error, resends"
IMAGE = "key, number, state, url, seed, prompt, resolution, path, sha256, size"


def add(database: sqlite3.Connection, rows: Iterable[JobRow]) -> None:
    """Note jobs that are about to be sent some day."""
    database.executemany(
        f"INSERT INTO job ({JOB}, updated_at) VALUES ({', '.join('?' * 15)})",
        [(*_values(row, JOB), _now()) for row in rows],
    )


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
