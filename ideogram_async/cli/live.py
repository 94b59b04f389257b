"""The moving part of a terminal: a bar, and how things stand."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ideogram_async.cli.displays import DRAINING, PlainLines
from ideogram_async.cli.meter import Meter
from ideogram_async.cli.say import count, money, span
from ideogram_async.limiter.limiter import Limiter

__all__ = ["LivePanel"]

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
