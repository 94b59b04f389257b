"""Command group `batch`: many jobs into a folder, and commands on that folder."""

from __future__ import annotations

from cyclopts import App, Group

from ideogram_async.cli.groups import make_group

HELP = """Run many jobs into a folder, with checkpoints: after a crash the same command resumes. Nothing is paid twice.

A jobs file has one JSON object per line:

`{"operation": "generate", "id": "fox", "prompt": "a red fox", "num_images": 2}`

`{"operation": "upscale", "id": "large", "image": {"job": "fox", "index": 0}}`

An `operation` is any command that makes images. The fields are its options, with `_` instead of `-`. A file is a path
relative to the jobs file, or an image of an earlier job. The `id` names the job and its files; by default its content
does.

A table, `.csv`, `.tsv` or `.xlsx`, has a header with the same names, and a row for each job. There `job:fox#0` is an
image of an earlier job, and `;` separates the items of a list. A `.txt` file has one prompt per line. Other lists are
run with `--operation`, `--column`, `--set` and `--ignore-columns`; `batch plan` shows how the list was read."""

PLAN = "Check a jobs file: its images, its cost, and each fault with its line. Sends nothing."

RUN = """Run a jobs file into a folder. The same command resumes an earlier run.

Ctrl-C, SIGTERM, SIGHUP or a closed output, such as `| head`, stops sending and waits for calls in flight. A second
Ctrl-C or SIGTERM aborts them; they may still be billed."""

COLLECT = """Download the images of a folder that were billed and are not on disk. Sends no request that costs money.

It also waits for accepted jobs, which needs the API key, and downloads again a file that was deleted."""

STATUS = "Show the jobs of a folder, their cost, and jobs to resolve, also while a batch is running."

RESOLVE = """Resolve an ambiguous job: one that may have run, and may have been billed. Sends nothing.

`lost` gives it up; its price counts as spent. That also ends a job whose images cannot be downloaded. `retry` lets the
next run send it again, which may be billed twice. `adopt` lets the next run download `--url`, if you have found its
image."""

GALLERY = """Write a page to look through the images and pick from them, without network: `gallery.html` in the folder.

It shows, searches, groups and compares images, and saves those that you pick as a jobs file for `batch run`."""
EXPORT = "Export a folder to a table with one row per image, or to JSON lines with one line per job."

COMMANDS = {
    "plan": ("ideogram_async.cli.batch.check:plan", PLAN),
    "run": ("ideogram_async.cli.batch.run:run", RUN),
    "collect": ("ideogram_async.cli.batch.run:collect", COLLECT),
    "status": ("ideogram_async.cli.batch.folder:status", STATUS),
    "resolve": ("ideogram_async.cli.batch.folder:resolve", RESOLVE),
    "gallery": ("ideogram_async.cli.batch.folder:gallery", GALLERY),
    "export": ("ideogram_async.cli.batch.folder:export", EXPORT),
}
"""Commands with their import path and help, so that listing them does not import them."""


def make_batch_app(section: Group) -> App:
    """Return the command group, to be listed in that section of the help."""
    return make_group("batch", HELP, COMMANDS, section)
