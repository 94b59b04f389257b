"""Command `batch plan`: check of a jobs file, its images and its cost. Sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from rich.text import Text

from ideogram_async import Ideogram, Job, Plan
from ideogram_async._batch.dependencies import job_references
from ideogram_async._batch.plan import make_plan
from ideogram_async._batch.resume import Resumption
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async._rows.problems import Problem, group_problems, list_items
from ideogram_async._wire.encode import image_count
from ideogram_async.cli.batch.jobs_file import JobsFile
from ideogram_async.cli.batch.options import JobsFileOptions
from ideogram_async.cli.batch.sources import source_as_json, source_lines
from ideogram_async.cli.catalog import rule_for_cli
from ideogram_async.cli.console import (
    console,
    escape,
    format_duration,
    label_line,
    print_item,
    print_json,
    print_label_line,
    print_wrapped,
    spinner,
    to_json,
    to_json_fields,
)
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.options import Json
from ideogram_async.cli.settings import Settings
from ideogram_async.errors import Billed

NOTHING_SENT = "nothing was sent or billed"
MAX_LISTED = 20
"""Faults that are listed one by one."""
MAX_COMPARED = 10_000
"""Names of a folder that are compared with one that does not exist."""
MAX_PLACE_WIDTH = 14
"""Columns to which the line numbers of a fault are padded."""


def plan(
    file: Path | None = None,
    /,
    *,
    lists: JobsFileOptions = JobsFileOptions(),  # noqa: B008  immutable
    json: Json = False,
) -> int:
    """Run `batch plan`.

    Args:
        file: The jobs: JSON lines, or `.csv`, `.tsv`, `.xlsx`, `.json`, or `.txt` with one prompt per line.
    """
    return run_async(_plan(lists.open(lists.path(file)), as_json=json))


async def _plan(file: JobsFile, *, as_json: bool) -> Exit:
    client = Settings().client()
    with spinner(f"Checking {file.path}", is_shown=not as_json):
        plan, problems = await check_jobs(client, file)

    if as_json:
        print_json(
            {
                "event": "Plan",
                "file": file.path,
                **to_json_fields(plan),
                "source": source_as_json(file),
                "problems": problems,
            }
        )
        return Exit.USAGE if problems else Exit.OK

    for line in _summary(plan, file.path, int(client.limiter.statistics().limit)) if plan.jobs else ():
        print_label_line(console(), line)

    for line in source_lines(file) if plan.jobs else ():
        print_label_line(console(), line)

    if problems:
        print_problems(str(file.path), problems)

    return Exit.USAGE if problems else Exit.OK


async def check_jobs(
    client: Ideogram, file: JobsFile, resumption: Resumption | None = None
) -> tuple[Plan, list[Problem]]:
    """Read all jobs, and return the plan and every fault, by line. Count what a run would send. Sends nothing.

    Raises:
        UsageError: If the file cannot be read.
    """
    problems: list[Problem] = []
    try:
        jobs = _check_references(file, problems)
        prices, config = client._prices, client._pipeline.config  # pyright: ignore[reportPrivateUsage]
        plan = await make_plan(jobs, prices, config, resumption)
    except OSError as error:
        message = f"{error.filename or file.path} cannot be read: {error.strerror or error}"
        raise UsageError(message, _path_advice(file.path, error)) from None

    problems += [Problem(file.lines[index], field, rule) for index, field, rule in plan.problems]
    if not plan.jobs and not problems:
        problems.append(
            Problem(1, "", f"the {'folder contains no images' if file.is_folder else 'file contains no jobs'}")
        )

    return plan, sorted(file.name_images(problems), key=lambda problem: problem.line)


def _path_advice(path: Path, error: OSError) -> str:
    """Return what to pass instead: for a missing path, the one in its folder whose name is closest."""
    names: list[str] = []
    with suppress(OSError):
        entries = path.parent.iterdir() if isinstance(error, FileNotFoundError) else iter(())
        names = [entry.name for entry in islice(entries, MAX_COMPARED)]

    close = get_close_matches(path.name, names, 1)
    return f"Did you mean {path.with_name(close[0])}?" if close else "Pass the path of a jobs file."


def _check_references(file: JobsFile, problems: list[Problem]) -> Iterator[Job]:
    """Yield the jobs and report references to images that a job does not make. The plan reports unknown jobs."""
    counts: dict[str, int] = {}
    for job in file.read(problems):
        for field, image in job_references(job.request):
            count = counts.get(image.id)
            if count is not None and image.index >= count:
                rule = f"refers to image {image.index} of job {image.id!r}, which makes {count} (counted from 0)"
                problems.append(Problem(file.lines[-1], field, rule))

        if job.id is not None:
            counts[job.id] = image_count(job.request)

        yield job


def duplicates(plan: Plan) -> Iterator[Text]:
    """Yield the line about jobs that are probably not wanted twice."""
    if plan.duplicates:
        text = f"{pluralize(plan.duplicates, 'job')} with the content of an earlier job; each is billed"
        yield label_line("repeated", text, "yellow")


def _summary(plan: Plan, path: Path, slots: int) -> Iterator[Text]:
    unpriced = f", and {pluralize(plan.unpriced, 'job')} of unknown price" if plan.unpriced else ""
    yield label_line("jobs", f"{pluralize(plan.jobs, 'job')} in {escape(path)}", "bold")
    yield label_line("images", f"{plan.images:,}")
    yield label_line("price", f"{format_usd(plan.usd)}{unpriced}")
    yield label_line("time", f"about {format_duration(plan.seconds_at_limit)}, with {slots} images in flight")
    yield from duplicates(plan)


def print_problems(
    name: str, problems: Sequence[Problem], *, as_json: bool = False, status: str = NOTHING_SENT
) -> None:
    """Print the faults of a jobs file.

    Args:
        name: The name of the file.
        problems: Its faults, by line.
        as_json: Whether to write JSON.
        status: The consequence.
    """
    groups = list(group_problems(problems).items())
    message = f"{name} has {pluralize(len(groups), 'fault')}; {status}"
    if as_json:
        billed = Billed.NO if status == NOTHING_SENT else None
        fields = {"error": "InvalidJobs", "message": message, "billed": billed, "problems": to_json(problems)}
        print_json({"event": "Error", **fields})
        return

    target = console(sys.stderr)
    print_item(target, "✗", "bold red", Text(escape(message), "bold"))
    places = [f"line{'s' * (len(lines) > 1)} {list_items(lines)}:" for _, lines in groups[:MAX_LISTED]]
    width = min(max(map(len, places), default=0), MAX_PLACE_WIDTH)
    for place, ((name, rule), _) in zip(places, groups, strict=False):
        field = (f"{escape(name)} ", "bold") if name else ""
        text = Text.assemble((f"{place:<{width}} ", "dim"), field, escape(rule_for_cli(rule)))
        print_wrapped(target, Text("  "), text, indent=4)

    more = f"and {len(groups) - MAX_LISTED:,} more, listed by --json; " if len(groups) > MAX_LISTED else ""
    them = "it" if len(groups) == 1 else "them"
    print_item(target, "", "", Text(f"{more}correct {them}, then run the same command", "dim"))
