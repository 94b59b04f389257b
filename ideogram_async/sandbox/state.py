"""All that a box knows, from one reset to the next."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

from attrs import evolve, frozen

from ideogram_async.sandbox.drawing import suffix_of
from ideogram_async.sandbox.faults import Schedule
from ideogram_async.sandbox.ledger import Ledger, Places
from ideogram_async.sandbox.links import Links
from ideogram_async.sandbox.recipe import Sketch
from ideogram_async.sandbox.records import Arrival, ImageArrival
from ideogram_async.sandbox.training import StoredDataset, StoredModel, stamp

__all__ = ["Latency", "Options", "State", "Watch", "call_in"]

Latency = float | tuple[float, float] | Callable[[], float]


@frozen
class Options:
    """How a box was asked to behave."""

    max_in_flight: int = 10
    latency: Latency = 0.0
    seed: int = 0
    balance_usd: Decimal | None = None
    link_lifetime: float = 86400.0
    image_format: str = "PNG"
    port: int = 0


class State:
    """What a box remembers; `reset` replaces it, and work that is under way goes on with the old one."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.image_url = ""
        self.ledger = Ledger(options.balance_usd)
        self.places = Places(options.max_in_flight)
        self.schedule = Schedule()
        self.links = Links()
        self.requests: list[Arrival] = []
        self.image_requests: list[ImageArrival] = []
        self.leaked_keys: list[tuple[str, str]] = []
        self.datasets: dict[str, StoredDataset] = {}
        self.models: dict[str, StoredModel] = {}
        self.is_held = False
        self.releases = 0
        self.busy = 0
        self._advanced = 0.0
        self._seeds = random.Random(options.seed)
        # Latencies have numbers of their own, so that they do not change the seeds.
        self._latencies = random.Random(options.seed)

    @property
    def now(self) -> float:
        """Give the box's time: the machine's, plus what was advanced."""
        return time.time() + self._advanced

    @property
    def created(self) -> str:
        """Write the box's time as the answers do."""
        return stamp(self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._advanced += seconds

    def new_seed(self) -> int:
        """Draw a seed for a request that brought none."""
        return self._seeds.randrange(2**31)

    def new_latency(self) -> float:
        """Say how many seconds the next work takes."""
        latency = self.options.latency

        if callable(latency):
            return latency()

        return self._latencies.uniform(*latency) if isinstance(latency, tuple) else latency

    def link(self, sketch: Sketch) -> str:
        """Keep an image and give its link."""
        return self.links.add(
            sketch,
            origin=self.image_url,
            suffix=suffix_of(sketch, self.options.image_format),
            expires_at=int(self.now + self.options.link_lifetime),
        )

    def record(self, arrival: Arrival) -> int:
        """Write a request down and give its number."""
        self.requests.append(arrival)
        return len(self.requests) - 1

    def conclude(self, number: int, status: int) -> None:
        """Add to a request how it was answered."""
        self.requests[number] = evolve(self.requests[number], status=status)


class Watch:
    """Conditions that tasks wait for; `notify` looks which of them hold now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; at once if it holds already."""
        with self._lock:
            if condition():
                return

            future = asyncio.get_running_loop().create_future()
            self._waiting[future] = condition

        try:
            await future
        finally:
            with self._lock:
                self._waiting.pop(future, None)

    def notify(self) -> None:
        """Wake whoever waits for something that is true now; safe from any thread."""
        with self._lock:
            due = [future for future, condition in self._waiting.items() if condition()]

            for future in due:
                del self._waiting[future]

        for future in due:
            # A loop that was closed meanwhile has nobody left to wake.
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def call_in(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    """Call a function where a loop runs, and return when that is done."""
    # A loop that stands still is waited for by nobody but the caller.
    if not loop.is_running() or _is_running_here(loop):
        action()
        return

    async def act() -> None:
        action()

    asyncio.run_coroutine_threadsafe(act(), loop).result()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
