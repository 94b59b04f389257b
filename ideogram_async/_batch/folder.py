"""Tools for the folder of a batch: report, results, missing images, resolution of jobs, export and gallery.

Only `Folder.collect` uses the network. Reading never writes to the journal, so a batch may be running. A job in SENDING
is ambiguous if no process holds the folder.
"""

# Evaluated annotations: `typing.get_type_hints` works on the class.

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from attrs import evolve

from ideogram_async._batch.costs import total_costs
from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._batch.journal import meta
from ideogram_async._batch.journal.reader import find_journal, iter_jobs, read_snapshot, totals, warn_of_loss
from ideogram_async._batch.journal.rows import Entry, JobGroup
from ideogram_async._batch.report import Report, make_report
from ideogram_async._batch.resolution import resolve
from ideogram_async._batch.results import ResultReader
from ideogram_async._sinks.sink import Sink

LISTED = (JobState.REJECTED, JobState.AMBIGUOUS, JobState.ACCEPTED, JobState.ANSWERED, JobState.PARTIAL)
"""States whose jobs a report lists."""


class BatchClient(Protocol):
    """The part of `Ideogram` that `Folder.collect` uses."""

    def batch(self, jobs: tuple[()], folder: Path, *, max_downloads: int, sink: Sink | None) -> Any:
        """Return a batch."""
        ...


class Folder:
    """The folder of a batch.

    Args:
        path: The folder that was passed to `client.batch`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._is_checked = False

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def report(self) -> Report:
        """Return the report of all jobs of the folder, in every run.

        Cost in doubt is that of ambiguous and accepted jobs, of jobs in flight, and of earlier attempts of jobs that
        were sent again. Time, throttling and a reason to stop belong to a single run, and are empty. As text, the
        report shows `312 of 5,000 jobs` if the input of the last run had more jobs than are on record.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
        """
        self._warn_of_loss()
        groups, images = totals(self.path)
        is_listed = any(group.state in LISTED for group in groups)
        results = [result for result in self.results() if result.state in LISTED] if is_listed else []
        maximum, confirmed = total_costs(groups)
        size = read_snapshot(self.path, meta.read_input)
        return make_report(
            _jobs_by_state(groups), images, results, spent=confirmed, in_doubt=maximum - confirmed, input=size
        )

    def results(self) -> Iterator[JobResult]:
        """Yield all jobs in input order, with constant memory.

        `answer` is `None`: only the run that received the answer has it. `from_journal` is true.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
        """
        return map(ResultReader(self.path).read, self._jobs())

    async def collect(self, client: BatchClient, *, max_downloads: int = 16, sink: Sink | None = None) -> Report:
        """Download every image that was billed and is not stored, also those whose file was deleted. Sends no POST.

        It also waits for accepted jobs, as a run does, and downloads their images; a job that has failed is left for
        the next run. A cancellation leaves what is not downloaded for the next call.

        Args:
            client: An `Ideogram` with the base URL of the batch. It needs an API key for accepted jobs alone.
            max_downloads: Maximum number of concurrent downloads.
            sink: The sink of the batch, if it has one.

        Returns:
            The report of all jobs of the folder, with the duration and a reason to stop of this call.

        Raises:
            BatchLockedError: If a batch is running in the folder.
            JournalError: If the journal is missing or cannot be trusted, or its images are in another sink.
            OSError: If the folder or the sink cannot be written.
        """
        from ideogram_async._batch.source import CollectOnly
        from ideogram_async._transport.tasks import in_thread

        await in_thread(partial(find_journal, self.path))
        async with client.batch(CollectOnly(), self.path, max_downloads=max_downloads, sink=sink) as batch:
            async for _ in batch:
                pass

        run = batch.report()
        return evolve(await in_thread(self.report), elapsed=run.elapsed, stopped=run.stopped)

    def resolve(self, id: str, resolution: Literal["lost", "retry", "adopt"], url: str | None = None) -> JobResult:
        """Resolve an ambiguous job: one that may have run and may have been billed. Sends nothing.

        - `"lost"`: give it up. It becomes `partial`, not `rejected`, since it may have been billed: its price counts as
          spent, and its images as lost. An accepted job can be given up, too, and so can an answered one: its images
          that are still linked count as lost, and no later run asks for them.
        - `"retry"`: the next run sends it once more. If it ran already, that pays twice, so its price counts twice.
        - `"adopt"`: it ran, and you have found its image. The next run downloads `url`. The job's other images
          count as lost. Also for an accepted job.

        Args:
            id: The job's id or key.
            resolution: `"lost"`, `"retry"` or `"adopt"`.
            url: The image's link, only with `"adopt"`.

        Returns:
            The job in its new state.

        Raises:
            BatchError: If the folder has no such job, or the job is in a state that the resolution does not take.
            BatchLockedError: If a batch is running in the folder.
            JournalError: If the journal is missing or cannot be trusted.
            HostRefusedError: If the host of the link is not allowed.
            ValueError: If the resolution is unknown, or the link is missing or not expected.
        """
        return ResultReader(self.path).read(resolve(self.path, id, resolution, url))

    def export_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a table with one row per image, for a spreadsheet. A job without images has one row.

        The table is a jobs file: it can be run again, in the same folder, which sends nothing, or in another one. After
        the columns of the job come those of its result, which begin with `result_`, and its carried columns. A cell
        that a spreadsheet would run as a formula begins with `'`. Links are written without their signature. A job's
        price is in its first row only, so that the column adds up.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
            OSError: If the file cannot be written; an existing file is kept.
        """
        from ideogram_async._batch.export import export_csv

        return export_csv(self.path, self._jobs, Path(path))

    def export_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Write one JSON object per line and job: the job as in a jobs file, with `carried` and `result`.

        The file can be run again, like a table.

        Raises:
            JournalError: If the journal is missing or cannot be trusted.
            OSError: If the file cannot be written; an existing file is kept.
        """
        from ideogram_async._batch.export import export_jsonl

        return export_jsonl(self.path, self._jobs(), Path(path))

    def gallery(self, *, sink: Sink | None = None, lifetime: float = 604_800) -> Path:
        """Write `gallery.html` and `thumbnails/` into the folder, and return the page.

        The page needs no network. Thumbnails are created once. Calling it again updates the page.

        Args:
            sink: The sink of the batch, to show its images. The page then has a presigned link to each, which needs
                no credentials, and states when the links expire. Without the sink it has their URIs.
            lifetime: Lifetime of the links in seconds, at most the seven days that object stores allow.

        Raises:
            ImportError: If jinja2 or Pillow is missing.
            JournalError: If the journal is missing or cannot be trusted, or its images are not in the sink.
            OSError: If the folder cannot be written, or the sink cannot be read.
            ValueError: If the lifetime is out of range.
        """
        from ideogram_async._batch.gallery import write_page

        if sink is not None:
            read_snapshot(self.path, partial(meta.check_sink, uri=sink.uri))

        return write_page(self.path, self.report(), self.results(), sink, lifetime=lifetime)

    def _jobs(self) -> Iterator[Entry]:
        self._warn_of_loss()
        return iter_jobs(self.path)

    def _warn_of_loss(self) -> None:
        """Log once that the journal has lost records, which refuses no reading."""
        if not self._is_checked:
            warn_of_loss(self.path)
            self._is_checked = True


def _jobs_by_state(groups: list[JobGroup]) -> dict[JobState, int]:
    states: dict[JobState, int] = {}
    for group in groups:
        states[group.state] = states.get(group.state, 0) + group.jobs

    return states
