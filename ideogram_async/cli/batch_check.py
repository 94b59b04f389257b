"""What a jobs file would make and cost, told to people and machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from ideogram_async._batch.dependencies import job_references
from ideogram_async._batch.job import Job
from ideogram_async._batch.report import Plan
from ideogram_async._client import Ideogram
from ideogram_async._wire.encode import weight_of
from ideogram_async.cli.batch_folder import busy
from ideogram_async.cli.catalog import worded
from ideogram_async.cli.console import Exit, console, count, labelled, money, plain, safe, say_json, span
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.jobs_file import JobsFile, Problem
from ideogram_async.cli.options import client_without_key
from ideogram_async.requests import LayerizeText


async def first_pass(client: Ideogram, file: JobsFile) -> tuple[Plan, list[Problem]]:
    """Go over all jobs, and return the plan and every fault in the order of its line. Sends nothing.

    Raises:
        UsageError: If the file cannot be read.
    """
    problems: list[Problem] = []
    try:
        plan = await client.plan(_chained(file, problems))
    except OSError as error:
        where = error.filename or file.path
        raise UsageError(f"{where} cannot be read: {error.strerror or error}", "Name the file with the jobs.") from None

    problems += [Problem(file.lines[place], field, rule) for place, field, rule in plan.problems]
    if not plan.jobs and not problems:
        problems.append(Problem(1, "", "the file holds no job"))

    return plan, sorted(problems, key=lambda problem: problem.line)


def _chained(file: JobsFile, problems: list[Problem]) -> Iterator[Job]:
    """Hand on the jobs, and judge whether the jobs that they name make such an image; the plan judges the rest."""
    made: dict[str, int] = {}
    for job in file.read(problems):
        line = file.lines[-1]
        problems += [Problem(line, field, rule) for field, rule in _faults(job, made)]
        if job.id is not None:
            made[job.id] = _count(job.request)

        yield job


def _faults(job: Job, made: dict[str, int]) -> Iterator[tuple[str, str]]:
    for field, earlier in job_references(job.request):
        count = made.get(earlier.id)
        if count is not None and earlier.index >= count:
            yield field, f"names image {earlier.index} of job {earlier.id!r}, which makes {count}, counted from 0"


def _count(request: Any) -> int:
    # The text-free image, and the one with its text.
    return 2 if isinstance(request, LayerizeText) else weight_of(request)


MOST_PROBLEMS = 20


async def plan_file(file: JobsFile, *, as_json: bool) -> Exit:
    """Go over a file, and tell what it would do; every fault has its line."""
    client = client_without_key()
    with busy(f"Checking {file.path}", as_json=as_json):
        plan, problems = await first_pass(client, file)

    if as_json:
        told = plain(plan) | {"problems": plain(problems)}
        say_json({"event": "Plan", "file": file.path, **told})
        return Exit.USAGE if problems else Exit.OK

    places = int(client.limiter.statistics().limit)
    for line in _summary(plan, file, places) if plan.jobs else ():
        console().print(line)

    if problems:
        say_problems(str(file.path), problems)

    return Exit.USAGE if problems else Exit.OK


def say_problems(
    name: str, problems: Sequence[Problem], *, as_json: bool = False, so_far: str = "nothing was sent, nothing was paid"
) -> None:
    """Tell what is wrong, line by line, and what had been done until then."""
    if as_json:
        said = [plain(problem) for problem in problems]
        message = f"{name} has {count(len(problems), 'fault')}; {so_far}"
        say_json({"event": "Error", "error": "InvalidJobs", "message": message, "billed": "no", "problems": said})
        return

    target = console(sys.stderr)
    words = f"{safe(name)} has {count(len(problems), 'fault')}; {so_far}"
    target.print(Text.assemble(("✗ ", "bold red"), (words, "bold")))
    for problem in problems[:MOST_PROBLEMS]:
        place = (f"  line {problem.line:<4} ", "dim")
        field = (f"{safe(problem.field)} ", "bold") if problem.field else ""
        target.print(Text.assemble(place, field, safe(worded(problem.rule))))

    more = (
        f"and {len(problems) - MOST_PROBLEMS:,} more, all told with --json; " if len(problems) > MOST_PROBLEMS else ""
    )
    target.print(Text(f"  {more}correct them, and run it again", "dim"))


def _summary(plan: Plan, file: JobsFile, places: int) -> list[Text]:
    unpriced = f", and {count(plan.unpriced, 'job')} whose price is not known" if plan.unpriced else ""
    lines = [
        labelled("jobs", f"{count(plan.jobs, 'job')} in {safe(file.path)}", "bold"),
        labelled("images", f"{plan.images:,}"),
        labelled("price", f"{money(plan.usd)}{unpriced}"),
        labelled("time", f"about {span(plan.seconds_at_limit)}, with {places} images in progress"),
    ]
    if plan.duplicates:
        told = f"{count(plan.duplicates, 'job')} of the same content as an earlier one; each is paid for"
        lines.append(labelled("twice", told, "yellow"))

    return lines
