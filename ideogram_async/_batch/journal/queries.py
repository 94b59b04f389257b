"""Queries that read and change the journal: plain functions of the connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from attrs import evolve

from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal.rows import (
    IMAGE,
    JOB,
    Column,
    Entry,
    ImageRow,
    JobGroup,
    JobRow,
    read_image,
    read_job,
    read_price,
    timestamp,
    values_of,
)
from ideogram_async.errors import JournalError

MAX_REFUSAL_BYTES = 65536
WITH_REPLY = (JobState.REJECTED, JobState.AMBIGUOUS, JobState.ACCEPTED)
NO_REPLY: dict[str, Column] = {"status": None, "raw": None, "headers": None, "error": None}


def insert_jobs(database: sqlite3.Connection, rows: Iterable[JobRow]) -> None:
    """Insert jobs that are not in the journal yet."""
    database.executemany(
        f"INSERT INTO job ({JOB}, updated_at) VALUES ({', '.join('?' * 20)})",
        [(*values_of(row, JOB), timestamp()) for row in rows],
    )


def append_job(database: sqlite3.Connection, row: JobRow) -> JobRow:
    """Insert a job with the next number, and return its row."""
    ((number,),) = database.execute("SELECT coalesce(max(number), -1) + 1 FROM job").fetchall()
    row = evolve(row, number=number)
    insert_jobs(database, [row])
    return row


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


def count_occurrences(database: sqlite3.Connection, keys: Sequence[str]) -> list[int]:
    """Return how often each key was seen before in this run and count it."""
    marks = ", ".join("?" * len(keys))
    seen: dict[str, int] = dict(
        database.execute(f"SELECT key, times FROM seen WHERE key IN ({marks})", keys).fetchall()
    )
    occurrences: list[int] = []
    for key in keys:
        occurrences.append(seen.get(key, 0))
        seen[key] = occurrences[-1] + 1

    marks = ", ".join(["(?, 1)"] * len(keys))
    database.execute(f"INSERT INTO seen VALUES {marks} ON CONFLICT DO UPDATE SET times = times + 1", keys)
    return occurrences


def jobs_after(
    database: sqlite3.Connection, states: tuple[JobState, ...], number: int, limit: int = -1
) -> list[JobRow]:
    """Return the next jobs in these states with a larger number, at most `limit`."""
    marks = ", ".join("?" * len(states))
    query = f"SELECT {JOB} FROM job WHERE state IN ({marks}) AND number > ? ORDER BY number LIMIT ?"
    return [read_job(columns) for columns in database.execute(query, (*states, number, limit))]


def entries_after(database: sqlite3.Connection, number: int, limit: int) -> list[Entry]:
    """Return the next jobs with a larger number, with their images. `raw` is at most the start of a reply."""
    columns = JOB.replace("raw", f"CASE WHEN state IN (?, ?, ?) THEN substr(raw, 1, {MAX_REFUSAL_BYTES}) END")
    query = f"SELECT {columns} FROM job WHERE number > ? ORDER BY number LIMIT ?"
    jobs = [*map(read_job, database.execute(query, (*WITH_REPLY, number, limit)))]
    images = images_by_job(database, [job.key for job in jobs])
    return [Entry(job, images[job.key]) for job in jobs]


def totals(database: sqlite3.Connection) -> tuple[list[JobGroup], dict[ImageState, int]]:
    """Count jobs by state, price and resends, and images by state."""
    jobs = database.execute("SELECT state, usd, resends, count(*) FROM job GROUP BY 1, 2, 3 ORDER BY min(number)")
    images = database.execute("SELECT state, count(*) FROM image GROUP BY 1")
    try:
        return (
            [JobGroup(JobState(state), read_price(usd), *rest) for state, usd, *rest in jobs],
            {ImageState(state): count for state, count in images},
        )
    except (ArithmeticError, ValueError) as error:
        raise JournalError(f"a job of the journal is damaged: {error}") from None


def column_names(database: sqlite3.Connection) -> tuple[set[str], list[str]]:
    """Return the fields that the requests of jobs have, and the names of carried columns, the first jobs' first."""
    fields = database.execute(
        "SELECT each.key FROM job, json_each(job.request, '$.fields') AS each"
        " UNION SELECT each.key FROM job, json_each(job.request, '$.mode') AS each"
    )
    carried = database.execute(
        "SELECT each.key FROM job, json_each(job.carried) AS each GROUP BY 1 ORDER BY min(number), min(each.id)"
    )
    return {str(name) for (name,) in fields}, [str(name) for (name,) in carried]


