"""The folder of a batch, looked at from outside: what it holds, what it cost, and what is left to decide.

Nothing here uses the network. Reading writes nothing to the journal, so a batch may be at work. What the journal has
as on its way is ambiguous if no process holds the folder: nobody is left to hear the answer.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ideogram_async._batch.job import ImageState, JobResult, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.queries import Entry, ImageRow, JobRow
from ideogram_async._batch.journal.reader import entries, journal_of, look, sums
from ideogram_async._batch.journal.schema import prepare
from ideogram_async._batch.report import Report, summed
from ideogram_async._batch.results import Settled
from ideogram_async._download.hosts import Hosts
from ideogram_async.errors import BatchError, JournalError


class Folder:
    """A batch's folder.

    Args:
        path: The folder that was given to `client.batch`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def report(self) -> Report:
        """Sum up all jobs of the folder, of every run.

        Money in doubt is that of ambiguous jobs, of jobs that are on their way, and of earlier attempts of jobs that
        were sent again. Time, throttling and a reason to stop belong to one run, and are not told.

        Raises:
            JournalError: If the journal is not there, or cannot be trusted.
        """
        jobs, images = sums(self.path)
        told = (JobState.REJECTED, JobState.AMBIGUOUS, JobState.ANSWERED, JobState.PARTIAL)
        is_told = any(group.state in told for group in jobs)
        return summed(jobs, images, [result for result in self.results() if result.state in told] if is_told else [])

    def results(self) -> Iterator[JobResult]:
        """Go over all jobs, in the order in which they came; memory stays flat.

        `answer` is `None`: it was told in the run that got it. `from_journal` is true.

        Raises:
            JournalError: If the journal is not there, or cannot be trusted.
        """
        settled = Settled(self.path)
        return map(settled.result, entries(self.path))

    def resolve(self, id: str, how: Literal["lost", "retry", "adopt"], url: str | None = None) -> JobResult:
        """Decide what an ambiguous job is to be: one that may have run, and may have been paid for. Sends nothing.

        - `"lost"`: given up. It becomes `partial`, not `rejected`, since it may have been paid: its price counts as
          spent, and its images as lost.
        - `"retry"`: sent once more by the next run. If it ran already, that pays twice, so its price counts twice.
        - `"adopt"`: it ran, and you have found its image. The next run downloads `url`; other images that the job
          asked for count as lost.

        Args:
            id: The job's id, or its key.
            how: One of the three.
            url: The image's link, for `"adopt"` alone.

        Returns:
            The job as it then is.

        Raises:
            BatchError: If the folder has no such job, or it is not ambiguous.
            BatchLockedError: If a batch is at work in the folder.
            JournalError: If the journal is not there, or cannot be trusted.
            HostRefusedError: If the link leads where no client goes.
            ValueError: If `how` is none of the three, or the link is missing, or given without need.
        """
        return Settled(self.path).result(resolve(self.path, id, how, url))

    def export_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a table with a row an image, for a spreadsheet. A job without images has a row too.

        A cell that a spreadsheet would run as a formula begins with `'`. Links are told without their signature. A
        job's price stands in its first row alone, so that the column adds up.

        Raises:
            JournalError: If the journal is not there, or cannot be trusted.
            OSError: If the file cannot be written; what stood there before stays.
        """
        from ideogram_async._batch.export import export_csv

        return export_csv(entries(self.path), Path(path))

    def export_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Write a JSON object a line, one for each job, with its request and its images.

        Raises:
            JournalError: If the journal is not there, or cannot be trusted.
            OSError: If the file cannot be written; what stood there before stays.
        """
        from ideogram_async._batch.export import export_jsonl

        return export_jsonl(entries(self.path), Path(path))

    def gallery(self) -> Path:
        """Write `gallery.html` and `thumbnails/` into the folder, and return the page.

        The page needs no network. Thumbnails are made once; calling again brings the page up to date.

        Raises:
            ImportError: If jinja2 or Pillow is missing.
            JournalError: If the journal is not there, or cannot be trusted.
            OSError: If the folder cannot be written.
        """
        from ideogram_async._batch.gallery import write_page

        return write_page(self.path, self.report(), self.results())


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
    queries.doubt_what_was_sending(database)
    job = queries.find(database, id=id) or queries.find(database, key=id)
    if job is None:
        raise _refused(database, f"{folder} has no job {id!r}")

    if job.state is not JobState.AMBIGUOUS:
        raise _refused(database, f"job {id!r} is {job.state}: only an ambiguous job is to be decided")

    match how:
        case "lost":
            _give_up(database, job)
        case "retry":
            queries.move(database, job.key, JobState.AMBIGUOUS, JobState.PENDING, resends=job.resends + 1)
        case _:
            _adopt(database, job, url or "")

    return Entry(queries.find(database, key=job.key) or job, queries.images_of(database, job.key))


def _refused(database: sqlite3.Connection, words: str) -> BatchError:
    left = [repr(job.id or job.key) for job in queries.next_in(database, (JobState.AMBIGUOUS,), -1, MOST_NAMED + 1)]
    named = ", ".join(left[:MOST_NAMED]) + (", and others" if len(left) > MOST_NAMED else "")
    error = BatchError(words)
    error.advice = f"To be decided: {named}." if left else "Nothing is left to be decided there."
    return error


def _give_up(database: sqlite3.Connection, job: JobRow) -> None:
    said = f"given up, though it may have run: {job.error or 'no answer came'}"
    queries.link(database, _lost(job, range(job.weight)))
    queries.move(database, job.key, JobState.AMBIGUOUS, JobState.PARTIAL, error=said)


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
    queries.link(database, [image, *_lost(job, range(1, job.weight))])
    answered = {"status": 200, "raw": _answer(image), "headers": "{}", "error": None}
    queries.move(database, job.key, JobState.AMBIGUOUS, JobState.ANSWERED, **answered)


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
