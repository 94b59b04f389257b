"""What a jobs file would make and cost, told to people and machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.text import Text

from ideogram_async.batch.plan import Plan
from ideogram_async.cli.check import first_pass
from ideogram_async.cli.exits import Exit
from ideogram_async.cli.jobs import JobsFile, Problem
from ideogram_async.cli.pages import busy
from ideogram_async.cli.plain import plain
from ideogram_async.cli.say import console, count, labelled, money, safe, say_json, span
from ideogram_async.cli.settings import client_without_key
from ideogram_async.cli.wording import worded

__all__ = ["plan_file", "say_problems"]

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
