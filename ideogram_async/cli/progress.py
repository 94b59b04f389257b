"""The moving part of a terminal: a bar, and how things stand."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._limiter.limiter import Limiter
from ideogram_async.cli.console import console, count, money, plain, say_json, span
from ideogram_async.cli.render import job_line, tell_result
from ideogram_async.events import Downloaded, Event, JobFinished, JobStarted


class Meter:
    """Counts what happens.

    Args:
        total: Jobs in all, where that is known.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.finished = 0
        self.fetched = 0
        """Images that were downloaded in this run."""
        self.spent = Decimal(0)
        self.in_doubt = Decimal(0)
        self._sent = 0
        self._began = time.monotonic()
        self._started: set[str] = set()

    @property
    def under_way(self) -> int:
        """Jobs that were taken up, and are not settled."""
        return len(self._started)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def images_a_minute(self) -> float:
        """Images of this run, over its time."""
        return 60 * self.fetched / max(self.elapsed, 0.001)

    @property
    def seconds_left(self) -> float | None:
        """About how long it takes still; `None` as long as nothing tells."""
        if self.total is None or not self._sent:
            return None

        return (self.total - self.finished) * self.elapsed / self._sent

    def note(self, event: Event) -> None:
        """Count an event."""
        match event:
            case JobStarted():
                self._started.add(event.call_id)
            case JobFinished():
                self._finish(event)
            case Downloaded(adopted=False):
                self.fetched += 1
            case _:
                pass

    def _finish(self, event: JobFinished) -> None:
        self.finished += 1
        # Jobs that an earlier run has settled say nothing about those to come.
        self._sent += event.call_id in self._started
        self._started.discard(event.call_id)
        if event.state == "ambiguous":
            self.in_doubt += event.cost_usd or 0
        else:
            self.spent += event.cost_usd or 0


DRAINING = "Stopping: what is on its way is finished and stored. Ctrl-C again gives it up, and it may be paid for."

MOST_LINES = 100

"""Jobs of a longer batch are not told one by one in a terminal, unless something is wrong with them."""


class Display(Protocol):
    """Somebody who is told what happens."""

    def event(self, event: Event) -> None:
        """Something happened."""
        ...

    def result(self, result: JobResult) -> None:
        """A job is settled, and its result was taken."""
        ...

    def draining(self) -> None:
        """Nothing more is sent; what is on its way is finished."""
        ...

    def refresh(self) -> None:
        """Some time has passed."""
        ...

    def close(self) -> None:
        """It is over."""
        ...


class JsonLines:
    """One line of JSON an event, and one a result."""

    def event(self, event: Event) -> None:
        say_json({"event": type(event).__name__, **plain(event)})

    def result(self, result: JobResult) -> None:
        say_json({"event": "JobResult", **tell_result(result)})

    def draining(self) -> None:
        say_json({"event": "Draining", "message": DRAINING})

    def refresh(self) -> None: ...

    def close(self) -> None: ...


class PlainLines:
    """One line a job."""

    def __init__(self, meter: Meter) -> None:
        self.console = console()
        self.meter = meter
        self.is_draining = False

    def event(self, event: Event) -> None:
        self.meter.note(event)

    def result(self, result: JobResult) -> None:
        is_short = self.meter.total is not None and self.meter.total <= MOST_LINES
        if not self.console.is_terminal or is_short or result.state is not JobState.DONE:
            self.say(job_line(result, self.console.width if self.console.is_terminal else None))

    def draining(self) -> None:
        self.is_draining = True
        console(sys.stderr).print(Text(DRAINING, "yellow"))

    def say(self, line: Text) -> None:
        """Write a line above everything that moves."""
        if self.console.is_terminal:
            line.truncate(self.console.width, overflow="ellipsis")

        self.console.print(line)

    def refresh(self) -> None: ...

    def close(self) -> None: ...


SOON = 0.5


class LivePanel(PlainLines):
    """Lines above, a bar and numbers below; the numbers wrap where the terminal is narrow."""

    def __init__(self, meter: Meter, limiter: Limiter) -> None:
        super().__init__(meter)
        self._limiter = limiter
        # Not by a thread of rich: what is shown belongs to the event loop.
        self._live = Live(self._panel(), console=self.console, auto_refresh=False, transient=True)
        self._live.start()

    def draining(self) -> None:
        self.is_draining = True
        self.refresh()

    def refresh(self) -> None:
        self._live.update(self._panel(), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _panel(self) -> Group:
        lines = [Text(""), self._bar(), numbers(self.console, self.meter, self._limiter)]
        return Group(*lines, *([Text(DRAINING, "yellow")] if self.is_draining else []))

    def _bar(self) -> Table | Text:
        total, finished = self.meter.total, self.meter.finished
        if total is None:
            return Text(f"{count(finished, 'job')} settled, {self.meter.under_way} under way", "bold")

        left = None if self.is_draining else self.meter.seconds_left
        told = f"{finished:,}/{count(total, 'job')}"
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=max(total, 1), completed=finished, complete_style="green", finished_style="green")
        grid.add_row(bar, Text(told if left is None or left < SOON else f"{told} · {span(left)} left", "bold"))
        return grid


def numbers(target: Console, meter: Meter, limiter: Limiter) -> Text:
    """Say how things stand, in as many lines as the width needs."""
    places = limiter.statistics()
    parts = [
        f"{count(places.in_flight, 'image')} in flight",
        f"{places.waiting} waiting",
        f"{money(meter.spent)} spent",
        *([f"{money(meter.in_doubt)} in doubt"] if meter.in_doubt else []),
        f"{meter.images_a_minute:,.0f} images a minute",
        *([f"{places.rejected} refused with 429"] if places.rejected else []),
    ]
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= target.width:
            lines[-1] = longer
        else:
            lines.append(part)

    return Text("\n".join(lines), "dim")
