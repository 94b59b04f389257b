"""Tools for the folder of a batch: report, results, resolution of ambiguous jobs, export and gallery.

Nothing here uses the network. Reading never writes to the journal, so a batch may be running. A job in SENDING is
ambiguous if no process holds the folder.
"""

# Evaluated annotations: `typing.get_type_hints` works on the class.

import json
import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ideogram_async._batch.costs import total_costs
from ideogram_async._batch.job import ImageState, JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.queries import Column, Entry, ImageRow, JobGroup, JobRow
from ideogram_async._batch.journal.reader import find_journal, iter_jobs, read_snapshot, totals
from ideogram_async._batch.journal.schema import open_journal
from ideogram_async._batch.report import Report, make_report
from ideogram_async._batch.results import ResultReader
from ideogram_async._download.hosts import Hosts
from ideogram_async.errors import BatchError, JournalError

RESOLUTIONS = ("lost", "retry", "adopt")
LISTED = (JobState.REJECTED, JobState.AMBIGUOUS, JobState.ANSWERED, JobState.PARTIAL)
"""States whose jobs a report lists."""
UNKNOWN_SEED = -1
MAX_NAMED = 5
"""Jobs that an error names."""


class Folder:
    """The folder of a batch.

    Args:
        path: The folder that was passed to `client.batch`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def report(self) -> Report:
        """Return the report of all jobs of the folder, in every run.

        Cost in doubt is that of ambiguous jobs, of jobs in flight, and of earlier attempts of jobs that were sent
        again. Time, throttling and a reason to stop belong to a single run, and are empty.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
        """
        groups, images = totals(self.path)
        is_listed = any(group.state in LISTED for group in groups)
        results = [result for result in self.results() if result.state in LISTED] if is_listed else []
        maximum, confirmed = total_costs(groups)
        return make_report(_jobs_by_state(groups), images, results, spent=confirmed, in_doubt=maximum - confirmed)

    def results(self) -> Iterator[JobResult]:
        """Yield all jobs in input order, with constant memory.

        `answer` is `None`: only the run that received the answer has it. `from_journal` is true.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
        """
        return map(ResultReader(self.path).read, iter_jobs(self.path))

    def resolve(self, id: str, resolution: Literal["lost", "retry", "adopt"], url: str | None = None) -> JobResult:
        """Resolve an ambiguous job: one that may have run and may have been billed. Sends nothing.

        - `"lost"`: give it up. It becomes `partial`, not `rejected`, since it may have been billed: its price counts as
          spent, and its images as lost.
        - `"retry"`: the next run sends it once more. If it ran already, that pays twice, so its price counts twice.
        - `"adopt"`: it ran, and you have found its image. The next run downloads `url`. The job's other images
          count as lost.

        Args:
            id: The job's id or key.
            resolution: `"lost"`, `"retry"` or `"adopt"`.
            url: The image's link, only with `"adopt"`.

        Returns:
            The job in its new state.

        Raises:
            BatchError: If the folder has no such job, or it is not ambiguous.
            BatchLockedError: If a batch is running in the folder.
            JournalError: If the journal is missing or cannot be trusted.
            HostRefusedError: If the host of the link is not allowed.
            ValueError: If the resolution is unknown, or the link is missing or not expected.
        """
        return ResultReader(self.path).read(_resolve(self.path, id, resolution, url))

    def export_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a table with one row per image, for a spreadsheet. A job without images has one row.

        A cell that a spreadsheet would run as a formula begins with `'`. Links are written without their signature. A
        job's price is in its first row only, so that the column adds up.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
            OSError: If the file cannot be written; an existing file is kept.
        """
        from ideogram_async._batch.export import export_csv

        return export_csv(iter_jobs(self.path), Path(path))

    def export_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Write one JSON object per line and job, with its request and images.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
            OSError: If the file cannot be written; an existing file is kept.
        """
        from ideogram_async._batch.export import export_jsonl

        return export_jsonl(iter_jobs(self.path), Path(path))

    def gallery(self) -> Path:
        """Write `gallery.html` and `thumbnails/` into the folder, and return the page.

        The page needs no network. Thumbnails are created once. Calling it again updates the page.

        Raises:
            ImportError: If jinja2 or Pillow is missing.
            JournalError: If the journal is missing or cannot be trusted.
            OSError: If the folder cannot be written.
        """
        from ideogram_async._batch.gallery import write_page

        return write_page(self.path, self.report(), self.results())


def _jobs_by_state(groups: list[JobGroup]) -> dict[JobState, int]:
    states: dict[JobState, int] = {}
    for group in groups:
        states[group.state] = states.get(group.state, 0) + group.jobs

    return states


def _resolve(folder: Path, id: str, resolution: str, url: str | None) -> Entry:
    """Lock the folder, resolve a job, and return it."""
    if resolution not in RESOLUTIONS:
        raise ValueError(f"resolution must be one of {', '.join(RESOLUTIONS)}, not {resolution!r}")

    if (resolution == "adopt") != (url is not None):
        raise ValueError("adopt needs the image's link" if url is None else f"{resolution} takes no link")

    path = find_journal(folder)
    origin = read_snapshot(folder, _read_origin)
    if url is not None:
        Hosts(loopback=origin == "sandbox").check(url)

    lock = FolderLock(path.with_name("lock")).acquire()
    try:
        with closing(open_journal(path, origin)) as database, _transaction(database):
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
        raise _resolution_error(database, f"{folder} has no job {id!r}")

    if job.state is not JobState.AMBIGUOUS:
        raise _resolution_error(database, f"job {id!r} is {job.state}; only an ambiguous job can be resolved")

    match resolution:
        case "lost":
            _mark_lost(database, job)
        case "retry":
            queries.change_state(database, job.key, job.state, JobState.PENDING, resends=job.resends + 1)
        case _:
            _adopt(database, job, url or "")

    return Entry(queries.find_job(database, key=job.key) or job, queries.images_of(database, job.key))


def _resolution_error(database: sqlite3.Connection, message: str) -> BatchError:
    ambiguous = queries.jobs_after(database, (JobState.AMBIGUOUS,), -1, MAX_NAMED + 1)
    names = ", ".join(repr(job.id or job.key) for job in ambiguous[:MAX_NAMED])
    error = BatchError(message)
    more = ", and others" if len(ambiguous) > MAX_NAMED else ""
    error.advice = f"Ambiguous jobs: {names}{more}." if ambiguous else "The folder has no ambiguous jobs."
    return error


def _mark_lost(database: sqlite3.Connection, job: JobRow) -> None:
    message = f"given up, although it may have run: {job.error or 'no response was received'}"
    queries.insert_images(database, _lost_images(job, range(job.weight)))
    queries.change_state(database, job.key, job.state, JobState.PARTIAL, error=message)


def _adopt(database: sqlite3.Connection, job: JobRow, url: str) -> None:
    fields: dict[str, Any] = json.loads(job.request)["fields"]
    image = ImageRow(
        key=job.key, number=0, state=ImageState.LINKED, url=url, seed=fields.get("seed"), prompt=fields.get("prompt")
    )
    queries.insert_images(database, [image, *_lost_images(job, range(1, job.weight))])
    reply: dict[str, Column] = {"status": 200, "raw": _adopted_reply(image), "headers": "{}", "error": None}
    queries.change_state(database, job.key, job.state, JobState.ANSWERED, **reply)


def _adopted_reply(image: ImageRow) -> bytes:
    """Return a reply like the one that was lost, valid for every operation."""
    seed = UNKNOWN_SEED if image.seed is None else image.seed
    item = {"url": image.url, "is_image_safe": True, "prompt": image.prompt or "", "seed": seed, "resolution": ""}
    reply = {"created": datetime.now(UTC).isoformat(), "data": [item], "base_image_url": image.url, "seed": seed}
    return json.dumps({"adopted": True, **reply}).encode()


def _lost_images(job: JobRow, numbers: range) -> list[ImageRow]:
    return [ImageRow(key=job.key, number=number, state=ImageState.LOST) for number in numbers]


def _read_origin(database: sqlite3.Connection) -> str:
    (origin,) = database.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    return str(origin)
