"""Command `batch plan`: check of a jobs file, its images and its cost. Sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.text import Text

from ideogram_async import Ideogram, Job, LayerizeText, Plan
from ideogram_async._batch.dependencies import job_references
from ideogram_async._wire.encode import weight_of
from ideogram_async.cli.catalog import AnyRequest, rule_for_cli
from ideogram_async.cli.console import (
    Exit,
    console,
    escape,
    format_duration,
    format_usd,
    label_line,
    pluralize,
    print_json,
    run_async,
    spinner,
    to_json,
    to_json_fields,
)
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.jobs_file import JobsFile, Problem
from ideogram_async.cli.options import Json, client_without_key

MAX_LISTED = 20
"""Faults that are listed one by one."""


def plan(file: Path, /, *, json: Json = False) -> int:
    """Run `batch plan`.

    Args:
        file: The jobs, as JSON lines, or a table if it ends in `.csv`.
    """
    return run_async(_plan(JobsFile(file), as_json=json))


async def _plan(file: JobsFile, *, as_json: bool) -> Exit:
    client = client_without_key()
    with spinner(f"Checking {file.path}", as_json=as_json):
        plan, problems = await check_jobs(client, file)

    if as_json:
        print_json({"event": "Plan", "file": file.path, **to_json_fields(plan), "problems": problems})
        return Exit.USAGE if problems else Exit.OK

    for line in _summary(plan, file.path, int(client.limiter.statistics().limit)) if plan.jobs else ():
        console().print(line)

    if problems:
        print_problems(str(file.path), problems)

    return Exit.USAGE if problems else Exit.OK


async def check_jobs(client: Ideogram, file: JobsFile) -> tuple[Plan, list[Problem]]:
    """Read all jobs, and return the plan and every fault, by line. Sends nothing.

    Raises:
        UsageError: If the file cannot be read.
    """
    problems: list[Problem] = []
    try:
        plan = await client.plan(_check_references(file, problems))
    except OSError as error:
        message = f"{error.filename or file.path} cannot be read: {error.strerror or error}"
        raise UsageError(message, "Pass the path of a jobs file.") from None

    problems += [Problem(file.lines[index], field, rule) for index, field, rule in plan.problems]
    if not plan.jobs and not problems:
        problems.append(Problem(1, "", "the file contains no jobs"))

    return plan, sorted(problems, key=lambda problem: problem.line)


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
            counts[job.id] = _count_images(job.request)

        yield job


def _count_images(request: AnyRequest) -> int:
    # The image without text, and the original.
    return 2 if isinstance(request, LayerizeText) else weight_of(request)


def _summary(plan: Plan, path: Path, slots: int) -> Iterator[Text]:
    unpriced = f", and {pluralize(plan.unpriced, 'job')} of unknown price" if plan.unpriced else ""
    yield label_line("jobs", f"{pluralize(plan.jobs, 'job')} in {escape(path)}", "bold")
    yield label_line("images", f"{plan.images:,}")
    yield label_line("price", f"{format_usd(plan.usd)}{unpriced}")
    yield label_line("time", f"about {format_duration(plan.seconds_at_limit)}, with {slots} images in flight")
    if plan.duplicates:
        text = f"{pluralize(plan.duplicates, 'job')} with the content of an earlier job; each is billed"
        yield label_line("duplicates", text, "yellow")


def print_problems(
    name: str, problems: Sequence[Problem], *, as_json: bool = False, status: str = "nothing was sent or billed"
) -> None:
    """Print the faults of a jobs file.

    Args:
        name: The name of the file.
        problems: Its faults, by line.
        as_json: Whether to write JSON.
        status: The consequence.
    """
    message = f"{name} has {pluralize(len(problems), 'fault')}; {status}"
    if as_json:
        fields = {"error": "InvalidJobs", "message": message, "billed": "no", "problems": to_json(problems)}
        print_json({"event": "Error", **fields})
        return

    target = console(sys.stderr)
    target.print(Text.assemble(("✗ ", "bold red"), (escape(message), "bold")))
    for problem in problems[:MAX_LISTED]:
        line = (f"  line {problem.line:<4} ", "dim")
        field = (f"{escape(problem.field)} ", "bold") if problem.field else ""
        target.print(Text.assemble(line, field, escape(rule_for_cli(problem.rule))))

    more = f"and {len(problems) - MAX_LISTED:,} more, listed by --json; " if len(problems) > MAX_LISTED else ""
    target.print(Text(f"  {more}correct them, then run the same command", "dim"))
