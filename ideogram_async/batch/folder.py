"""The folder of a batch, looked at from outside: what it holds, what it cost, and what is left to decide.

Nothing here uses the network. Reading writes nothing to the journal, so a batch may be at work. What the journal has
as on its way is ambiguous if no process holds the folder: nobody is left to hear the answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.reading import entries, sums
from ideogram_async.batch.report import Report
from ideogram_async.batch.settled import Settled, summed

__all__ = ["Folder"]


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
        from ideogram_async.batch.resolving import resolve

        return Settled(self.path).result(resolve(self.path, id, how, url))

    def export_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a table with a row an image, for a spreadsheet. A job without images has a row too.

        A cell that a spreadsheet would run as a formula begins with `'`. Links are told without their signature. A
        job's price stands in its first row alone, so that the column adds up.

        Raises:
            JournalError: If the journal is not there, or cannot be trusted.
            OSError: If the file cannot be written; what stood there before stays.
        """
        from ideogram_async.batch.export import export_csv

        return export_csv(entries(self.path), Path(path))

    def export_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Write a JSON object a line, one for each job, with its request and its images.

        Raises:
            JournalError: If the journal is not there, or cannot be trusted.
            OSError: If the file cannot be written; what stood there before stays.
        """
        from ideogram_async.batch.export import export_jsonl

        return export_jsonl(entries(self.path), Path(path))

    def gallery(self) -> Path:
        """Write `gallery.html` and `thumbnails/` into the folder, and return the page.

        The page needs no network. Thumbnails are made once; calling again brings the page up to date.

        Raises:
            ImportError: If jinja2 or Pillow is missing.
            JournalError: If the journal is not there, or cannot be trusted.
            OSError: If the folder cannot be written.
        """
        from ideogram_async.gallery.page import write_page

        return write_page(self.path, self.report(), self.results())
