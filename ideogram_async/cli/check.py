"""The first pass over a jobs file: every fault with its line, before any money is spent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ideogram_async.batch.job import Job
from ideogram_async.batch.plan import Plan
from ideogram_async.batch.sources import named_in
from ideogram_async.cli.jobs import JobsFile, Problem
from ideogram_async.cli.trouble import UsageError
from ideogram_async.client import Ideogram
from ideogram_async.requests import LayerizeText
from ideogram_async.wire.encode import weight_of

__all__ = ["first_pass"]


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
    for field, earlier in named_in(job.request):
        count = made.get(earlier.id)
        if count is not None and earlier.index >= count:
            yield field, f"names image {earlier.index} of job {earlier.id!r}, which makes {count}, counted from 0"


def _count(request: Any) -> int:
    # The text-free image, and the one with its text.
    return 2 if isinstance(request, LayerizeText) else weight_of(request)
