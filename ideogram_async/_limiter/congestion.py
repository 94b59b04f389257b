"""How much the service lets through after it has answered 429: a limit in images, and a gate that closes for a while.

Nothing here waits and nothing knows an event loop; every decision is told the time, in seconds.
"""

from __future__ import annotations

import math
from typing import Protocol

from attrs import define

LONGEST_PAUSE = 30.0

LONGEST_RETRY_AFTER = 300.0

# How long the service's own figure is believed after the last 429.
MEMORY = 600.0


class Uniform(Protocol):
    """The one thing asked of `random.Random`."""

    def uniform(self, a: float, b: float, /) -> float:
        """Draw a number between two others."""
        ...


@define(eq=False)
class Gate:
    """Holds every call back until a moment, and knows for how long it has been closed altogether."""

    opens_at: float = 0.0
    _closed_at: float = 0.0
    _closed_before: float = 0.0

    def is_closed(self, now: float) -> bool:
        """Say whether calls are held back."""
        return now < self.opens_at

    def close(self, now: float, seconds: float) -> None:
        """Close it for so long from now. A gate that is closed for longer already stays as it is."""
        if now + seconds <= max(now, self.opens_at):
            return

        if not self.is_closed(now):
            self._closed_before += self.opens_at - self._closed_at
            self._closed_at = now

        self.opens_at = now + seconds

    def seconds_closed(self, now: float) -> float:
        """Return how long it has been closed, up to now and since the beginning."""
        return self._closed_before + min(now, self.opens_at) - self._closed_at


class Congestion:
    """What the answers of one event loop's calls say about the room that the service has.

    The first 429 of a call that got its places after the last cut is news: it begins an epoch, cuts the limit and
    closes the gate. The others of that epoch were on their way already. When the gate opens, one call goes ahead as
    a probe; what it meets decides for the rest.
    """

    def __init__(self, configured: int, rng: Uniform) -> None:
        self.configured = configured
        self.limit = float(configured)
        """Images that may be in progress; grows by fractions."""
        self.epoch = 0
        """Cuts so far. A call remembers the epoch in which it got its places."""
        self.rejected = 0
        self.is_probing = False
        """Whether calls go one at a time."""
        self.gate = Gate()
        self._rng = rng
        self._gates_in_vain = 0
        self._told = configured
        self._told_until = 0.0

    def reject(
        self, now: float, *, epoch: int, others: int, max_in_flight: int | None, retry_after: float | None
    ) -> None:
        """Take note of a 429 for a call of that epoch, while `others` images were in progress beside it."""
        self.rejected += 1
        self._told = self._ceiling(now)
        self._told_until = now + MEMORY
        pause = min(retry_after or 0.0, LONGEST_RETRY_AFTER)
        if epoch == self.epoch:
            self._cut(others, max_in_flight)
            pause = max(pause, self._draw_pause())

        self.gate.close(now, pause)
        self.is_probing = self.is_probing or self.gate.is_closed(now)

    def accept(self, now: float, *, epoch: int, weight: int) -> None:
        """Take note that a call of that epoch and weight was accepted: there is a little more room than we thought."""
        self.limit = min(self._ceiling(now), self.limit + weight / self.limit)
        if epoch == self.epoch:
            self.trust()

    def trust(self) -> None:
        """Believe that there is room again: the probe was accepted, or has met no refusal for long enough."""
        self._gates_in_vain = 0
        self.is_probing = False

    def adopt(self, *, limit: float, ceiling: int, epoch: int) -> None:
        """Take over what was found out elsewhere; `ceiling` is as far as the limit may grow."""
        self.limit = limit
        self.epoch = epoch
        self._told = ceiling
        self._told_until = math.inf

    def _ceiling(self, now: float) -> int:
        return self._told if now < self._told_until else self.configured

    def _cut(self, others: int, max_in_flight: int | None) -> None:
        self.epoch += 1
        if max_in_flight is not None:
            self._told = min(self.configured, max(1, max_in_flight))

        self.limit = min(self.limit, float(self._told), max(1.0, float(others)))

    def _draw_pause(self) -> float:
        # Beyond 2**5 even the shortest draw is over the cap, and the power would outgrow a float one day.
        pause = self._rng.uniform(1.0, 3.0) * 2.0 ** min(self._gates_in_vain, 5)
        self._gates_in_vain += 1
        return min(LONGEST_PAUSE, pause)
