"""Progress of a batch: a bar in a terminal, lines in a pipe, JSON for machines."""

from __future__ import annotations

import asyncio
import math
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from ideogram_async import JobResult, JobState, Limiter
from ideogram_async._batch.costs import Budget
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async.cli.batch.results import job_line, to_json_result
from ideogram_async.cli.console import (
    console,
    format_duration,
    live_console,
    print_json,
    to_json_fields,
)
from ideogram_async.events import Downloaded, Event, JobFinished, JobStarted

STOPPING_CALLS = "Stopping: waiting for calls in flight. Press Ctrl-C again to abort them; they may still be billed."
STOPPING_DOWNLOADS = "Stopping: waiting for downloads in progress. Press Ctrl-C again to abort them."
MAX_LINES = 100
"""Jobs of a larger batch have no line of their own in a terminal, unless they failed."""


class Display(Protocol):
    """Output of a running batch."""

    def event(self, event: Event) -> None:
        """Handle an event."""
        ...

    def result(self, result: JobResult) -> None:
        """Handle the result of a job."""
        ...

    def stopping(self, message: str) -> None:
        """Show that what is in progress finishes, and that nothing new begins."""
        ...


class JsonLines:
    """Display that writes one line of JSON for each event, unless it is quiet, and each result."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet

    def event(self, event: Event) -> None:
        if not self._is_quiet:
            print_json({"event": type(event).__name__, **to_json_fields(event)})

    def result(self, result: JobResult) -> None:
        print_json({"event": "JobResult", **to_json_result(result)})

    def stopping(self, message: str) -> None:
        print_json({"event": "Draining", "message": message})


class PlainLines:
    """Display that writes one line for each job; if it is quiet, for each job that is not done."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._console = console()

    def event(self, event: Event) -> None: ...

    def result(self, result: JobResult) -> None:
        if not self._is_quiet or result.state is not JobState.DONE:
            self._console.print(job_line(result))

    def stopping(self, message: str) -> None:
        console(sys.stderr).print(Text(message, "yellow"))


class TimeLeft(ProgressColumn):
    """Estimated time until all jobs are finished, or until the budget is reached if that is earlier."""

    max_refresh: float | None = 0.5

    def render(self, task: Task) -> Text:
        """Return the time; none while the number of jobs is unknown."""
        if task.remaining is None:
            return Text()

        jobs = min(task.remaining, task.fields["affordable"])
        return Text(format_duration(jobs / task.speed) if task.speed else "-:--", "progress.remaining")


class LiveProgress:
    """Display with a bar and figures below the lines of the jobs.

    Args:
        total: The number of jobs, if known.
        limiter: The limiter of the client.
        budget: Returns the budget of the batch.
    """

    def __init__(self, total: int | None, limiter: Limiter, budget: Callable[[], Budget]) -> None:
        self._total = total
        self._limiter = limiter
        self._budget = budget
        self._start: tuple[int, Decimal] | None = None
        """Jobs finished and money spent when the first job was sent."""
        self._finished = 0
        self._failed: Counter[str] = Counter()
        self._downloaded = 0
        self._spent = Decimal(0)
        self._in_doubt = Decimal(0)
        self._began = time.monotonic()
        self._message = Text()
        self._console = console()
        columns = (BarColumn(None), TextColumn("{task.description}", "bold"), TimeLeft())
        self._progress = Progress(*columns, console=self._console, expand=True)
        self._task = self._progress.add_task("", total=total, affordable=math.inf)
        self._update()
        self.live: Live = Live(get_renderable=self._render, console=self._console, transient=True)

    def event(self, event: Event) -> None:
        match event:
            case JobFinished():
                self._count(event)
            case JobStarted() if self._start is None:
                # Jobs that an earlier run has finished do not predict the remaining time.
                self._start = self._finished, self._budget().spent
                self._progress.reset(self._task, completed=self._finished)
            case Downloaded(adopted=False):
                self._downloaded += 1
            case _:
                pass

        # Events precede their effect on the limiter.
        asyncio.get_running_loop().call_soon(self._update)

    def result(self, result: JobResult) -> None:
        if result.state is not JobState.DONE or (self._total or MAX_LINES + 1) <= MAX_LINES:
            line = job_line(result, self._console.width)
            line.truncate(self._console.width, overflow="ellipsis")
            self._console.print(line)

    def stopping(self, message: str) -> None:
        self._message = Text(message, "yellow")
        # Not all jobs will finish, so there is no remaining time.
        self._progress.tasks[0].total = None
        self.live.refresh()

    def _count(self, event: JobFinished) -> None:
        self._finished += 1
        if event.state != JobState.DONE:
            self._failed[event.state] += 1

        if event.state == JobState.AMBIGUOUS:
            self._in_doubt += event.cost_usd or 0
        else:
            self._spent += event.cost_usd or 0

    def _render(self) -> Group:
        # The width may change at any time. A part is never broken.
        lines = textwrap.wrap(self._figures, self._console.width, break_on_hyphens=False)
        figures = Text("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), "dim")
        return Group("", self._progress, figures, *([self._message] if self._message else []))

    def _update(self) -> None:
        jobs = pluralize(self._finished, "job") + " finished"
        if self._total is not None:
            jobs = f"{self._finished:,}/{pluralize(self._total, 'job')}"

        affordable = self._affordable()
        self._progress.update(self._task, completed=self._finished, description=jobs, affordable=affordable)
        # The limiter counts for the running event loop, and rich draws in a thread.
        self._figures = " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in self._parts())

    def _affordable(self) -> float:
        """Return how many more jobs the budget covers, at the average cost of those finished so far."""
        budget = self._budget()
        if budget.cap is None or self._start is None or budget.spent == self._start[1]:
            return math.inf

        finished, spent = self._start
        return float((budget.cap - budget.spent) / (budget.spent - spent)) * (self._finished - finished)

    def _parts(self) -> list[str]:
        budget = self._budget()
        spent = f"{format_usd(self._spent)} spent"
        if budget.cap is not None:
            spent = f"{format_usd(budget.spent).removesuffix(' USD')} of {format_usd(budget.cap)}"

        slots = self._limiter.statistics()
        rate = 60 * self._downloaded / max(time.monotonic() - self._began, 0.001)
        return [
            f"{pluralize(slots.in_flight, 'image')} in flight",
            f"{slots.waiting} waiting",
            spent,
            *([f"{format_usd(self._in_doubt)} in doubt"] if self._in_doubt else []),
            *(f"{count:,} {state}" for state, count in self._failed.items()),
            f"{rate:,.0f} images per minute",
            *([f"{slots.rejected} rejected with 429"] if slots.rejected else []),
        ]


@contextmanager
def open_display(
    total: int | None, limiter: Limiter, budget: Callable[[], Budget], *, as_json: bool, is_quiet: bool
) -> Generator[Display]:
    """Open the display that fits the output."""
    if as_json:
        yield JsonLines(is_quiet=is_quiet)
    elif sys.stdout.isatty() and not is_quiet:
        progress = LiveProgress(total, limiter, budget)
        with progress.live, live_console(progress.live.console):
            yield progress
    else:
        yield PlainLines(is_quiet=is_quiet)
