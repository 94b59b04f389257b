"""What a running batch shows: a live panel in a terminal, plain lines in a pipe, JSON lines for machines."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.text import Text

from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.cli.lines import job_line, kind_of, why
from ideogram_async.cli.meter import Meter
from ideogram_async.cli.plain import plain
from ideogram_async.cli.say import console, say_json
from ideogram_async.cli.trouble import tell_error
from ideogram_async.events import Event

__all__ = ["Display", "JsonLines", "PlainLines", "tell_result"]

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


def tell_result(result: JobResult) -> dict[str, object]:
    """Put a result into fields, for machines."""
    return {
        "id": result.id,
        "key": result.key,
        "index": result.index,
        "operation": kind_of(result.request),
        "state": result.state,
        "cost_usd": result.cost_usd,
        "from_journal": result.from_journal,
        "images": result.images,
        "why": why(result) or None,
        "error": None if result.error is None else tell_error(result.error),
    }
