"""The account's limit counts images in progress, not requests: here a call waits until its images have places."""

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
from ideogram_async._limiter.slots import Places, Waiter
from ideogram_async.errors import InvalidRequestError
from ideogram_async.models.base import LimiterStatistics

# The call whose lease this task is in, so that an answer needs no lease to tell which call it answers.
_current: ContextVar[Waiter | None] = ContextVar("ideogram_async_current_call", default=None)


class Lease(Protocol):
    """The places of one call: taken on entering `async with`, given back on leaving it."""

    @property
    def queued(self) -> float:
        """Seconds that the call waited in this client's own queue, those behind a gate closed by a 429 left out."""
        ...

    async def __aenter__(self) -> Lease:
        """Wait for all the places of the call. A cancellation leaves nothing behind."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give the places back."""
        ...


class Limiter(Protocol):
    """Keeps the images in progress within the account's limit, and learns from what the service answers."""

    def acquire(self, weight: int) -> Lease:
        """Return the lease of a call for so many images; one for no image never waits.

        Raises:
            InvalidRequestError: More images than may ever be in progress at once.
        """
        ...

    def note_rejected(self, max_in_flight: int | None, retry_after: float | None) -> None:
        """Take note, inside the lease, that the service answered 429.

        Args:
            max_in_flight: How many images the service allows at once, where it says so.
            retry_after: For how many seconds it asks to wait, where it does.
        """
        ...

    def note_accepted(self, weight: int) -> None:
        """Take note, inside the lease, that the service has done what was asked."""
        ...

    def statistics(self) -> LimiterStatistics:
        """Tell how full the limit is, for the running event loop."""
        ...


class ImageLimiter:
    """The limiter of one client, in memory.

    Each event loop counts alone. Among the first 16 calls waiting, the largest that fits goes next; a call that was
    passed 16 times is passed no more. After a 429 all wait at one gate, one call tries, and the rest follow when it is
    accepted, or not refused within 2 seconds.

    Args:
        max_in_flight: Images that may be in progress at once, at least 1.
        rng: Draws the length of the pauses; `random.Random(0)` makes them repeatable.
    """

    def __init__(self, max_in_flight: int = 10, *, rng: Uniform | None = None) -> None:
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {max_in_flight}")

        self._max_in_flight = max_in_flight
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Places] = WeakKeyDictionary()

    def acquire(self, weight: int) -> ImageLease:
        """Return a lease; see `Limiter.acquire`."""
        if not 0 <= weight <= self._max_in_flight:
            rule = f"must be between 0 and max_in_flight, which is {self._max_in_flight}, not {weight}"
            raise InvalidRequestError([("num_images", rule)])

        return ImageLease(self._places, weight)

    def note_rejected(self, max_in_flight: int | None, retry_after: float | None) -> None:
        """Cut the limit if this 429 is news, and close the gate; see `Limiter.note_rejected`."""
        self._places().reject(_current.get(), max_in_flight, retry_after)

    def note_accepted(self, weight: int) -> None:
        """Raise the limit a little, and end the probing; see `Limiter.note_accepted`."""
        self._places().accept(_current.get(), weight)

    def statistics(self) -> LimiterStatistics:
        """Tell how full the limit is, for the running event loop; without one, it is empty."""
        try:
            return self._places().statistics()
        except RuntimeError:
            return LimiterStatistics(limit=float(self._max_in_flight), in_flight=0, waiting=0, rejected=0)

    def __repr__(self) -> str:
        now = self.statistics()
        return f"<{type(self).__name__}: {now.in_flight} of {now.limit:g} places taken, {now.waiting} waiting>"

    def _places(self) -> Places:
        loop = asyncio.get_running_loop()
        places = self._by_loop.get(loop)
        if places is None:
            places = self._make_places(loop)
            with self._lock:
                self._forget_closed_loops()
                self._by_loop[loop] = places

        return places

    def _make_places(self, loop: asyncio.AbstractEventLoop) -> Places:
        return Places(Congestion(self._max_in_flight, self._rng), loop)

    def _forget_closed_loops(self) -> None:
        # A loop that was closed over suspended tasks is still referred to by what they wait for.
        for loop in list(self._by_loop):
            if loop.is_closed():
                del self._by_loop[loop]


class ImageLease:
    """The places of one call with `ImageLimiter`. It serves one `async with`."""

    def __init__(self, find_places: Callable[[], Places], weight: int) -> None:
        self._find_places = find_places
        self._waiter = Waiter(weight)
        self._places: Places | None = None
        self._outer: Waiter | None = None

    @property
    def queued(self) -> float:
        """Seconds that the call waited in this client's own queue, those behind a gate closed by a 429 left out."""
        return self._waiter.queued

    async def __aenter__(self) -> Self:
        """Wait for the places, all or none.

        A cancellation leaves nothing behind: places granted in the same moment go to the next in line.
        """
        if self._places is not None:
            raise RuntimeError("a lease serves one call; acquire another")

        self._places = self._find_places()
        await self._places.take(self._waiter)
        self._outer = _current.get()
        _current.set(self._waiter)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give the places back, and let in whoever is next."""
        # No `reset(token)`: a call that is finalised in another context must give back its places as well.
        _current.set(self._outer)
        if self._places is not None:
            self._places.give_back(self._waiter)
