"""The sandbox, as people use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from ideogram_async.sandbox.api import Service
from ideogram_async.sandbox.faults import Fault
from ideogram_async.sandbox.images import Gallery
from ideogram_async.sandbox.ledger import Ledger
from ideogram_async.sandbox.records import Arrival, ImageArrival
from ideogram_async.sandbox.server import Port
from ideogram_async.sandbox.state import Latency, Options, State, Watch, call_in

__all__ = ["Sandbox"]

_FORMATS = ("JPEG", "PNG", "WEBP")


class Sandbox:
    """A local server that behaves like the service, bills like it and fails on demand.

    It listens on two loopback ports, one for the API and one for images, in the event loop that starts it. What is no
    coroutine may be called from any thread; `arrived` and `settled` may be awaited in any event loop.

    Args:
        max_in_flight: How many images may be in the making at once, over the whole box; more is answered with 429.
        latency: How many seconds a generation takes: a number, a `(low, high)` range or a function. Tests want zero.
        seed: What the box draws seeds and latencies from; the same number gives the same draws.
        balance_usd: How much may be billed before the answer is 402; `None` is without end.
        link_lifetime: After how many seconds a link to an image expires, by the box's clock.
        image_format: `PNG`, `JPEG` or `WEBP`. Transparent images are PNG where JPEG is asked for.
        port: The port of the API; 0 takes a free one.

    Raises:
        ValueError: If the image format is none of the three.
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
    ) -> None:
        if image_format.upper() not in _FORMATS:
            raise ValueError(f"image_format must be one of {', '.join(_FORMATS)}, not {image_format!r}")

        self._options = Options(
            max_in_flight=max_in_flight,
            latency=latency,
            seed=seed,
            balance_usd=None if balance_usd is None else Decimal(str(balance_usd)),
            link_lifetime=link_lifetime,
            image_format=image_format.upper(),
            port=port,
        )
        self._watch = Watch()
        self._state = State(self._options)
        self._gallery: Gallery | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # The port of the API, then the port of the images.
        self._ports: tuple[Port, ...] = ()

    def __repr__(self) -> str:
        where = self.url if self._ports else "closed"
        return f"<Sandbox {where} in_flight={self._state.places.taken} {self.ledger!r}>"

    async def start(self) -> None:
        """Begin to serve, in this event loop.

        Raises:
            ImportError: If Pillow is not installed.
            OSError: If the port is taken.
        """
        if find_spec("PIL") is None:
            raise ImportError('the sandbox draws with Pillow: pip install "ideogram-async[sandbox]"')

        def state() -> State:
            return self._state

        api = Port(Service(state, self._watch, self._obey_refusals), self._options.port)
        self._gallery = Gallery(state, self._watch, self._obey_refusals)
        self._ports = (api, Port(self._gallery))
        self._loop = asyncio.get_running_loop()
        self._state.image_url = self.image_url
        self._obey_refusals()

    async def aclose(self) -> None:
        """Stop serving and end every connection, also those that wait or hang; twice is fine."""
        ports, self._ports = self._ports, ()
        gallery, self._gallery = self._gallery, None

        for port in ports:
            await port.aclose()
        if gallery is not None:
            gallery.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Give the origin of the API; a client takes it as its base URL."""
        return self._port(0).url

    @property
    def image_url(self) -> str:
        """Give the origin of the images."""
        return self._port(1).url

    @property
    def ledger(self) -> Ledger:
        """Give what was billed."""
        return self._state.ledger

    @property
    def requests(self) -> list[Arrival]:
        """Give every API request that arrived whole, refused ones included, in order."""
        return list(self._state.requests)

    @property
    def image_requests(self) -> list[ImageArrival]:
        """Give every request that the image origin saw, in order."""
        return list(self._state.image_requests)

    @property
    def leaked_keys(self) -> list[tuple[str, str]]:
        """Give the path and value wherever the image origin saw an `Api-Key` or `Authorization` header."""
        return list(self._state.leaked_keys)

    @property
    def peak_in_flight(self) -> int:
        """Give the largest number of images that were in the making at once."""
        return self._state.places.peak

    def fail(
        self,
        operation: str | None = None,
        *,
        fault: Fault | Callable[[], Fault],
        times: int = 1,
        after: int = 0,
    ) -> None:
        """Let something go wrong.

        Args:
            operation: Which calls: `"POST /v1/ideogram-v3/generate"`, its path, or the end of the path; `"images"`
                for links to images; `None` for any API call, or any link with an image fault.
            fault: What goes wrong.
            times: How many matching calls meet it.
            after: How many matching calls pass before.

        Raises:
            ValueError: If no operation has that name.
        """
        planned = fault if isinstance(fault, Fault) else fault()
        self._state.schedule.add(planned, operation, times=times, after=after)
        self._in_loop(self._obey_refusals)

    def hold(self) -> None:
        """Let generations wait before they are done; they keep their places until `release`."""
        self._state.is_held = True

    def release(self) -> None:
        """Let held generations go on, answer what hangs, and listen again where connections are refused."""
        self._release(self._state)

    def reset(self) -> None:
        """Forget everything: requests, bills, faults, data sets, models, images, passed time and drawn seeds.

        Work under way is released and still answered, but leaves no trace here.
        """
        former, self._state = self._state, State(self._options)
        self._state.image_url = former.image_url
        self._release(former)

    def advance(self, seconds: float) -> None:
        """Let the box's clock go on: links expire and models are trained."""
        self._state.advance(seconds)

    async def wait_for_requests(self, count: int) -> None:
        """Wait until so many API requests have arrived whole since the start or the last reset."""
        await self._watch.until(lambda: len(self._state.requests) >= count)

    async def wait_idle(self) -> None:
        """Wait until no API request is being worked on, so that everything that will be billed is billed."""
        await self._watch.until(lambda: self._state.busy == 0)

    def _port(self, index: int) -> Port:
        if not self._ports:
            raise RuntimeError("the sandbox is not running")

        return self._ports[index]

    def _release(self, state: State) -> None:
        state.is_held = False
        state.releases += 1
        self._watch.notify()
        self._in_loop(self._accept)

    def _accept(self) -> None:
        for port in self._ports:
            port.accept()

    def _obey_refusals(self) -> None:
        if not self._ports:
            return

        for is_images in self._state.schedule.due_refusals():
            self._ports[int(is_images)].refuse()

    def _in_loop(self, action: Callable[[], None]) -> None:
        if self._loop is None or not self._ports:
            return

        call_in(self._loop, action)
