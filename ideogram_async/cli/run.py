"""`batch run`: the first pass over the file, the run, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from attrs import define

from ideogram_async.cli.asked import Asked
from ideogram_async.cli.check import first_pass
from ideogram_async.cli.ending import Ending
from ideogram_async.cli.exits import Exit
from ideogram_async.cli.jobs import JobsFile, jobs_of_stdin
from ideogram_async.cli.pages import busy, can_draw
from ideogram_async.cli.plan import say_problems
from ideogram_async.cli.running import Outcome, run_through
from ideogram_async.cli.settings import client_of_environment
from ideogram_async.cli.trouble import UsageError, say_trouble
from ideogram_async.client import Ideogram
from ideogram_async.errors import Billed

__all__ = ["can_draw", "run"]

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
