"""Concurrency slots of one event loop, and the queue of calls that wait for them.

Every decision is synchronous; only `Slots.acquire` waits.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice, takewhile
from weakref import ref

from attrs import define

from ideogram_async._limiter.congestion import Congestion
from ideogram_async.models.base import LimiterStatistics

# With calls of 1 to 8 images, strict first in, first out takes a third longer than the lower bound; this order, a
# tenth.
WINDOW = 16
"""Number of calls at the front of the queue that are candidates for the next grant."""

MAX_SKIPS = 16
"""Maximum number of times that a call is skipped."""

REFUSAL_SECONDS = 2.0
"""Seconds after which a probe counts as accepted: a refusal comes at once, an image after 5 to 30 seconds."""


@define(eq=False)
class Waiter:
    """A call that waits for its slots, holds them, or has released them."""

    weight: int
    skipped: int = 0
    """Number of later calls that were granted their slots first."""
    queued: float = 0.0
    """Seconds from the request to the grant, without the time behind a closed gate."""
    epoch: int = 0
    """The epoch of congestion in which the slots were granted."""
    wake: asyncio.Future[None] | None = None


class Slots:
    """Grants a call all the slots that it needs, or none."""

    def __init__(self, congestion: Congestion, loop: asyncio.AbstractEventLoop) -> None:
        self._congestion = congestion
        # Weak, and the timer exists only while calls wait: nothing here may keep a closed loop alive.
        self._loop = ref(loop)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._queue = WaitQueue()
        self._holders: set[Waiter] = set()
        self._in_flight = 0
        self._probe: Waiter | None = None
        self._probe_ends_at = math.inf

    def statistics(self) -> LimiterStatistics:
        return LimiterStatistics(
            limit=self._congestion.limit,
            in_flight=self._in_flight,
            waiting=len(self._queue),
            rejected=self._congestion.rejected,
        )

    async def acquire(self, waiter: Waiter) -> None:
        """Wait until the call holds its slots. A call without weight holds them at once.

        A cancellation releases them, also between the grant and the wake-up.
        """
        if waiter.weight == 0:
            self._holders.add(waiter)
            return

        loop = asyncio.get_running_loop()
        waiter.queued = -self._queue_clock(loop.time())
        self._queue.push(waiter)
        self._admit()
        if waiter in self._holders:
            return

        waiter.wake = loop.create_future()
        try:
            await waiter.wake
        except asyncio.CancelledError:
            self.release(waiter)
            raise

    def seconds_queued(self, waiter: Waiter) -> float:
        """Return the seconds in the queue so far, without the time behind a closed gate."""
        now = asyncio.get_running_loop().time()
        return waiter.queued + self._queue_clock(now) if waiter in self._queue else waiter.queued

    def release(self, waiter: Waiter) -> None:
        """Remove the call from the queue, or release its slots. A second release has no effect."""
        self._queue.remove(waiter)
        if waiter in self._holders:
            self._holders.remove(waiter)
            self._in_flight -= waiter.weight

        if waiter is self._probe:
            self._probe = None

        self._admit()

    def reject(self, waiter: Waiter | None, max_in_flight: int | None, retry_after: float | None) -> None:
        """Record a 429 for the call that holds slots, or for an unknown one."""
        holder = waiter if waiter in self._holders else None
        if holder is not None and holder.weight == 0:
            # A call without images has hit another limit, which does not affect this one.
            self._congestion.rejected += 1
            return

        self._congestion.reject(
            asyncio.get_running_loop().time(),
            epoch=self._epoch_of(holder),
            others=self._in_flight - (0 if holder is None else holder.weight),
            max_in_flight=max_in_flight,
            retry_after=retry_after,
        )
        self._admit()

    def accept(self, waiter: Waiter | None, weight: int) -> None:
        """Record a success of the call that holds slots, or of an unknown one."""
        if weight == 0:
            return

        holder = waiter if waiter in self._holders else None
        self._congestion.accept(asyncio.get_running_loop().time(), epoch=self._epoch_of(holder), weight=weight)
        self._admit()

    def _epoch_of(self, holder: Waiter | None) -> int:
        return self._congestion.epoch if holder is None else holder.epoch

    def _admit(self) -> None:
        """Grant slots to all calls that fit, and set a timer for the next possible grant."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            return

        now = loop.time()
        self._update_probe(now)
        while not self._is_gated(now) and (waiter := self._queue.pop_next(self._free_slots())) is not None:
            self._grant(waiter, now)

        self._set_timer(loop, self._next_admission(now))

    def _update_probe(self, now: float) -> None:
        if self._is_probe_out() and now >= self._probe_ends_at:
            self._congestion.reset_backoff()

        if not self._congestion.is_probing:
            self._probe = None

    def _is_gated(self, now: float) -> bool:
        return self._congestion.gate.is_closed(now) or self._is_probe_out()

    def _is_probe_out(self) -> bool:
        # The outcome of a probe of an older epoch no longer matters.
        congestion, probe = self._congestion, self._probe
        return congestion.is_probing and probe is not None and probe.epoch == congestion.epoch

    def _free_slots(self) -> int:
        # A call that needs more than the current limit is sent alone.
        congestion = self._congestion
        return int(congestion.limit) - self._in_flight if self._in_flight else congestion.configured

    def _grant(self, waiter: Waiter, now: float) -> None:
        self._holders.add(waiter)
        self._in_flight += waiter.weight
        if self._congestion.is_probing:
            self._probe, self._probe_ends_at = waiter, now + REFUSAL_SECONDS

        waiter.epoch = self._congestion.epoch
        waiter.queued += self._queue_clock(now)
        # A wait that is being cancelled is done already, and releases what is granted here.
        if waiter.wake is not None and not waiter.wake.done():
            waiter.wake.set_result(None)

    def _queue_clock(self, now: float) -> float:
        """Return the time of a clock that stops while the gate is closed."""
        return now - self._congestion.gate.seconds_closed(now)

    def _next_admission(self, now: float) -> float:
        """Return the time of the next grant that needs no release."""
        if not self._queue:
            return math.inf

        gate = self._congestion.gate
        if gate.is_closed(now):
            return gate.opens_at

        return self._probe_ends_at if self._is_probe_out() else math.inf

    def _set_timer(self, loop: asyncio.AbstractEventLoop, moment: float) -> None:
        if moment == self._timer_at:
            return

        if self._timer is not None:
            self._timer.cancel()

        self._timer_at = moment
        self._timer = None if moment == math.inf else loop.call_at(moment, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._admit()


class WaitQueue:
    """The queue of calls that wait for slots. A call can be removed from any position."""

    def __init__(self) -> None:
        self._waiters: OrderedDict[Waiter, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._waiters

    def push(self, waiter: Waiter) -> None:
        self._waiters[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """Remove the call, if it is queued."""
        self._waiters.pop(waiter, None)

    def pop_next(self, free: int) -> Waiter | None:
        """Remove and return the call that goes next, and count a skip for those before it."""
        chosen = choose(list(islice(self._waiters, WINDOW)), free)
        if chosen is not None:
            for earlier in takewhile(lambda waiter: waiter is not chosen, self._waiters):
                earlier.skipped += 1

            self.remove(chosen)

        return chosen


def choose(window: Sequence[Waiter], free: int) -> Waiter | None:
    """Return the largest call that fits into the free slots; among equals, the one that has waited longest.

    The first call in the queue has been skipped most often. Once it reaches `MAX_SKIPS`, only it can go next.
    """
    if window and window[0].skipped >= MAX_SKIPS:
        window = window[:1]

    fitting = (waiter for waiter in window if waiter.weight <= free)
    return max(fitting, key=lambda waiter: waiter.weight, default=None)