def job_states(database: sqlite3.Connection) -> Iterator[tuple[str, tuple[JobState, str, int]]]:
    """Yield the key of each job, with its state, fingerprint and resends."""
    for key, state, fingerprint, resends in database.execute("SELECT key, state, fingerprint, resends FROM job"):
        yield key, (JobState(state), fingerprint, resends)


def change_state(database: sqlite3.Connection, key: str, before: JobState, after: JobState, **columns: Column) -> None:
    """Change a job's state, and other columns with it.

    Raises:
        JournalError: If the job is not in the state `before`: another writer changed it.
    """
    changes: dict[str, Column] = {"state": after, "updated_at": timestamp(), **columns}
    assignments = ", ".join(f"{name} = ?" for name in changes)
    statement = f"UPDATE job SET {assignments} WHERE key = ? AND state = ?"
    if database.execute(statement, (*changes.values(), key, before)).rowcount != 1:
        raise JournalError(f"job {key} is not {before}, so it cannot become {after}")


def begin_attempt(database: sqlite3.Connection, row: JobRow) -> None:
    """Record that a job is about to be sent. A job whose outcome is unknown counts as resent."""
    is_resend = row.state is JobState.AMBIGUOUS
    change_state(database, row.key, row.state, JobState.SENDING, resends=row.resends + is_resend, **NO_REPLY)


def finish_attempt(database: sqlite3.Connection, row: JobRow, before: JobState = JobState.SENDING) -> None:
    """Record the acceptance or the outcome of an attempt. `row` is the job after it."""
    names = "status, raw, headers, error, resends, answered_at, generation_id, poll, failures"
    columns = {name: getattr(row, name) for name in names.split(", ")}
    change_state(database, row.key, before, row.state, **columns)


def reject_job(database: sqlite3.Connection, row: JobRow, error: str) -> JobRow:
    """Reject a pending job that can never be sent, and return the new row, without the reply of an earlier attempt."""
    reply = NO_REPLY | {"error": error}
    change_state(database, row.key, JobState.PENDING, JobState.REJECTED, **reply)
    return evolve(row, state=JobState.REJECTED, status=None, raw=None, headers=None, error=error)


def price_job(database: sqlite3.Connection, row: JobRow, usd: Decimal) -> JobRow:
    """Record the price of a job, and return the new row."""
    row = evolve(row, usd=usd)
    database.execute("UPDATE job SET usd = ? WHERE key = ?", (*values_of(row, "usd"), row.key))
    return row


def renew_job(database: sqlite3.Connection, row: JobRow, renewed: JobRow) -> None:
    """Make a job pending that was certainly not billed, with the request, price and files of `renewed`."""
    names = "operation, request, fingerprint, weight, usd"
    columns = dict(zip(names.split(", "), values_of(renewed, names), strict=True))
    change_state(database, row.key, row.state, JobState.PENDING, failures=0, **columns, **NO_REPLY)


def change_carried(database: sqlite3.Connection, row: JobRow, carried: str) -> JobRow:
    """Change the carried columns of a job in any state, and return the new row."""
    database.execute("UPDATE job SET carried = ? WHERE key = ?", (carried, row.key))
    return evolve(row, carried=carried)


def renew_rejected_jobs(database: sqlite3.Connection) -> None:
    """Make all rejected jobs pending."""
    assignments = ", ".join(f"{name} = NULL" for name in NO_REPLY)
    database.execute(
        f"UPDATE job SET state = ?, updated_at = ?, failures = 0, {assignments} WHERE state = ?",
        (JobState.PENDING, timestamp(), JobState.REJECTED),
    )


def mark_sending_ambiguous(database: sqlite3.Connection) -> None:
    """Mark the jobs that an earlier process was sending when it ended."""
    database.execute(
        "UPDATE job SET state = ?, updated_at = ? WHERE state = ?", (JobState.AMBIGUOUS, timestamp(), JobState.SENDING)
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
        f"INSERT OR IGNORE INTO image ({IMAGE}) VALUES ({', '.join('?' * 14)})", [values_of(row, IMAGE) for row in rows]
    )


def change_image(database: sqlite3.Connection, row: ImageRow, before: ImageState) -> None:
    """Change an image's state and place.

    Raises:
        JournalError: If the image is not in the state `before`.
    """
    changed = database.execute(
        "UPDATE image SET state = ?, path = ?, sha256 = ?, size = ?, problem = ?, tried_at = ?, max_bytes = ?, uri = ?"
        " WHERE key = ? AND number = ? AND state = ?",
        (*values_of(row, "state, path, sha256, size, problem, tried_at, max_bytes, uri"), row.key, row.number, before),
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
