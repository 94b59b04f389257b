"""How far a batch has come, in numbers; counted from its events."""

from __future__ import annotations

import time
from decimal import Decimal

from ideogram_async.events import Downloaded, Event, JobFinished, JobStarted

__all__ = ["Meter"]


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
