"""`ideogram-async batch`: many jobs into a folder, and what can be done with that folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from ideogram_async.cli.batch_folder import export, gallery, resolve, status
from ideogram_async.cli.options import Asked, Json, Switch

NAMES = ("plan", "run", "status", "resolve", "gallery", "export")

WORDS = """Run many jobs into a folder. What was paid for is on disk, and nothing is paid twice.

A jobs file has a JSON object a line:

`{"operation": "generate", "id": "fox", "prompt": "a red fox", "num_images": 2}`

`{"operation": "upscale", "id": "large", "image": {"job": "fox", "index": 0}}`

An `operation` is any command that makes images, the fields are its options with `_` for `-`. A file is a path relative
to the jobs file, or an image of an earlier job. The `id` names files and jobs; without one the content does.

A `.csv` file has a header with the same names, and a row a job; there `job:fox#0` is an image of an earlier job, and
`;` separates the items of a list."""


def app(section: Group) -> App:
    """Make the group of commands, to be listed in that section."""
    group = App(name="batch", help=WORDS, group=section)
    for command in (plan, run_file, status, resolve, gallery, export):
        group.command(command, name="run" if command is run_file else command.__name__)

    return group


def plan(file: Path, /, *, json: Json = False) -> int:
    """Say what a jobs file would make and cost, and what is wrong with it. Sends nothing.

    Args:
        file: The jobs, as JSON lines, or a table if it ends in `.csv`.
    """
    from ideogram_async.cli.batch_check import plan_file
    from ideogram_async.cli.jobs_file import JobsFile

    return asyncio.run(plan_file(JobsFile(file), as_json=json))


def run_file(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    folder: Path,
    /,
    *,
    asked: Asked = Asked(),  # noqa: B008  a value that never changes
    sandbox: Annotated[bool, Switch] = False,
    gallery: bool | None = None,
    json: Json = False,
) -> int:
    """Run a jobs file into a folder. The same command goes on where an earlier run ended, however it ended.

    Ctrl-C stops sending, and finishes what is on its way. A second one gives that up; it may be paid for.

    Args:
        file: The jobs, as JSON lines, or a table if it ends in `.csv`; `-` reads JSON lines from standard input as
            they come.
        folder: Where images go, and the journal.
        sandbox: Run against a sandbox on this machine: needs no key, and buys nothing.
        gallery: Make a page of all images at the end; made with `--sandbox` anyway.
    """
    from ideogram_async.cli.batch_folder import can_draw
    from ideogram_async.cli.batch_run import run

    with_gallery = sandbox and can_draw() if gallery is None else gallery
    return run(file, folder, asked, sandbox=sandbox, gallery=with_gallery, as_json=json)
