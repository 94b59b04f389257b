"""`batch plan`, `run`, `status`, `resolve`, `gallery` and `export`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from ideogram_async.cli.exits import Exit, of_report
from ideogram_async.cli.options import Json
from ideogram_async.cli.say import UsageError, console, say_json

# What a command needs is imported when it is called: it takes longer to load than the rest takes to answer.

__all__ = ["NAMES", "app"]

NAMES = ("plan", "run", "status", "resolve", "gallery", "export")
WORDS = """Run many jobs into a folder. What was paid for is on disk, and nothing is paid twice.

A jobs file has a JSON object a line: `{"operation": "generate", "id": "fox", "prompt": "a red fox"}`. A file field is
a path relative to the file, or an image of an earlier job: `"image": {"job": "fox", "index": 0}`. A `.csv` file has a
header with the same names; there `job:fox#0` is an image of an earlier job, and `;` separates the items of a list."""
Switch = Parameter(negative=(), show_default=False)


def app(section: Group) -> App:
    """Make the group of commands, to be listed in that section."""
    group = App(name="batch", help=WORDS, group=section)
    for command in (plan, run_file, status, resolve, gallery, export):
        group.command(command, name="run" if command is run_file else command.__name__)

    return group


def plan(file: Path, *, json: Json = False) -> int:
    """Say what a jobs file would make and cost, and what is wrong with it. Sends nothing.

    Args:
        file: The jobs, as JSON lines or CSV.
    """
    from ideogram_async.cli.jobs import JobsFile
    from ideogram_async.cli.plan import plan_file

    return asyncio.run(plan_file(JobsFile(file), as_json=json))


def run_file(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    folder: Path,
    *,
    max_cost_usd: str | None = None,
    retry_ambiguous: Annotated[bool, Switch] = False,
    names: str | None = None,
    ordered: Annotated[bool, Switch] = False,
    sidecars: Annotated[bool, Switch] = False,
    max_downloads: int = 16,
    sandbox: Annotated[bool, Switch] = False,
    gallery: bool | None = None,
    json: Json = False,
) -> int:
    """Run a jobs file into a folder. The same command goes on where an earlier run ended, however it ended.

    Ctrl-C stops sending, and finishes what is on its way; a second one gives that up.

    Args:
        file: The jobs, as JSON lines or CSV; `-` reads JSON lines from standard input as they come.
        folder: Where images go, and the journal.
        max_cost_usd: The most that may be spent, earlier runs included, and what is in doubt.
        retry_ambiguous: Send jobs once more that may have run. That can pay twice.
        names: How files are called, such as `{id}-{seed}-{index}`.
        ordered: Tell results in the order of the input, not as they are ready.
        sidecars: Write a JSON file beside each image.
        max_downloads: Images that are downloaded at once.
        sandbox: Run against a sandbox on this machine: needs no key, and buys nothing.
        gallery: Make a page of all images at the end; made with `--sandbox` anyway.
    """
    from ideogram_async.cli.run import can_draw, run
    from ideogram_async.cli.running import Options

    options = Options(
        max_cost_usd=max_cost_usd,
        retry_ambiguous=retry_ambiguous,
        names=names,
        ordered=ordered,
        sidecars=sidecars,
        max_downloads=max_downloads,
    )
    with_gallery = sandbox and can_draw() if gallery is None else gallery
    return run(file, folder, options, sandbox=sandbox, gallery=with_gallery, as_json=json)


def status(folder: Path, *, json: Json = False) -> int:
    """Say what a folder holds, what it cost, and what is left to decide.

    Args:
        folder: The folder of a batch; one may be at work in it.
    """
    from ideogram_async.batch.folder import Folder
    from ideogram_async.cli.summary import say_report, tell_report

    report = Folder(folder).report()
    code = of_report(report)
    if json:
        tell_report(report, folder, None, code)
    else:
        say_report(report, folder, took=False)

    return code


def resolve(
    folder: Path, id: str, how: Literal["lost", "retry", "adopt"], *, url: str | None = None, json: Json = False
) -> int:
    """Decide what becomes of a job that may have run, and may have been paid for. Sends nothing.

    Args:
        folder: The folder of the batch.
        id: The job's id, or its key.
        how: `lost` gives it up, `retry` lets the next run send it again, `adopt` lets the next run download `--url`.
        url: The link of the image, for `adopt`.
    """
    from ideogram_async.batch.folder import Folder

    try:
        result = Folder(folder).resolve(id, how, url)
    except ValueError as error:
        raise UsageError(str(error)) from None

    if json:
        say_json({"event": "Resolved", "id": result.id, "key": result.key, "state": result.state})
    else:
        console().print(f"{id}: {result.state}")

    return Exit.OK


def gallery(folder: Path, *, json: Json = False) -> int:
    """Make a page of all images, to be opened without a network.

    Args:
        folder: The folder of the batch.
    """
    from ideogram_async.cli.run import make_gallery

    page = make_gallery(folder)
    _say_path("Gallery", page, as_json=json)
    return Exit.OK


def export(folder: Path, target: Path, *, json: Json = False) -> int:
    """Write what a folder holds into a table with a row an image, or JSON lines with one a job.

    Args:
        folder: The folder of the batch.
        target: The file to write; `.csv` is a table, `.jsonl` JSON lines.
    """
    from ideogram_async.batch.folder import Folder

    match target.suffix.lower():
        case ".csv":
            path = Folder(folder).export_csv(target)
        case ".jsonl":
            path = Folder(folder).export_jsonl(target)
        case suffix:
            raise UsageError(f"{target}: the name must end in .csv or .jsonl, not {suffix or 'nothing'}")

    _say_path("Exported", path, as_json=json)
    return Exit.OK


def _say_path(event: str, path: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"event": event, "path": path.resolve()})
    else:
        console().print(str(path.resolve()), soft_wrap=True)
