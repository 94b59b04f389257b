"""A client of a scripted server, and the events that it told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from ideogram_async import Ideogram
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._transport.policy import Retry
from ideogram_async.events import Event

__all__ = ["AT_ONCE", "CANARY", "Events", "NoNames", "SlowNames", "connected", "impatient", "resolving"]

E = TypeVar("E", bound=Event)

CANARY = "canary-5up3r53cr3t-key"
AT_ONCE = Retry(base=0.0)
"""Five attempts without pauses."""


class Events(list[Event]):
    """Remembers what it was told."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self if isinstance(event, kind)]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self]


class Instant:
    """Draws next to nothing, so that a gate that was closed opens in a millisecond."""

    def uniform(self, a: float, b: float, /) -> float:
        return 0.001


def impatient(max_in_flight: int = 10) -> ImageLimiter:
    """Make a limiter whose gate closes for milliseconds."""
    return ImageLimiter(max_in_flight, rng=Instant())


class NoNames(AbstractResolver):
    """Finds no host."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise OSError(None, "nobody knows that host")

    async def close(self) -> None:
        pass


class SlowNames(NoNames):
    """Never finds out."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []


def resolving(resolver: type[AbstractResolver]) -> Callable[..., aiohttp.ClientSession]:
    """Make sessions that look names up so."""

    def factory(purpose: str, **settings: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(**settings | {"connector": aiohttp.TCPConnector(resolver=resolver())})

    return factory


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncGenerator[Ideogram]:
    """Give a client that tries again at once. Afterwards it is closed, and holds no place."""
    given = {"retry": AT_ONCE, "limiter": options.pop("limiter", None) or impatient()} | options
    async with Ideogram(given.pop("api_key", CANARY), base_url=url, **given) as client:
        yield client
        statistics = client.limiter.statistics()

    assert (0, 0) == (statistics.in_flight, statistics.waiting)
