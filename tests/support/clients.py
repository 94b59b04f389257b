"""Clients of a scripted server, and listeners that record events."""

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

__all__ = [
    "AT_ONCE",
    "CANARY",
    "Events",
    "FailingResolver",
    "HangingResolver",
    "connected",
    "fast_limiter",
    "session_factory_with",
]

E = TypeVar("E", bound=Event)

CANARY = "canary-5up3r53cr3t-key"
AT_ONCE = Retry(base=0.0)
"""Five attempts without back-off."""


class Events(list[Event]):
    """A listener that records events."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self if isinstance(event, kind)]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self]


class ShortDelays:
    """A random source that makes every back-off one millisecond."""

    def uniform(self, a: float, b: float, /) -> float:
        return 0.001


def fast_limiter(max_in_flight: int = 10) -> ImageLimiter:
    """Return a limiter whose back-off gate closes for a millisecond."""
    return ImageLimiter(max_in_flight, rng=ShortDelays())


class FailingResolver(AbstractResolver):
    """A resolver that finds no host."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise OSError(None, "unknown host")

    async def close(self) -> None:
        pass


class HangingResolver(FailingResolver):
    """A resolver that never answers."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []


def session_factory_with(resolver: type[AbstractResolver]) -> Callable[..., aiohttp.ClientSession]:
    """Return a session factory that uses a resolver."""

    def factory(purpose: str, **settings: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(**settings | {"connector": aiohttp.TCPConnector(resolver=resolver())})

    return factory


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncGenerator[Ideogram]:
    """Open a client that retries without back-off; after the block it holds no slot."""
    settings = {"retry": AT_ONCE, "limiter": options.pop("limiter", None) or fast_limiter()} | options
    async with Ideogram(settings.pop("api_key", CANARY), base_url=url, **settings) as client:
        yield client
        statistics = client.limiter.statistics()

    assert (0, 0) == (statistics.in_flight, statistics.waiting)
