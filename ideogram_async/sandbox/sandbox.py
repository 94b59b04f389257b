"""The sandbox: settings, lifecycle, records and fault injection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from types import TracebackType
from typing import Self

from ideogram_async._prices import parse_usd
from ideogram_async._requirements import needs_extra
from ideogram_async.sandbox.api import ApiOrigin
from ideogram_async.sandbox.control import ControlledOrigin
from ideogram_async.sandbox.faults import Fault
from ideogram_async.sandbox.images import ImageOrigin
from ideogram_async.sandbox.ledger import Ledger
from ideogram_async.sandbox.records import RecordedDelivery, RecordedGeneration, RecordedImageRequest, RecordedRequest
from ideogram_async.sandbox.rules import IMAGE_FORMATS
from ideogram_async.sandbox.server import Handler, Listener
from ideogram_async.sandbox.state import Background, Condition, Latency, Options, State, call_in


class Sandbox:
    """A local server that behaves like the service, bills like it and fails on demand.

    It listens on two loopback ports, one for the API and one for images, in the event loop that starts it. Methods that
    are not coroutines are safe from any thread. `wait_for_requests` and `wait_idle` can be awaited in any event loop.

    Args:
        max_in_flight: Maximum number of images in progress; a call beyond it is rejected with 429.
        latency: Seconds that a charged call takes: a number, a `(low, high)` range or a function.
        seed: Seed of the random image seeds and latencies; the same value gives the same sequence.
        balance_usd: The amount in USD that can be billed before the reply is 402; `None` is unlimited.
        link_lifetime: Seconds until a link to an image expires, by the sandbox's clock.
        image_format: `PNG`, `JPEG` or `WEBP`. Transparent images are PNG instead of JPEG.
        port: The port of the API; 0 selects a free one.
        control: Whether programs can control the sandbox over HTTP, with the paths below `/sandbox/`, on both ports.

    Raises:
        ValueError: If the image format, the balance or the lifetime of links is invalid.
    """

    def __init__(
        self,
        *,
        max_in_flight: int = 10,
        latency: Latency = 0.0,
        seed: int = 0,
        balance_usd: Decimal | float | str | None = None,
        link_lifetime: float = 86400.0,
        image_format: str = "PNG",
        port: int = 0,
        control: bool = False,
    ) -> None:
        if image_format.upper() not in IMAGE_FORMATS:
            raise ValueError(f"image_format must be one of {', '.join(IMAGE_FORMATS)}, not {image_format!r}")
        if not math.isfinite(link_lifetime):
            raise ValueError(f"link_lifetime must be a finite number of seconds, not {link_lifetime!r}")

        self._options = Options(
            max_in_flight=max_in_flight,
            latency=latency,
            seed=seed,
            balance_usd=None if balance_usd is None else parse_usd("balance_usd", balance_usd),
            link_lifetime=link_lifetime,
            image_format=image_format.upper(),
            port=port,
        )
        self._has_control = control
        self._condition = Condition()
        self._background = Background()
        self._state = State(self._options, self._condition, self._background)
        self._image_origin: ImageOrigin | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # The API's, then the images'.
        self._listeners: tuple[Listener, ...] = ()

    def __repr__(self) -> str:
        address = self.url if self._listeners else "closed"
        return f"<Sandbox {address} in_flight={self._state.slots.in_flight} {self.ledger!r}>"

    async def start(self) -> None:
        """Start serving in the running event loop.

        Raises:
            ImportError: If Pillow is not installed.
            OSError: If the port is in use.
        """
        with needs_extra("ideogram_async.sandbox", "sandbox"):
            import_module("PIL")

        def state() -> State:
            return self._state

        self._image_origin = ImageOrigin(state, self._apply_refusals)
        handlers: list[Handler] = [ApiOrigin(state, self._apply_refusals), self._image_origin]
        if self._has_control:
            handlers = [ControlledOrigin(self, handler) for handler in handlers]

        api = Listener(handlers[0], self._options.port)
        self._listeners = (api, Listener(handlers[1]))
        self._loop = asyncio.get_running_loop()
        self._state.image_url = self.image_url
        self._apply_refusals()

    async def aclose(self) -> None:
        """Stop serving and end every connection, including held and hanging ones. Closing twice is harmless."""
        listeners, self._listeners = self._listeners, ()
        image_origin, self._image_origin = self._image_origin, None
        for listener in listeners:
            await listener.aclose()

        await self._background.aclose()
        if image_origin is not None:
            image_origin.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """The origin of the API: the base URL for a client."""
        return self._listener(0).url

    @property
    def image_url(self) -> str:
        """The origin of the images."""
        return self._listener(1).url

    @property
    def ledger(self) -> Ledger:
        """The billed calls."""
        return self._state.ledger

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every API request that was received completely, in order, including refused ones."""
        return list(self._state.requests)

    @property
    def generations(self) -> list[RecordedGeneration]:
        """Every call that was accepted, in order."""
        return list(self._state.generations.values())

    @property
    def deliveries(self) -> list[RecordedDelivery]:
        """Every attempt to deliver a result to a `webhook_url`, in order."""
        return list(self._state.deliveries)

    @property
    def image_requests(self) -> list[RecordedImageRequest]:
        """Every request that the image origin received, in order."""
        return list(self._state.image_requests)

    @property
    def leaked_keys(self) -> list[tuple[str, str]]:
        """Path and value of each `Api-Key` or `Authorization` header that the image origin received."""
        return list(self._state.leaked_keys)

    @property
    def peak_in_flight(self) -> int:
        """The largest number of images that were in progress at once."""
        return self._state.slots.peak

    def fail(
        self, operation: str | None = None, *, fault: Fault | Callable[[], Fault], times: int = 1, after: int = 0
    ) -> None:
        """Inject a fault.

        Args:
            operation: The calls that match: `"POST /v1/ideogram-v3/generate"`, its path, or the end of the path;
                `"images"` for links to images; `None` for any API call, or any link with an image fault.
            fault: The fault.
            times: The number of matching calls that it affects, at least 1.
            after: The number of matching calls that succeed first.

        Raises:
            ValueError: If no operation has that name, or a count is too small.
            TypeError: If an argument has another type.
        """
        planned = fault() if callable(fault) else fault
        if not isinstance(planned, Fault):
            raise TypeError(f"fault must be a Fault such as Fault.hang, not {planned!r}")

        self._state.schedule.add(planned, operation, times=times, after=after)
        self._in_loop(self._apply_refusals)

    def hold(self) -> None:
        """Keep charged calls in progress, with their slots, until `release`."""
        self._state.is_held = True

    def release(self) -> None:
        """Finish held calls, send hanging replies, and accept connections again."""
        self._release(self._state)

    def reset(self) -> None:
        """Clear the state: requests, bills, faults, datasets, models, images, clock and random numbers.

        Calls in flight are released and answered, but are not recorded in the new state.
        """
        former, self._state = (
            self._state,
            State(self._options, self._condition, self._background, self._state.image_url),
        )
        self._release(former)

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward, so that links expire and models are trained.

        Raises:
            ValueError: If the clock would leave the calendar.
        """
        self._state.advance(seconds)

    async def wait_for_requests(self, count: int) -> None:
        """Wait until `count` API requests have been received completely since the start or the last reset."""
        await self._condition.wait_for(lambda: len(self._state.requests) >= count)

    async def wait_idle(self) -> None:
        """Wait until no API request, accepted call or delivery is in progress, so that everything due is billed.

        Calls that a fault keeps pending do not count.
        """
        await self._condition.wait_for(lambda: self._state.busy == 0)

    def _listener(self, index: int) -> Listener:
        if not self._listeners:
            raise RuntimeError("the sandbox is not running")

        return self._listeners[index]

    def _release(self, state: State) -> None:
        state.release()
        self._in_loop(self._listen)

    def _listen(self) -> None:
        for listener in self._listeners:
            listener.listen()

    def _apply_refusals(self) -> None:
        """Close the ports for which a planned refusal is due."""
        if self._listeners:
            for is_images in self._state.schedule.pop_refusals():
                self._listeners[int(is_images)].refuse()

    def _in_loop(self, action: Callable[[], None]) -> None:
        if self._loop is not None and self._listeners:
            call_in(self._loop, action)
