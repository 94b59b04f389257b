"""Congestion control: a limit in images, and a back-off gate that closes after a 429.

Nothing here waits or uses an event loop. Every method gets the current time, in seconds.
"""

from __future__ import annotations

import math
from typing import Protocol

from attrs import define

MAX_PAUSE = 30.0
MAX_RETRY_AFTER = 300.0
SERVER_LIMIT_LIFETIME = 600.0
"""Seconds after the last 429 during which a limit that the service reported applies."""


class Uniform(Protocol):
    """The part of `random.Random` that is used."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a random number between `a` and `b`."""
        ...


class Congestion:
    """Limit of one event loop, as learned from the service's responses.

    A 429 counts once per epoch: the first one for a call that was granted its slots after the last cut begins an
    epoch, cuts the limit and closes the gate. Further calls of the old epoch were in flight already. When the gate
    opens, one call is sent as a probe. Its outcome decides whether the others follow.
    """

    def __init__(self, configured: int, rng: Uniform) -> None:
        self.configured = configured
        self.limit: float = float(configured)
        """Images that may be in progress; grows by fractions."""
        self.epoch: int = 0
        """Number of cuts. A call records the epoch in which it was granted its slots."""
        self.rejected: int = 0
        self.is_probing: bool = False
        """Whether calls are sent one at a time."""
        self.gate: Gate = Gate()
        self._rng = rng
        self._consecutive_gates = 0
        self._server_limit = configured
        self._server_limit_until = 0.0

    def reject(
        self, now: float, *, epoch: int, others: int, max_in_flight: int | None, retry_after: float | None
    ) -> None:
        """Record a 429 for a call of that epoch, while `others` more images were in progress."""
        self.rejected += 1
        self._server_limit = self._ceiling(now)
        self._server_limit_until = now + SERVER_LIMIT_LIFETIME
        pause = min(retry_after or 0.0, MAX_RETRY_AFTER)
        if epoch == self.epoch:
            self._cut(others, max_in_flight)
            pause = max(pause, self._draw_pause())

        self.gate.close(now, pause)
        self.is_probing = self.is_probing or self.gate.is_closed(now)

    def accept(self, now: float, *, epoch: int, weight: int) -> None:
        """Record a success of a call of that epoch and weight, and raise the limit slightly."""
        self.limit = min(self._ceiling(now), self.limit + weight / self.limit)
        if epoch == self.epoch:
            self.reset_backoff()

    def reset_backoff(self) -> None:
        """End the probing: the probe was accepted, or was not refused in time."""
        self._consecutive_gates = 0
        self.is_probing = False

    def sync(self, *, limit: float, ceiling: int, epoch: int) -> None:
        """Apply a state that was learned elsewhere; `ceiling` is the highest value that the limit may reach."""
        self.limit = limit
        self.epoch = epoch
        self._server_limit = ceiling
        self._server_limit_until = math.inf

    def _ceiling(self, now: float) -> int:
        return self._server_limit if now < self._server_limit_until else self.configured

    def _cut(self, others: int, max_in_flight: int | None) -> None:
        self.epoch += 1
        if max_in_flight is not None:
            self._server_limit = min(self.configured, max(1, max_in_flight))

        self.limit = min(self.limit, float(self._server_limit), max(1.0, float(others)))

    def _draw_pause(self) -> float:
        # Beyond 2**5 even the shortest draw exceeds the cap, and a larger power would overflow a float.
        pause = self._rng.uniform(1.0, 3.0) * 2.0 ** min(self._consecutive_gates, 5)
        self._consecutive_gates += 1
        return min(MAX_PAUSE, pause)


@define(eq=False)
class Gate:
    """Back-off gate: delays every call until it opens, and measures for how long it was closed."""

    opens_at: float = 0.0
    _closed_at: float = 0.0
    _closed_before: float = 0.0

    def is_closed(self, now: float) -> bool:
        """Return whether calls are delayed."""
        return now < self.opens_at

    def close(self, now: float, seconds: float) -> None:
        """Close the gate for `seconds` from now, unless it is already closed for longer."""
        if now + seconds <= max(now, self.opens_at):
            return

        if not self.is_closed(now):
            self._closed_before += self.opens_at - self._closed_at
            self._closed_at = now

        self.opens_at = now + seconds

    def seconds_closed(self, now: float) -> float:
        """Return the seconds that the gate has been closed in total, up to now."""
        return self._closed_before + min(now, self.opens_at) - self._closed_at
