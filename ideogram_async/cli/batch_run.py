"""`batch run`: the first pass over the file, the run, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import attrs
from attrs import define, frozen

from ideogram_async._batch.folder import Folder
from ideogram_async._batch.report import Report
from ideogram_async._client import Ideogram
from ideogram_async.cli.batch_check import first_pass, say_problems
from ideogram_async.cli.batch_folder import busy, can_draw, make_gallery
from ideogram_async.cli.batch_loop import Outcome, run_through
from ideogram_async.cli.console import Exit, of_error, of_report, worst
from ideogram_async.cli.errors import UsageError, say_error, say_trouble
from ideogram_async.cli.jobs_file import InvalidJobsError, JobsFile, jobs_of_stdin
from ideogram_async.cli.options import Asked, client_of_environment
from ideogram_async.cli.report import say_report, tell_report
from ideogram_async.errors import BatchError, Billed, IdeogramError


@frozen
class Ending:
    """Tells how a run into a folder ended."""

    folder: Path
    sandbox: bool = attrs.field(kw_only=True)
    as_json: bool = attrs.field(kw_only=True)

    def tell(self, outcome: Outcome, *, with_page: bool) -> Exit:
        """Tell how it ended, and return the exit code."""
        is_given_up = outcome.interrupts > 1
        report = _of_folder(self.folder, outcome.report) if is_given_up else outcome.report
        codes = [of_report(report)] + [Exit.INTERRUPTED] * is_given_up
        if outcome.error is not None:
            report = attrs.evolve(report, stopped="by what is told above")
            codes.append(_say_end_of_input(outcome.error, as_json=self.as_json))

        page = self._page() if with_page and report.images_stored and not is_given_up else None
        code = worst(codes)
        if self.as_json:
            tell_report(report, self.folder, page, code)
        else:
            note = "in the sandbox only" if self.sandbox else ""
            say_report(report, self.folder, total=outcome.total, page=page, note=note)

        return code

    def _page(self) -> Path | None:
        """Make the page if that can be done: what was paid for is told whatever comes of it."""
        try:
            return make_gallery(self.folder, as_json=self.as_json)
        except (OSError, BatchError, KeyboardInterrupt) as error:
            why = "interrupted" if isinstance(error, KeyboardInterrupt) else getattr(error, "strerror", None) or error
            advice = f"The images are there; try again: ideogram-async batch gallery {self.folder}"
            say_trouble(f"The gallery was not made: {why}", advice, as_json=self.as_json, name="Gallery", billed=None)
            return None


def _of_folder(folder: Path, report: Report) -> Report:
    """Ask the journal: results of what was given up were told to nobody."""
    try:
        found = Folder(folder).report()
    except BatchError:
        return report

    return attrs.evolve(found, stopped="interrupted twice", elapsed=report.elapsed, throttled=report.throttled)


def _say_end_of_input(error: Exception, *, as_json: bool) -> Exit:
    """Say what kept a batch from going on, though what was on its way was finished."""
    match error:
        case InvalidJobsError():
            say_problems(error.name, error.problems, as_json=as_json, so_far="what came before it is kept")
            return Exit.USAGE
        case IdeogramError():
            say_error(error, as_json=as_json)
            return of_error(error)
        case OSError():
            words = f"{error.filename or 'The input'} cannot be read: {error.strerror or error}"
            say_trouble(words, "What came before it is kept; run it again to go on.", as_json=as_json)
            return Exit.USAGE
        case _:
            words, advice = f"{type(error).__name__}: {error}", "This is a fault of the program itself."
            say_trouble(words, advice, as_json=as_json, name=type(error).__name__, billed=Billed.UNKNOWN)
            return Exit.FAILED


STDIN = Path("-")

LATENCY = (0.2, 0.8)

"""Seconds that the sandbox takes for a call; the service takes some more."""

EXTRA = "Install them: pip install 'ideogram-async[cli]'"


def run(file: Path, folder: Path, asked: Asked, *, sandbox: bool, gallery: bool, as_json: bool) -> int:
    """Run the file's jobs into the folder, and return the exit code."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a batch needs a folder", "Name another folder.")

    if gallery and not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow.", EXTRA)

    work = _Work(file, folder, asked, sandbox=sandbox, as_json=as_json)
    try:
        outcome = asyncio.run(work.through())
        if outcome is None:
            return Exit.USAGE

        return Ending(folder, sandbox=sandbox, as_json=as_json).tell(outcome, with_page=gallery)
    except KeyboardInterrupt:
        if not work.has_begun:
            raise

        advice = f"What became of it: ideogram-async batch status {folder}"
        # Not even one more may get further: whoever is there would say that nothing was sent.
        with suppress(KeyboardInterrupt):
            say_trouble("Interrupted.", advice, as_json=as_json, name="Interrupted", billed=Billed.UNKNOWN)

        return Exit.INTERRUPTED


@define
class _Work:
    """A jobs file on its way into a folder."""

    file: Path
    folder: Path
    asked: Asked
    sandbox: bool
    as_json: bool
    has_begun: bool = False
    """Whether something may have been sent."""

    async def through(self) -> Outcome | None:
        """Check the file as a whole, then run it; `None` if it has faults, which have been told then."""
        async with _client(sandbox=self.sandbox) as client:
            if self.file == STDIN:
                return await self._run(client, None)

            jobs = JobsFile(self.file)
            with busy(f"Checking {self.file}", as_json=self.as_json):
                plan, problems = await first_pass(client, jobs)

            if problems:
                say_problems(str(self.file), problems, as_json=self.as_json)
                return None

            return await self._run(client, jobs, total=plan.jobs)

    async def _run(self, client: Ideogram, jobs: JobsFile | None, total: int | None = None) -> Outcome:
        source = jobs_of_stdin() if jobs is None else jobs.read()
        self.has_begun = True
        try:
            return await run_through(client, source, self.folder, self.asked, total=total, as_json=self.as_json)
        except ValueError as error:
            raise UsageError(_optioned(str(error)), "Correct the option.") from None
        except OSError as error:
            words = f"{self.folder} cannot be used: {error.strerror or error}"
            raise UsageError(words, "Make room there, or name another folder.") from None


def _optioned(words: str) -> str:
    """Name an option as it is written here; the template of names fails in words of Python."""
    for name in ("max_cost_usd", "max_downloads", "names"):
        if name in words:
            return words.replace(f"'{name}'", name).replace(name, "--" + name.replace("_", "-"))

    return f"--names: {words}"


@asynccontextmanager
async def _client(*, sandbox: bool) -> AsyncGenerator[Ideogram]:
    """Open a client: of the environment, or of a sandbox that lives as long."""
    if not sandbox:
        async with client_of_environment() as client:
            yield client

        return

    from ideogram_async.sandbox import Sandbox

    if find_spec("PIL") is None:
        raise UsageError("The sandbox draws with Pillow.", EXTRA)

    async with Sandbox(latency=LATENCY) as box, Ideogram("sandbox", base_url=box.url) as client:
        yield client
