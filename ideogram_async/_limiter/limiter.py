"""Limiter of one client, in memory: counts images in progress, not requests, as the account's limit does."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol, Self
from weakref import WeakKeyDictionary

from ideogram_async._limiter.congestion import Congestion, Uniform
from ideogram_async._limiter.slots import Slots, Waiter
from ideogram_async.errors import InvalidRequestError
from ideogram_async.models.base import LimiterStatistics

# The call whose lease the current task holds, so that a response is matched to its call without the lease.
_current: ContextVar[Waiter | None] = ContextVar("ideogram_async_current_call", default=None)


class Lease(Protocol):
    """The slots of one call: acquired on entering `async with`, released on leaving it."""

    @property
    def queued(self) -> float:
        """Seconds that the call waited in this client's own queue, without the time behind a gate closed by a 429.

        It grows during the wait.
        """
        ...

    async def __aenter__(self) -> Lease:
        """Wait for all slots of the call. A cancelled wait holds none."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Release the slots."""
        ...


class Limiter(Protocol):
    """Keeps the images in progress within the account's limit, and learns from the service's responses."""

    def acquire(self, weight: int) -> Lease:
        """Return the lease of a call that makes `weight` images. A lease for 0 images never waits.

        Raises:
            InvalidRequestError: If the call makes more images than may ever be in progress at once.
        """
        ...

    def note_rejected(self, max_in_flight: int | None, retry_after: float | None) -> None:
        """Record, inside the lease, that the service responded with 429.

        Args:
            max_in_flight: Number of images that the service allows at once, if the response contains it.
            retry_after: Seconds to wait, if the response contains them.
        """
        ...

    def note_accepted(self, weight: int) -> None:
        """Record, inside the lease, that the call succeeded."""
        ...

    def statistics(self) -> LimiterStatistics:
        """Return the limit and its use in the running event loop."""
        ...


class ImageLimiter:
    """The limiter of one client, in memory.

    Each event loop counts alone. Of the first 16 queued calls, the largest that fits goes next; a call is skipped at
    most 16 times. After a 429 all calls wait at one gate. When it opens, one call is sent as a probe. The others
    follow when it is accepted, or is not refused within 2 seconds.

    Args:
        max_in_flight: Images that may be in progress at once, at least 1.
        rng: Source of the random pauses; `random.Random(0)` makes them repeatable.
    """

    def __init__(self, max_in_flight: int = 10, *, rng: Uniform | None = None) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {max_in_flight}")

        self._max_in_flight = max_in_flight
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Slots] = WeakKeyDictionary()

    def acquire(self, weight: int) -> ImageLease:
        """Return a lease; see `Limiter.acquire`."""
        if not 0 <= weight <= self._max_in_flight:
            rule = f"must be between 0 and max_in_flight, which is {self._max_in_flight}, not {weight}"
            raise InvalidRequestError([("num_images", rule)])

        return ImageLease(self._slots, weight)

    def note_rejected(self, max_in_flight: int | None, retry_after: float | None) -> None:
        """Cut the limit if this 429 begins an epoch, and close the gate; see `Limiter.note_rejected`."""
        self._slots().reject(_current.get(), max_in_flight, retry_after)

    def note_accepted(self, weight: int) -> None:
        """Raise the limit slightly, and end the probing; see `Limiter.note_accepted`."""
        self._slots().accept(_current.get(), weight)

    def statistics(self) -> LimiterStatistics:
        """Return the limit and its use in the running event loop. Without a running loop, nothing is in use."""
        try:
            return self._slots().statistics()
        except RuntimeError:
            return LimiterStatistics(limit=float(self._max_in_flight), in_flight=0, waiting=0, rejected=0)

    def __repr__(self) -> str:
        state = self.statistics()
        return f"<{type(self).__name__}: {state.in_flight} of {state.limit:g} slots in use, {state.waiting} waiting>"

    def _slots(self) -> Slots:
        loop = asyncio.get_running_loop()
        slots = self._by_loop.get(loop)
        if slots is None:
            slots = self._new_slots(loop)
            with self._lock:
                self._remove_closed_loops()
                self._by_loop[loop] = slots

        return slots

    def _new_slots(self, loop: asyncio.AbstractEventLoop) -> Slots:
        return Slots(Congestion(self._max_in_flight, self._rng), loop)

    def _remove_closed_loops(self) -> None:
        # A loop that was closed over suspended tasks is still referenced by the futures that they await.
        for loop in list(self._by_loop):
            if loop.is_closed():
                del self._by_loop[loop]


class ImageLease:
    """The slots of one call of an `ImageLimiter`, for one `async with`."""

    def __init__(self, get_slots: Callable[[], Slots], weight: int) -> None:
        self._get_slots = get_slots
        self._waiter = Waiter(weight)
        self._slots: Slots | None = None
        self._outer: Waiter | None = None

    @property
    def queued(self) -> float:
        """Seconds that the call waited in this client's own queue, without the time behind a gate closed by a 429."""
        return 0.0 if self._slots is None else self._slots.seconds_queued(self._waiter)

    async def __aenter__(self) -> Self:
        """Wait for the slots, all or none.

        A cancelled wait holds none: slots that were granted in the same moment go to the next call in the queue.
        """
        if self._slots is not None:
            raise RuntimeError("a lease can be used only once; acquire another")

        self._slots = self._get_slots()
        await self._slots.acquire(self._waiter)
        self._outer = _current.get()
        _current.set(self._waiter)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Release the slots and grant them to the next calls in the queue."""
        # Not `reset(token)`: a call that is finalized in another context must release its slots too.
        _current.set(self._outer)
        if self._slots is not None:
            self._slots.release(self._waiter)
