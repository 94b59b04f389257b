"""`batch run`: the first pass, the run, the report and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import attrs

from ideogram_async.batch.folder import Folder
from ideogram_async.batch.report import Report
from ideogram_async.cli.check import first_pass
from ideogram_async.cli.exits import Exit, of_error, of_report, worst
from ideogram_async.cli.jobs import InvalidJobsError, JobsFile, jobs_of_stdin
from ideogram_async.cli.plan import say_problems
from ideogram_async.cli.running import Options, Outcome, run_through
from ideogram_async.cli.say import UsageError, say_error, say_usage
from ideogram_async.cli.settings import client_of_environment
from ideogram_async.cli.summary import say_report, tell_report
from ideogram_async.client import Ideogram
from ideogram_async.errors import BatchError, IdeogramError

__all__ = ["can_draw", "make_gallery", "run"]

STDIN = Path("-")
LATENCY = (0.2, 0.8)
"""Seconds that the sandbox takes for a call; the service takes some more."""


def run(file: Path, folder: Path, options: Options, *, sandbox: bool, gallery: bool, as_json: bool) -> int:
    """Run the file's jobs into the folder, and return the exit code."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a batch needs a folder")

    if gallery and not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow: pip install 'ideogram-async[cli]'; nothing was sent")

    return asyncio.run(_run(file, folder, options, sandbox=sandbox, gallery=gallery, as_json=as_json))


def make_gallery(folder: Path) -> Path:
    """Make the page.

    Raises:
        UsageError: If what draws it is not installed.
    """
    if not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow: pip install 'ideogram-async[cli]'")

    return Folder(folder).gallery()


def can_draw() -> bool:
    """Whether what draws the page is installed."""
    return find_spec("jinja2") is not None and find_spec("PIL") is not None


def _page(folder: Path) -> Path | None:
    """Make the page if that can be done: what was paid for is told whatever comes of it."""
    try:
        return make_gallery(folder)
    except OSError as error:
        say_usage(f"The gallery cannot be written: {error.strerror or error}")
        return None


async def _run(file: Path, folder: Path, options: Options, *, sandbox: bool, gallery: bool, as_json: bool) -> Exit:
    async with _client(sandbox=sandbox) as client:
        jobs, total = (jobs_of_stdin() if file == STDIN else JobsFile(file)), None
        if isinstance(jobs, JobsFile):
            plan, problems = await first_pass(client, jobs)
            total = plan.jobs
            if problems:
                say_problems(str(file), problems, as_json=as_json)
                return Exit.USAGE

        try:
            source = jobs.read() if isinstance(jobs, JobsFile) else jobs
            outcome = await run_through(client, source, folder, options, total=total, as_json=as_json)
        except ValueError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{folder} cannot be used: {error.strerror or error}") from None

    return _end(outcome, folder, total, sandbox=sandbox, gallery=gallery, as_json=as_json)


def _end(outcome: Outcome, folder: Path, total: int | None, *, sandbox: bool, gallery: bool, as_json: bool) -> Exit:
    is_given_up = outcome.interrupts > 1
    report = _of_folder(folder, outcome.report) if is_given_up else outcome.report
    page = _page(folder) if gallery and report.images_stored and not is_given_up else None
    codes = [of_report(report)] + [Exit.INTERRUPTED] * is_given_up
    if outcome.error is not None:
        report = attrs.evolve(report, stopped="by what is told above")
        codes.append(_say_input_error(outcome.error, as_json=as_json))

    code = worst(codes)
    if as_json:
        tell_report(report, folder, page, code)
    else:
        note = "in the sandbox only" if sandbox else ""
        say_report(report, folder, total=None if is_given_up else total, page=page, note=note)

    return code


def _of_folder(folder: Path, report: Report) -> Report:
    """Ask the journal: results of what was given up were told to nobody."""
    try:
        found = Folder(folder).report()
    except BatchError:
        return report

    return attrs.evolve(found, stopped="interrupted twice", elapsed=report.elapsed, throttled=report.throttled)


def _say_input_error(error: Exception, *, as_json: bool) -> Exit:
    match error:
        case InvalidJobsError():
            say_problems(error.name, error.problems, as_json=as_json, so_far="what came before is kept")
            return Exit.USAGE
        case IdeogramError():
            say_error(error, as_json=as_json)
            return of_error(error)
        case OSError():
            say_usage(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), as_json=as_json)
            return Exit.USAGE
        case _:
            say_usage(f"{type(error).__name__}: {error}", as_json=as_json)
            return Exit.FAILED


@asynccontextmanager
async def _client(*, sandbox: bool) -> AsyncGenerator[Ideogram]:
    """Open a client: of the environment, or of a sandbox that lives as long."""
    if not sandbox:
        async with client_of_environment() as client:
            yield client

        return

    from ideogram_async.sandbox import Sandbox

    if find_spec("PIL") is None:
        raise UsageError("The sandbox draws with Pillow: pip install 'ideogram-async[cli]'")

    async with Sandbox(latency=LATENCY) as box, Ideogram("sandbox", base_url=box.url) as client:
        yield client
