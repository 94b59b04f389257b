"""Commands `batch run` and `batch collect`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ideogram_async import Ideogram
from ideogram_async.batch import Folder
from ideogram_async.cli.batch.check import check_jobs, print_problems
from ideogram_async.cli.batch.folder import INSTALL, BatchFolder, can_draw, open_page
from ideogram_async.cli.batch.jobs_file import JobsFile, read_stdin_jobs
from ideogram_async.cli.batch.options import BatchRunOptions, JobsFileOptions
from ideogram_async.cli.batch.session import BatchRun
from ideogram_async.cli.batch.start import confirm_run, new_resumption, print_dry_run
from ideogram_async.cli.console import spinner
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.options import Json, Switch
from ideogram_async.cli.settings import DEFAULT_SETTINGS, Settings, require_key

STDIN = Path("-")
LATENCY = (0.2, 0.8)
"""Seconds for a call to the sandbox; the service takes longer."""


def run(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    folder: Path | None = None,
    /,
    *,
    lists: JobsFileOptions = JobsFileOptions(),  # noqa: B008  immutable
    options: BatchRunOptions = BatchRunOptions(),  # noqa: B008  immutable
    settings: Settings = DEFAULT_SETTINGS,
    sandbox: Annotated[bool, Switch] = False,
    gallery: bool | None = None,
    open: Annotated[bool, Switch] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, Switch] = False,
    json: Json = False,
) -> int:
    """Run `batch run`.

    Args:
        file: The jobs: JSON lines, or `.csv`, `.tsv`, `.xlsx`, `.json`, or `.txt` with one prompt per line; `-` is
            JSON lines from standard input. A pipe is read as its lines arrive; any other file is checked completely
            before anything is sent.
        folder: The folder for images and the journal; with `--input-dir` the only argument.
        sandbox: Run against a sandbox on this machine: needs no key, and costs nothing.
        gallery: Write a page of all images at the end; the default with `--sandbox`.
        open: Open the gallery in the browser. Without a display, only its path is printed.
        yes: Do not ask before a run of more than 25 USD, or of jobs with an unknown price. Without a terminal, with
            `--max-cost-usd` and with `--sandbox` there is no question.
        dry_run: Print what would be sent and what it would cost, and send nothing. Needs no API key.
    """
    file, folder = lists.paths(file, folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a batch needs a folder", "Name another folder.")

    if folder.parts[:1] == ("~",):
        raise UsageError(f"{folder} begins with ~, which shells do not expand in quotes", "Write it without quotes.")

    options.check()
    if dry_run:
        return run_async(_dry_run(file, lists, folder, options, settings, as_json=json))

    if (gallery or open) and not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow.", INSTALL)

    batch_run = BatchRun(folder, settings, as_json=json, note="in the sandbox only" if sandbox else "")
    with_gallery = open or (sandbox and can_draw()) if gallery is None else gallery
    is_confirmed = yes or sandbox or options.max_cost_usd is not None
    code = batch_run.run(
        _run(batch_run, file, lists, options, sandbox=sandbox, is_confirmed=is_confirmed), with_gallery=with_gallery
    )
    if open and batch_run.page is not None:
        open_page(batch_run.page)

    return code


def collect(
    folder: BatchFolder,
    /,
    *,
    max_downloads: int = 16,
    settings: Settings = DEFAULT_SETTINGS,
    json: Json = False,
) -> int:
    """Run `batch collect`.

    Args:
        max_downloads: Maximum number of concurrent downloads.
    """
    BatchRunOptions(max_downloads=max_downloads).check()
    # Without a journal there is nothing to collect, and a batch would create one.
    Folder(folder).report()
    batch_run = BatchRun(folder, settings, as_json=json)
    return batch_run.run(_collect(batch_run, max_downloads))


async def _dry_run(
    file: Path, lists: JobsFileOptions, folder: Path, options: BatchRunOptions, settings: Settings, *, as_json: bool
) -> int:
    if file == STDIN:
        raise UsageError("--dry-run needs a file, not standard input", "Save the jobs to a file.")

    client = settings.client()
    return await print_dry_run(
        client, lists.open(file), folder, options, as_json=as_json, is_silent=as_json or settings.is_quiet
    )


async def _run(
    batch_run: BatchRun,
    file: Path,
    lists: JobsFileOptions,
    options: BatchRunOptions,
    *,
    sandbox: bool,
    is_confirmed: bool,
) -> None:
    """Check the file if it can be read twice, then the key, ask before an expensive run, then run it."""
    async with _open_client(batch_run.settings, sandbox=sandbox) as client:
        source = read_stdin_jobs(lists.parse()) if file == STDIN else lists.open(file)
        resumption, plan = new_resumption(batch_run.folder, options), None
        if isinstance(source, JobsFile) and not source.is_stream:
            with spinner(f"Checking {file}", is_shown=not batch_run.is_silent):
                plan, problems = await check_jobs(client, source, resumption)

            if problems:
                print_problems(str(file), problems, as_json=batch_run.as_json)
                return

        if not sandbox:
            require_key()

        if plan is not None and not is_confirmed:
            await confirm_run(client, resumption, plan)

        jobs = source.read() if isinstance(source, JobsFile) else source
        await batch_run.send(client, jobs, options, total=None if plan is None else plan.jobs)


async def _collect(batch_run: BatchRun, max_downloads: int) -> None:
    async with batch_run.settings.client() as client:
        await batch_run.collect(client, max_downloads)


@asynccontextmanager
async def _open_client(settings: Settings, *, sandbox: bool) -> AsyncGenerator[Ideogram]:
    """Open a client that is configured by the environment, or one of a sandbox."""
    if not sandbox:
        async with settings.client() as client:
            yield client

        return

    from ideogram_async.sandbox import Sandbox

    if find_spec("PIL") is None:
        raise UsageError("The sandbox needs Pillow.", INSTALL)

    async with (
        Sandbox(latency=LATENCY) as box,
        settings.client(api_key="sandbox", base_url=box.url) as client,
    ):
        yield client
