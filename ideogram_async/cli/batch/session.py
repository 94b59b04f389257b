"""Run of a batch by a command: its interruption, its report and its exit code."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs

from ideogram_async import Batch, Ideogram, Job, Report
from ideogram_async._batch.source import CollectOnly, CountedJobs
from ideogram_async.batch import Folder
from ideogram_async.cli.batch.check import NOTHING_SENT, print_problems
from ideogram_async.cli.batch.folder import write_gallery
from ideogram_async.cli.batch.jobs_file import InvalidJobsError
from ideogram_async.cli.batch.loop import Listener, Outcome, run_batch
from ideogram_async.cli.batch.options import BatchRunOptions
from ideogram_async.cli.batch.progress import STOPPING_CALLS, STOPPING_DOWNLOADS
from ideogram_async.cli.batch.report import print_report
from ideogram_async.cli.errors import UsageError, print_bug, print_error, print_ideogram_error
from ideogram_async.cli.exit_codes import Exit, exit_code_for_report, worst
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.settings import Settings
from ideogram_async.cli.streams import fallback_output, output
from ideogram_async.errors import BatchError, Billed, IdeogramError


@attrs.define
class BatchRun:
    """A run of a batch in a folder."""

    folder: Path
    settings: Settings
    as_json: bool = attrs.field(kw_only=True)
    note: str = attrs.field(default="", kw_only=True)
    """A remark after the cost."""
    has_begun: bool = attrs.field(default=False, init=False)
    """Whether a call may have been sent."""
    is_collecting: bool = attrs.field(default=False, init=False)
    outcome: Outcome | None = attrs.field(default=None, init=False)
    """`None` if the jobs file has faults."""
    page: Path | None = attrs.field(default=None, init=False)
    """The gallery, once it is written."""

    @property
    def is_silent(self) -> bool:
        """Return whether to show no progress."""
        return self.as_json or self.settings.is_quiet

    def run(self, main: Coroutine[object, object, None], *, with_gallery: bool = False) -> Exit:
        """Run a coroutine that calls `send` or `collect`, print the report, and return the exit code."""
        try:
            try:
                run_async(main)
            except KeyboardInterrupt:
                # Once the batch is over, there is nothing to interrupt but the end of its client.
                if self.outcome is None:
                    raise

            return Exit.USAGE if self.outcome is None else self._finish(self.outcome, with_gallery=with_gallery)
        except KeyboardInterrupt:
            if not self.has_begun:
                raise

            advice = f"To see the jobs: ideogram-async batch status {self.folder}"
            # A further interrupt must not reach the handler that reports that nothing was sent.
            with suppress(KeyboardInterrupt):
                print_error("Interrupted.", advice, as_json=self.as_json, name="Interrupted", billed=Billed.UNKNOWN)

            return Exit.INTERRUPTED

    async def send(
        self,
        client: Ideogram,
        jobs: Iterable[Job] | AsyncIterable[Job],
        options: BatchRunOptions,
        *,
        total: int | None = None,
    ) -> None:
        """Run jobs into the folder.

        Args:
            client: The client.
            jobs: The jobs.
            options: The options of the batch.
            total: The number of jobs, if known.
        """
        self.has_begun = True
        counted = CountedJobs(jobs, total) if total is not None and isinstance(jobs, Iterable) else jobs
        await self._run_batch(
            client,
            lambda listener: client.batch(counted, self.folder, on_event=listener, grace=0, **attrs.asdict(options)),
            total,
        )

    async def collect(self, client: Ideogram, max_downloads: int) -> None:
        """Download what is billed and not on disk."""
        self.is_collecting = True
        await self._run_batch(
            client,
            lambda listener: client.batch(
                CollectOnly(), self.folder, max_downloads=max_downloads, on_event=listener, grace=0
            ),
        )

    async def _run_batch(
        self, client: Ideogram, make_batch: Callable[[Listener], Batch], total: int | None = None
    ) -> None:
        try:
            self.outcome = await run_batch(
                lambda listener: make_batch(self._with_log(listener)),
                client.limiter,
                total=total,
                as_json=self.as_json,
                is_quiet=self.settings.is_quiet,
                stopping=STOPPING_DOWNLOADS if self.is_collecting else STOPPING_CALLS,
            )
        except OSError as error:
            message = f"{self.folder} cannot be used: {error.strerror or error}"
            raise UsageError(message, "Free some space, or change its permissions.") from None

    def _with_log(self, listener: Listener) -> Listener:
        """Return the listener of a batch. As JSON it reports every event anyway."""
        return listener if self.as_json else self.settings.listener(listener) or listener

    def _finish(self, outcome: Outcome, *, with_gallery: bool) -> Exit:
        """Print the report, write the gallery, and return the exit code."""
        report = self._report(outcome)
        codes = [exit_code_for_report(report)] + [Exit.INTERRUPTED] * outcome.is_aborted
        was_lost = output().has_failed
        with fallback_output():
            if outcome.error is not None:
                report = attrs.evolve(report, stopped="by the error above")
                codes.append(_print_failure(outcome.error, as_json=self.as_json))

            if with_gallery and report.images_stored and not outcome.is_aborted:
                self.page = self._write_gallery()

            code = worst(codes)
            show = partial(print_report, report, self.folder, code, as_json=self.as_json, page=self.page)
            show(total=outcome.total, note=self.note)

        if output().has_failed and not was_lost:
            # The report was the first text that could not be written.
            with fallback_output():
                show(total=outcome.total, note=self.note)

        return worst([code, *[Exit.UNFINISHED] * output().has_failed])

    def _report(self, outcome: Outcome) -> Report:
        """Return the report of the run, or of the folder: results of aborted calls were not delivered."""
        report = outcome.report
        if not (outcome.is_aborted or self.is_collecting):
            return report

        stopped = "interrupted twice" if outcome.is_aborted else report.stopped
        with suppress(BatchError):
            folder = Folder(self.folder).report()
            return attrs.evolve(folder, stopped=stopped, elapsed=report.elapsed, throttled=report.throttled)

        return report

    def _write_gallery(self) -> Path | None:
        """Write the gallery if possible: a failure must not hide the report."""
        try:
            return write_gallery(self.folder, is_silent=self.is_silent)
        except (OSError, BatchError, KeyboardInterrupt) as error:
            cause = "interrupted" if isinstance(error, KeyboardInterrupt) else getattr(error, "strerror", None) or error
            message = f"The gallery was not written: {cause}"
            advice = f"The images are stored. To retry: ideogram-async batch gallery {self.folder}"
            print_error(message, advice, as_json=self.as_json, name="Gallery", billed=None)
            return None


def _print_failure(error: Exception, *, as_json: bool) -> Exit:
    """Print the error that ended a batch after its calls in flight finished."""
    match error:
        case InvalidJobsError():
            status = "earlier jobs are kept" if error.has_earlier_jobs else NOTHING_SENT
            print_problems(error.name, error.problems, as_json=as_json, status=status)
            return Exit.USAGE
        case UsageError():
            print_error(str(error), error.advice, as_json=as_json)
            return Exit.USAGE
        case IdeogramError():
            return print_ideogram_error(error, as_json=as_json, ends_batch=True)
        case OSError():
            message = f"{error.filename or 'The input'} cannot be read: {error.strerror or error}"
            advice = "Earlier jobs are kept; run the same command to resume."
            print_error(message, advice, as_json=as_json, name=type(error).__name__, billed=None)
            return Exit.USAGE
        case _:
            return print_bug(error, as_json=as_json)
