"""All that a box knows, from one reset to the next."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from decimal import Decimal

from attrs import evolve, frozen

from ideogram_async.sandbox.datasets import StoredDataset
from ideogram_async.sandbox.drawing import suffix_of
from ideogram_async.sandbox.ledger import Ledger
from ideogram_async.sandbox.links import Links
from ideogram_async.sandbox.models import StoredModel, stamp
from ideogram_async.sandbox.places import Places
from ideogram_async.sandbox.records import Arrival, ImageArrival
from ideogram_async.sandbox.schedule import Schedule
from ideogram_async.sandbox.sketch import Sketch

__all__ = ["Latency", "Options", "State"]

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
