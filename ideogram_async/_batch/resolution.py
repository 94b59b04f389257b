"""Resolution of ambiguous jobs: a decision of the user, recorded in the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from attrs import evolve

from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import meta, queries
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.opening import open_journal
from ideogram_async._batch.journal.reader import find_journal, read_snapshot
from ideogram_async._batch.journal.rows import Column, Entry, ImageRow, JobRow, timestamp
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._batch.results import GIVEN_UP
from ideogram_async._download.hosts import Hosts
from ideogram_async._ledger.adoption import adopted_body
from ideogram_async._ledger.serialization import deserialize
from ideogram_async.errors import BatchError, JournalError

RESOLVABLE: dict[str, tuple[JobState, ...]] = {
    "lost": (JobState.AMBIGUOUS, JobState.ACCEPTED, JobState.ANSWERED),
    "retry": (JobState.AMBIGUOUS,),
    "adopt": (JobState.AMBIGUOUS, JobState.ACCEPTED),
}
"""The states of the jobs that each resolution accepts."""
MAX_NAMED = 5
"""Jobs that an error names."""

MAX_COMPARED = 10_000
"""Jobs that are compared with an id that does not exist."""


def resolve(folder: Path, id: str, resolution: str, url: str | None) -> Entry:
    """Lock a folder, resolve one of its jobs, and return the job; see `Folder.resolve`."""
    if resolution not in RESOLVABLE:
        raise ValueError(f"resolution must be one of {', '.join(RESOLVABLE)}, not {resolution!r}")

    if (resolution == "adopt") != (url is not None):
        raise ValueError("adopt needs the image's link" if url is None else f"{resolution} takes no link")

    path = find_journal(folder)
    origin = read_snapshot(folder, partial(meta.read_meta, name="origin"))
    if url is not None:
        Hosts(loopback=origin == "sandbox").check(url)

    lock = FolderLock(path.with_name("lock")).acquire()
    try:
        with closing(open_journal(path, origin, "warn")) as database, _transaction(database):
            return _resolve_job(database, folder, id, resolution, url)
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be written: {error}") from None
    finally:
        lock.release()


@contextmanager
def _transaction(database: sqlite3.Connection) -> Generator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise

    database.execute("COMMIT")


def _resolve_job(database: sqlite3.Connection, folder: Path, id: str, resolution: str, url: str | None) -> Entry:
    # This process holds the lock: the one that was sending has ended.
    queries.mark_sending_ambiguous(database)
    job = queries.find_job(database, id=id) or queries.find_job(database, key=id)
    if job is None:
        raise _resolution_error(database, f"{folder} has no job {id!r}{_hint(database, id, resolution)}", resolution)

    if job.state not in RESOLVABLE[resolution]:
        message = f"job {id!r} is {job.state}; {resolution} needs an {_join(RESOLVABLE[resolution])} job"
        raise _resolution_error(database, message, resolution)

    match resolution:
        case "lost" if job.state is JobState.ANSWERED:
            _give_up_links(database, job)
        case "lost":
            _mark_lost(database, job)
        case "retry":
            queries.change_state(database, job.key, job.state, JobState.PENDING, resends=job.resends + 1)
        case _:
            _adopt(database, folder, job, url or "")

    return Entry(queries.find_job(database, key=job.key) or job, queries.images_of(database, job.key))


def _resolution_error(database: sqlite3.Connection, message: str, resolution: str) -> BatchError:
    error = BatchError(message)
    states = RESOLVABLE[resolution]
    lists = " ".join(filter(None, (_list_jobs(database, state) for state in states)))
    error.advice = lists or f"The folder has no {_join(states)} jobs."
    return error


def _join(states: Sequence[JobState]) -> str:
    *others, last = states
    return f"{', '.join(others)} or {last}" if others else last


def _hint(database: sqlite3.Connection, id: str, resolution: str) -> str:
    jobs = queries.jobs_after(database, RESOLVABLE[resolution], -1, MAX_COMPARED)
    names = {name.casefold(): name for job in jobs if (name := job.id or job.key)}
    close = get_close_matches(id.casefold(), names, 1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""


def _list_jobs(database: sqlite3.Connection, state: JobState) -> str:
    jobs = queries.jobs_after(database, (state,), -1, MAX_NAMED + 1)
    names = ", ".join(repr(job.id or job.key) for job in jobs[:MAX_NAMED])
    more = ", and others" if len(jobs) > MAX_NAMED else ""
    return f"{state.capitalize()} jobs: {names}{more}." if jobs else ""


def _give_up_links(database: sqlite3.Connection, job: JobRow) -> None:
    """Mark the images of an answered job that are not on disk as lost."""
    images = queries.images_of(database, job.key)
    if not images:
        # The process ended before the images of the answer were recorded.
        queries.insert_images(database, images := _lost_images(job, range(job.weight)))

    for position, image in enumerate(images):
        if image.state is ImageState.LINKED:
            images[position] = evolve(image, state=ImageState.LOST)
            queries.change_image(database, images[position], ImageState.LINKED)

    is_done = all(image.state is ImageState.STORED for image in images)
    queries.change_state(database, job.key, job.state, JobState.DONE if is_done else JobState.PARTIAL)


def _mark_lost(database: sqlite3.Connection, job: JobRow) -> None:
    message = f"{GIVEN_UP}: {job.error or 'no response was received'}"
    queries.insert_images(database, _lost_images(job, range(job.weight)))
    queries.change_state(database, job.key, job.state, JobState.PARTIAL, error=message)


def _adopt(database: sqlite3.Connection, folder: Path, job: JobRow, url: str) -> None:
    request = deserialize(job.request, InputStore(folder / HIDDEN / "inputs"), job.key)
    seed, prompt = getattr(request, "seed", None), getattr(request, "prompt", None)
    prompt = None if prompt is None else str(prompt)
    image = ImageRow(key=job.key, number=0, state=ImageState.LINKED, url=url, seed=seed, prompt=prompt)
    queries.insert_images(database, [image, *_lost_images(job, range(1, job.weight))])
    reply: dict[str, Column] = {"status": 200, "raw": adopted_body(url, seed, prompt), "headers": "{}", "error": None}
    reply["answered_at"] = timestamp()
    queries.change_state(database, job.key, job.state, JobState.ANSWERED, **reply)


def _lost_images(job: JobRow, numbers: range) -> list[ImageRow]:
    return [ImageRow(key=job.key, number=number, state=ImageState.LOST) for number in numbers]
