"""What the user decides about a job that may have run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ideogram_async.batch import rows
from ideogram_async.batch.job import ImageState, JobState
from ideogram_async.batch.lock import FolderLock
from ideogram_async.batch.reading import journal_of, look
from ideogram_async.batch.rows import Entry, ImageRow, JobRow
from ideogram_async.batch.schema import prepare
from ideogram_async.download.links import Hosts
from ideogram_async.errors.batch import BatchError, JournalError

__all__ = ["resolve"]

WAYS = ("lost", "retry", "adopt")
UNKNOWN_SEED = -1
MOST_NAMED = 5
"""Jobs that an error names."""


def resolve(folder: Path, id: str, how: str, url: str | None) -> Entry:
    """Take the folder, decide, and return the job as it then is. What `Folder.resolve` does."""
    if how not in WAYS:
        raise ValueError(f"how must be one of {', '.join(WAYS)}, not {how!r}")

    if (how == "adopt") != (url is not None):
        raise ValueError("adopt needs the image's link" if url is None else f"{how} takes no link")

    path = journal_of(folder)
    origin = look(folder, _origin)
    if url is not None:
        Hosts(loopback=origin == "sandbox").check(url)

    lock = FolderLock(path.with_name("lock")).take()
    try:
        with closing(prepare(path, origin)) as database:
            return _in_transaction(database, lambda: _decide(database, folder, id, how, url))
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be written: {error}") from None
    finally:
        lock.release()


def _decide(database: sqlite3.Connection, folder: Path, id: str, how: str, url: str | None) -> Entry:
    # The lock is ours: whoever was sending has died.
    rows.doubt_what_was_sending(database)
    job = rows.find(database, id=id) or rows.find(database, key=id)
    if job is None:
        raise _refused(database, f"{folder} has no job {id!r}")

    if job.state is not JobState.AMBIGUOUS:
        raise _refused(database, f"job {id!r} is {job.state}: only an ambiguous job is to be decided")

    match how:
        case "lost":
            _give_up(database, job)
        case "retry":
            rows.move(database, job.key, JobState.AMBIGUOUS, JobState.PENDING, resends=job.resends + 1)
        case _:
            _adopt(database, job, url or "")

    return Entry(rows.find(database, key=job.key) or job, rows.images_of(database, job.key))


def _refused(database: sqlite3.Connection, words: str) -> BatchError:
    left = [repr(job.id or job.key) for job in rows.next_in(database, (JobState.AMBIGUOUS,), -1, MOST_NAMED + 1)]
    named = ", ".join(left[:MOST_NAMED]) + (", and others" if len(left) > MOST_NAMED else "")
    error = BatchError(words)
    error.advice = f"To be decided: {named}." if left else "Nothing is left to be decided there."
    return error


def _give_up(database: sqlite3.Connection, job: JobRow) -> None:
    said = f"given up, though it may have run: {job.error or 'no answer came'}"
    rows.link(database, _lost(job, range(job.weight)))
    rows.move(database, job.key, JobState.AMBIGUOUS, JobState.PARTIAL, error=said)


def _adopt(database: sqlite3.Connection, job: JobRow, url: str) -> None:
    fields: dict[str, Any] = json.loads(job.request)["fields"]
    image = ImageRow(
        key=job.key,
        number=0,
        state=ImageState.LINKED,
        url=url,
        seed=fields.get("seed"),
        prompt=fields.get("prompt"),
    )
    rows.link(database, [image, *_lost(job, range(1, job.weight))])
    answered = {"status": 200, "raw": _answer(image), "headers": "{}", "error": None}
    rows.move(database, job.key, JobState.AMBIGUOUS, JobState.ANSWERED, **answered)


def _answer(image: ImageRow) -> bytes:
    """Write what the service would have answered, as far as it is known; it fits every operation."""
    seed = UNKNOWN_SEED if image.seed is None else image.seed
    told = {"url": image.url, "is_image_safe": True, "prompt": image.prompt or "", "seed": seed, "resolution": ""}
    answer = {"created": datetime.now(UTC).isoformat(), "data": [told], "base_image_url": image.url, "seed": seed}
    return json.dumps({"adopted": True, **answer}).encode()


def _lost(job: JobRow, numbers: range) -> list[ImageRow]:
    return [ImageRow(key=job.key, number=number, state=ImageState.LOST) for number in numbers]


def _origin(database: sqlite3.Connection) -> str:
    (origin,) = database.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    return str(origin)


def _in_transaction(database: sqlite3.Connection, step: Callable[[], Entry]) -> Entry:
    database.execute("BEGIN IMMEDIATE")
    try:
        entry = step()
    except BaseException:
        database.execute("ROLLBACK")
        raise

    database.execute("COMMIT")
    return entry
