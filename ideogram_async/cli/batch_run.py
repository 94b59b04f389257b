"""Command `batch run`: check of the file, run, report and gallery."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from ideogram_async import Ideogram, Report
from ideogram_async.batch import Folder
from ideogram_async.cli.batch_check import check_jobs, print_problems
from ideogram_async.cli.batch_folder import INSTALL, can_draw, write_gallery
from ideogram_async.cli.batch_loop import Outcome, run_batch
from ideogram_async.cli.console import Exit, exit_code_for_report, run_async, spinner, worst
from ideogram_async.cli.errors import UsageError, print_bug, print_error, print_ideogram_error
from ideogram_async.cli.jobs_file import InvalidJobsError, JobsFile, read_stdin_jobs
from ideogram_async.cli.options import BatchRunOptions, Json, Switch, client_from_environment
from ideogram_async.cli.report import print_report
from ideogram_async.errors import BatchError, Billed, IdeogramError

STDIN = Path("-")
LATENCY = (0.2, 0.8)
"""Seconds for a call to the sandbox; the service takes longer."""


def run(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    folder: Path,
    /,
    *,
    options: BatchRunOptions = BatchRunOptions(),  # noqa: B008  immutable
    sandbox: Annotated[bool, Switch] = False,
    gallery: bool | None = None,
    json: Json = False,
) -> int:
    """Run `batch run`.

    Args:
        file: The jobs, as JSON lines, or a table if it ends in `.csv`; `-` reads JSON lines from standard input as
            they arrive.
        folder: The folder for images and the journal.
        sandbox: Run against a sandbox on this machine: needs no key, and costs nothing.
        gallery: Write a page of all images at the end; the default with `--sandbox`.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a batch needs a folder", "Name another folder.")

    if gallery and not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow.", INSTALL)

    batch_run = BatchRun(file, folder, options, sandbox=sandbox, as_json=json)
    try:
        outcome = run_async(batch_run.run())
        if outcome is None:
            return Exit.USAGE

        return batch_run.finish(outcome, with_gallery=sandbox and can_draw() if gallery is None else gallery)
    except KeyboardInterrupt:
        if not batch_run.has_begun:
            raise

        advice = f"To see the jobs: ideogram-async batch status {folder}"
        # A further interrupt must not reach the handler that reports that nothing was sent.
        with suppress(KeyboardInterrupt):
            print_error("Interrupted.", advice, as_json=json, name="Interrupted", billed=Billed.UNKNOWN)

        return Exit.INTERRUPTED


@attrs.define
class BatchRun:
    """A run of a jobs file into a folder."""

    file: Path
    folder: Path
    options: BatchRunOptions
    sandbox: bool = attrs.field(kw_only=True)
    as_json: bool = attrs.field(kw_only=True)
    has_begun: bool = attrs.field(default=False, init=False)
    """Whether a call may have been sent."""

    async def run(self) -> Outcome | None:
        """Check the whole file, then run it. Return `None` after printing its faults."""
        async with _open_client(sandbox=self.sandbox) as client:
            if self.file == STDIN:
                return await self._send(client, None, None)

            jobs = JobsFile(self.file)
            with spinner(f"Checking {self.file}", as_json=self.as_json):
                plan, problems = await check_jobs(client, jobs)

            if problems:
                print_problems(str(self.file), problems, as_json=self.as_json)
                return None

            return await self._send(client, jobs, plan.jobs)

    def finish(self, outcome: Outcome, *, with_gallery: bool) -> Exit:
        """Print the report, write the gallery, and return the exit code."""
        report = _folder_report(self.folder, outcome.report) if outcome.is_aborted else outcome.report
        codes = [exit_code_for_report(report)] + [Exit.INTERRUPTED] * outcome.is_aborted
        if outcome.error is not None:
            report = attrs.evolve(report, stopped="by the error above")
            codes.append(_print_failure(outcome.error, as_json=self.as_json))

        page = self._write_gallery() if with_gallery and report.images_stored and not outcome.is_aborted else None
        code = worst(codes)
        note = "in the sandbox only" if self.sandbox else ""
        print_report(report, self.folder, code, as_json=self.as_json, total=outcome.total, page=page, note=note)
        return code

    async def _send(self, client: Ideogram, jobs: JobsFile | None, total: int | None) -> Outcome:
        source = read_stdin_jobs() if jobs is None else jobs.read()
        self.has_begun = True
        try:
            return await run_batch(client, source, self.folder, self.options, total=total, as_json=self.as_json)
        except ValueError as error:
            raise UsageError(_name_option(str(error)), "Correct the option.") from None
        except OSError as error:
            message = f"{self.folder} cannot be used: {error.strerror or error}"
            raise UsageError(message, "Free some space, or name another folder.") from None

    def _write_gallery(self) -> Path | None:
        """Write the gallery if possible: a failure must not hide the report."""
        try:
            return write_gallery(self.folder, as_json=self.as_json)
        except (OSError, BatchError, KeyboardInterrupt) as error:
            cause = "interrupted" if isinstance(error, KeyboardInterrupt) else getattr(error, "strerror", None) or error
            message = f"The gallery was not written: {cause}"
            advice = f"The images are stored. To retry: ideogram-async batch gallery {self.folder}"
            print_error(message, advice, as_json=self.as_json, name="Gallery", billed=None)
            return None


@asynccontextmanager
async def _open_client(*, sandbox: bool) -> AsyncGenerator[Ideogram]:
    """Open a client that is configured by the environment, or one of a sandbox."""
    if not sandbox:
        async with client_from_environment() as client:
            yield client

        return

    from ideogram_async.sandbox import Sandbox

    if find_spec("PIL") is None:
        raise UsageError("The sandbox needs Pillow.", INSTALL)

    async with Sandbox(latency=LATENCY) as box, Ideogram("sandbox", base_url=box.url) as client:
        yield client


def _folder_report(folder: Path, report: Report) -> Report:
    """Return the report of the folder, since results of aborted calls were not delivered."""
    try:
        complete = Folder(folder).report()
    except BatchError:
        return report

    return attrs.evolve(complete, stopped="interrupted twice", elapsed=report.elapsed, throttled=report.throttled)


def _print_failure(error: Exception, *, as_json: bool) -> Exit:
    """Print the error that ended a batch after its calls in flight finished."""
    match error:
        case InvalidJobsError():
            print_problems(error.name, error.problems, as_json=as_json, status="earlier jobs are kept")
            return Exit.USAGE
        case IdeogramError():
            return print_ideogram_error(error, as_json=as_json)
        case OSError():
            message = f"{error.filename or 'The input'} cannot be read: {error.strerror or error}"
            print_error(message, "Earlier jobs are kept; run the same command to resume.", as_json=as_json)
            return Exit.USAGE
        case _:
            return print_bug(error, as_json=as_json)


def _name_option(message: str) -> str:
    """Replace the name of a parameter by that of its option. The error of a malformed template contains none."""
    for name in ("max_cost_usd", "max_downloads", "names"):
        if name in message:
            return message.replace(f"'{name}'", name).replace(name, "--" + name.replace("_", "-"))

    return f"--names: {message}"
