"""Progress of a batch: a bar in a terminal, lines in a pipe, JSON for machines."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ideogram_async import JobResult, JobState, Limiter
from ideogram_async.cli.console import console, format_usd, pluralize, print_json, to_json_fields
from ideogram_async.cli.render import job_line, to_json_result
from ideogram_async.events import Downloaded, Event, JobFinished, JobStarted

STOPPING = "Stopping: waiting for calls in flight. Press Ctrl-C again to abort them; they may still be billed."
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

    def stopping(self) -> None:
        """Show that calls in flight finish, and that nothing new is sent."""
        ...


class JsonLines:
    """Display that writes one line of JSON for each event and each result."""

    def event(self, event: Event) -> None:
        print_json({"event": type(event).__name__, **to_json_fields(event)})

    def result(self, result: JobResult) -> None:
        print_json({"event": "JobResult", **to_json_result(result)})

    def stopping(self) -> None:
        print_json({"event": "Draining", "message": STOPPING})


class PlainLines:
    """Display that writes one line for each job."""

    def __init__(self) -> None:
        self._console = console()

    def event(self, event: Event) -> None: ...

    def result(self, result: JobResult) -> None:
        self._console.print(job_line(result))

    def stopping(self) -> None:
        console(sys.stderr).print(Text(STOPPING, "yellow"))


class LiveProgress:
    """Display with a bar and figures below the lines of the jobs.

    Args:
        total: The number of jobs, if known.
        limiter: The limiter of the client.
    """

    def __init__(self, total: int | None, limiter: Limiter) -> None:
        self._total = total
        self._limiter = limiter
        self._is_sending = False
        self._finished = 0
        self._downloaded = 0
        self._spent = Decimal(0)
        self._in_doubt = Decimal(0)
        self._began = time.monotonic()
        self._message = Text()
        self._console = console()
        columns = (BarColumn(None), TextColumn("{task.description}", "bold"), TimeRemainingColumn(compact=True))
        self._progress = Progress(*columns, console=self._console, expand=True)
        self._task = self._progress.add_task("", total=total)
        self._update()
        self.live: Live = Live(get_renderable=self._render, console=self._console, transient=True)

    def event(self, event: Event) -> None:
        match event:
            case JobFinished(state="ambiguous"):
                self._finished += 1
                self._in_doubt += event.cost_usd or 0
            case JobFinished():
                self._finished += 1
                self._spent += event.cost_usd or 0
            case JobStarted() if not self._is_sending:
                # Jobs that an earlier run has finished do not predict the remaining time.
                self._is_sending = True
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

    def stopping(self) -> None:
        self._message = Text(STOPPING, "yellow")
        # Not all jobs will finish, so there is no remaining time.
        self._progress.tasks[0].total = None
        self.live.refresh()

    def _render(self) -> Group:
        # The width may change at any time. A part is never broken.
        lines = textwrap.wrap(self._figures, self._console.width, break_on_hyphens=False)
        figures = Text("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), "dim")
        return Group("", self._progress, figures, *([self._message] if self._message else []))

    def _update(self) -> None:
        jobs = pluralize(self._finished, "job") + " finished"
        if self._total is not None:
            jobs = f"{self._finished:,}/{pluralize(self._total, 'job')}"

        self._progress.update(self._task, completed=self._finished, description=jobs)
        # The limiter counts for the running event loop, and rich draws in a thread.
        self._figures = " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in self._parts())

    def _parts(self) -> list[str]:
        slots = self._limiter.statistics()
        rate = 60 * self._downloaded / max(time.monotonic() - self._began, 0.001)
        return [
            f"{pluralize(slots.in_flight, 'image')} in flight",
            f"{slots.waiting} waiting",
            f"{format_usd(self._spent)} spent",
            *([f"{format_usd(self._in_doubt)} in doubt"] if self._in_doubt else []),
            f"{rate:,.0f} images per minute",
            *([f"{slots.rejected} rejected with 429"] if slots.rejected else []),
        ]


@contextmanager
def open_display(total: int | None, limiter: Limiter, *, as_json: bool) -> Generator[Display]:
    """Open the display that fits the output."""
    if as_json:
        yield JsonLines()
    elif sys.stdout.isatty():
        progress = LiveProgress(total, limiter)
        with progress.live:
            yield progress
    else:
        yield PlainLines()
