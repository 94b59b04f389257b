"""Command group `batch`: many jobs into a folder, and commands on that folder."""

from __future__ import annotations

from cyclopts import App, Group

HELP = """Run many jobs into a folder, with checkpoints: after a crash the same command resumes. Nothing is paid twice.

A jobs file has one JSON object per line:

`{"operation": "generate", "id": "fox", "prompt": "a red fox", "num_images": 2}`

`{"operation": "upscale", "id": "large", "image": {"job": "fox", "index": 0}}`

An `operation` is any command that makes images. The fields are its options, with `_` instead of `-`. A file is a path
relative to the jobs file, or an image of an earlier job. The `id` names the job and its files; by default its content
does.

A `.csv` file has a header with the same names, and a row for each job. There `job:fox#0` is an image of an earlier job,
and `;` separates the items of a list."""

PLAN = "Check a jobs file: its images, its cost, and each fault with its line. Sends nothing."

RUN = """Run a jobs file into a folder. The same command resumes an earlier run.

Ctrl-C stops sending and waits for calls in flight. Press it again to abort them; they may still be billed."""

STATUS = "Show the jobs of a folder, their cost, and jobs to resolve, also while a batch is running."

RESOLVE = """Resolve an ambiguous job: one that may have run, and may have been billed. Sends nothing.

`lost` gives it up; its price counts as spent. `retry` lets the next run send it again, which may be billed twice.
`adopt` lets the next run download `--url`, if you have found its image."""

GALLERY = "Write a page of all images, which needs no network: `gallery.html` in the folder."
EXPORT = "Export a folder to a table with one row per image, or to JSON lines with one line per job."

COMMANDS = {
    "plan": ("ideogram_async.cli.batch_check:plan", PLAN),
    "run": ("ideogram_async.cli.batch_run:run", RUN),
    "status": ("ideogram_async.cli.batch_folder:status", STATUS),
    "resolve": ("ideogram_async.cli.batch_folder:resolve", RESOLVE),
    "gallery": ("ideogram_async.cli.batch_folder:gallery", GALLERY),
    "export": ("ideogram_async.cli.batch_folder:export", EXPORT),
}
"""Commands with their import path and help, so that listing them does not import them."""


def make_batch_app(section: Group) -> App:
    """Return the command group, to be listed in that section of the help."""
    group = App(name="batch", help=HELP, group=section)
    for name, (path, text) in COMMANDS.items():
        group.command(path, name=name, help=text)

    return group
