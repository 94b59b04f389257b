"""Who goes next among the calls that wait for places."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice, takewhile

from attrs import define

__all__ = ["Line", "Waiter", "choose"]

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
