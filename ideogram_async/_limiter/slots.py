"""The places of one event loop: who holds them, and when the next may have them.

Every decision is plain and synchronous; only `Places.take` waits.
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

# Strict first in, first out makes calls of 1 to 8 images take a third longer than they must; this order, a tenth.
WINDOW = 16

PASSES = 16


@define(eq=False)
class Waiter:
    """A call that wants places, has them, or had them."""

    weight: int
    passed: int = 0
    """How many that came later went first."""
    queued: float = 0.0
    """Seconds between asking and getting, those behind the closed gate left out."""
    epoch: int = 0
    """The epoch of congestion in which it got its places."""
    wake: asyncio.Future[None] | None = None


def choose(window: Sequence[Waiter], room: int) -> Waiter | None:
    """Return who goes next: the largest that fits, the longest waiting among equals.

    Whoever stands first has been passed most often; passed often enough, it goes next or nobody does.
    """
    if window and window[0].passed >= PASSES:
        window = window[:1]

    fitting = (waiter for waiter in window if waiter.weight <= room)
    return max(fitting, key=lambda waiter: waiter.weight, default=None)


class Line:
    """The waiting calls in the order in which they came. Anybody may leave from anywhere."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, waiter: Waiter) -> None:
        """Stand at the end."""
        self._waiting[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Go away; without effect for one who does not wait."""
        self._waiting.pop(waiter, None)

    def call(self, room: int) -> Waiter | None:
        """Take out who goes next, and count it to those who were passed."""
        chosen = choose(list(islice(self._waiting, WINDOW)), room)
        if chosen is not None:
            for earlier in takewhile(lambda waiter: waiter is not chosen, self._waiting):
                earlier.passed += 1

            self.leave(chosen)

        return chosen


# A refusal comes at once, an image after 5 to 30 seconds: a probe that is out for so long has been let in.
REFUSAL_SECONDS = 2.0


class Places:
    """Gives places to calls, all that a call needs or none."""

    def __init__(self, congestion: Congestion, loop: asyncio.AbstractEventLoop) -> None:
        self._congestion = congestion
        # Weak, and the timer lives only while somebody waits: nothing in here may keep a dead loop alive.
        self._loop = ref(loop)
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._line = Line()
        self._holders: set[Waiter] = set()
        self._in_flight = 0
        self._probe: Waiter | None = None
        self._trusted_at = math.inf

    def statistics(self) -> LimiterStatistics:
        """Tell how full the limit is."""
        return LimiterStatistics(
            limit=self._congestion.limit,
            in_flight=self._in_flight,
            waiting=len(self._line),
            rejected=self._congestion.rejected,
        )

    async def take(self, waiter: Waiter) -> None:
        """Wait until the call has its places; without weight it has them at once.

        A cancellation leaves nothing behind, also when it comes between the grant and the waking.
        """
        if waiter.weight == 0:
            self._holders.add(waiter)
            return

        loop = asyncio.get_running_loop()
        waiter.queued = -self._time_in_line(loop.time())
        self._line.join(waiter)
        self._admit()
        if waiter in self._holders:
            return

        waiter.wake = loop.create_future()
        try:
            await waiter.wake
        except asyncio.CancelledError:
            self.give_back(waiter)
            raise

    def give_back(self, waiter: Waiter) -> None:
        """Take the call out, wherever it stands. Doing it twice gives back once."""
        self._line.leave(waiter)
        if waiter in self._holders:
            self._holders.remove(waiter)
            self._in_flight -= waiter.weight

        if waiter is self._probe:
            self._probe = None

        self._admit()

    def reject(self, waiter: Waiter | None, max_in_flight: int | None, retry_after: float | None) -> None:
        """Take note of a 429 for the call that holds places, or for one that is unknown here."""
        holder = waiter if waiter in self._holders else None
        if holder is not None and holder.weight == 0:
            # A call without images has met another limit, and says nothing about this one.
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
        """Take note of a success of the call that holds places, or of one that is unknown here."""
        if weight == 0:
            return

        holder = waiter if waiter in self._holders else None
        self._congestion.accept(asyncio.get_running_loop().time(), epoch=self._epoch_of(holder), weight=weight)
        self._admit()

    def _epoch_of(self, holder: Waiter | None) -> int:
        return self._congestion.epoch if holder is None else holder.epoch

    def _admit(self) -> None:
        """Let in everybody who may go now, and set a timer for the moment when more may."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            return

        now = loop.time()
        self._judge_probe(now)
        while not self._is_held_back(now) and (waiter := self._line.call(self._room())) is not None:
            self._grant(waiter, now)

        self._set_timer(loop, self._next_moment(now))

    def _judge_probe(self, now: float) -> None:
        if self._is_probe_out() and now >= self._trusted_at:
            self._congestion.trust()

        if not self._congestion.is_probing:
            self._probe = None

    def _is_held_back(self, now: float) -> bool:
        return self._congestion.gate.is_closed(now) or self._is_probe_out()

    def _is_probe_out(self) -> bool:
        # A probe of an older epoch has nothing more to tell.
        congestion, probe = self._congestion, self._probe
        return congestion.is_probing and probe is not None and probe.epoch == congestion.epoch

    def _room(self) -> int:
        # A call that wants more than today's limit goes alone.
        congestion = self._congestion
        return int(congestion.limit) - self._in_flight if self._in_flight else congestion.configured

    def _grant(self, waiter: Waiter, now: float) -> None:
        self._holders.add(waiter)
        self._in_flight += waiter.weight
        if self._congestion.is_probing:
            self._probe, self._trusted_at = waiter, now + REFUSAL_SECONDS

        waiter.epoch = self._congestion.epoch
        waiter.queued += self._time_in_line(now)
        # A wait that is being cancelled is done already; it will give back what it gets here.
        if waiter.wake is not None and not waiter.wake.done():
            waiter.wake.set_result(None)

    def _time_in_line(self, now: float) -> float:
        """Return a clock that stands still while the gate is closed."""
        return now - self._congestion.gate.seconds_closed(now)

    def _next_moment(self, now: float) -> float:
        """Return when time alone will let somebody in."""
        if not self._line:
            return math.inf

        gate = self._congestion.gate
        if gate.is_closed(now):
            return gate.opens_at

        return self._trusted_at if self._is_probe_out() else math.inf

    def _set_timer(self, loop: asyncio.AbstractEventLoop, moment: float) -> None:
        if moment == self._rings_at:
            return

        if self._timer is not None:
            self._timer.cancel()

        self._rings_at = moment
        self._timer = None if moment == math.inf else loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        self._admit()
