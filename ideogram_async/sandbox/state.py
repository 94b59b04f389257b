"""State of a sandbox between two resets, and the condition that tasks wait on."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import TypeAlias

from attrs import evolve, frozen

from ideogram_async.sandbox.drawing import suffix_of
from ideogram_async.sandbox.faults import FaultSchedule
from ideogram_async.sandbox.ledger import Ledger, Slots
from ideogram_async.sandbox.links import Links
from ideogram_async.sandbox.recipe import Recipe
from ideogram_async.sandbox.records import (
    RecordedDelivery,
    RecordedGeneration,
    RecordedImageRequest,
    RecordedRequest,
)
from ideogram_async.sandbox.resources import StoredDataset, StoredModel, format_time

Latency: TypeAlias = float | tuple[float, float] | Callable[[], float]


@frozen
class Options:
    """The arguments of a sandbox."""

    max_in_flight: int
    latency: Latency
    seed: int
    balance_usd: Decimal | None
    link_lifetime: float
    image_format: str
    port: int


class State:
    """Everything that `reset` replaces; calls in flight finish with the state in which they began."""

    def __init__(self, options: Options, condition: Condition, background: Background, image_url: str = "") -> None:
        self.options = options
        self.condition = condition
        self.background = background
        self.image_url = image_url
        self.ledger: Ledger = Ledger(options.balance_usd)
        self.slots: Slots = Slots(options.max_in_flight)
        self.schedule: FaultSchedule = FaultSchedule()
        self.links: Links = Links()
        self.requests: list[RecordedRequest] = []
        self.image_requests: list[RecordedImageRequest] = []
        self.leaked_keys: list[tuple[str, str]] = []
        self.generations: dict[str, RecordedGeneration] = {}
        self.deliveries: list[RecordedDelivery] = []
        self.datasets: dict[str, StoredDataset] = {}
        self.models: dict[str, StoredModel] = {}
        self.is_held: bool = False
        self.releases: int = 0
        self.busy: int = 0
        self._advanced = 0.0
        self._seeds = random.Random(options.seed)
        # Separate from the seeds, so that latencies do not change them.
        self._latencies = random.Random(options.seed)

    @property
    def now(self) -> float:
        """The sandbox's time: the machine's, plus the seconds that were advanced."""
        return time.time() + self._advanced

    @property
    def created(self) -> str:
        """The sandbox's time, in the format of the replies."""
        return format_time(self.now)

    def advance(self, seconds: float) -> None:
        try:
            format_time(self.now + seconds)
        except TypeError:
            raise TypeError(f"seconds must be a number, not {seconds!r}") from None
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"seconds must lead to a year up to 9999, not {seconds!r}") from None

        self._advanced += seconds

    def new_seed(self) -> int:
        """Return a seed for a request without one."""
        return self._seeds.randrange(2**31)

    def new_latency(self) -> float:
        """Return the latency of the next call, in seconds."""
        latency = self.options.latency
        if callable(latency):
            return latency()

        return self._latencies.uniform(*latency) if isinstance(latency, tuple) else latency

    @contextmanager
    def processing(self) -> Generator[None]:
        """Count a block as work that `Sandbox.wait_idle` waits for."""
        notify = asyncio.get_running_loop().call_soon
        self.busy += 1
        # Tasks that wait are woken in the loop's next iteration, after this one has run as far as it can.
        notify(self.condition.notify)
        try:
            yield
        finally:
            self.busy -= 1
            notify(self.condition.notify)

    async def latency_passed(self) -> None:
        """Wait for the latency of a charged call, and until the sandbox is not held."""
        latency = self.new_latency()
        if latency > 0:
            await asyncio.sleep(latency)

        await self.condition.wait_for(lambda: not self.is_held)

    def link(self, recipe: Recipe) -> str:
        """Register an image and return its link."""
        return self.links.add(
            recipe,
            origin=self.image_url,
            suffix=suffix_of(recipe, self.options.image_format),
            expires_at=int(self.now + self.options.link_lifetime),
        )

    def record(self, request: RecordedRequest) -> int:
        """Append a request to the record and return its number."""
        self.requests.append(request)
        return len(self.requests) - 1

    def record_status(self, number: int, status: int) -> None:
        """Add the status of the reply to a recorded request."""
        self.requests[number] = evolve(self.requests[number], status=status)

    def release(self) -> None:
        """Finish held calls and send hanging replies."""
        self.is_held = False
        self.releases += 1
        self.condition.notify()

    def next_release(self) -> Callable[[], Awaitable[None]]:
        """Return a function that waits for a release later than this moment."""
        releases = self.releases
        return lambda: self.condition.wait_for(lambda: self.releases > releases)


class Background:
    """Tasks that outlive the requests that start them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, None, None]) -> None:
        """Start a task and keep a reference to it until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Cancel the tasks and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()

        await asyncio.gather(*tasks, return_exceptions=True)


class Condition:
    """A condition variable for tasks of any event loop; `notify` wakes those whose predicate holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Wait until the predicate holds; return at once if it holds already."""
        with self._lock:
            if predicate():
                return

            future = asyncio.get_running_loop().create_future()
            self._waiting[future] = predicate

        try:
            await future
        finally:
            with self._lock:
                self._waiting.pop(future, None)

    def notify(self) -> None:
        """Wake every task whose predicate holds; safe from any thread."""
        with self._lock:
            due = [future for future, predicate in self._waiting.items() if predicate()]
            for future in due:
                del self._waiting[future]

        for future in due:
            # The loop may have been closed in the meantime.
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def call_in(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    """Call a function in the thread of a loop and wait until it returns."""

    async def act() -> None:
        action()

    # A loop that is not running cannot interfere.
    if not loop.is_running() or _is_running_here(loop):
        action()
    else:
        asyncio.run_coroutine_threadsafe(act(), loop).result()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
