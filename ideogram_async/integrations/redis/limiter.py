"""A limiter for several processes: web workers, hosts, a batch beside a web app."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from ideogram_async.integrations.redis.places import SharedPlaces
from ideogram_async.integrations.redis.table import Table
from ideogram_async.limiter.congestion import Congestion
from ideogram_async.limiter.limiter import ImageLimiter

__all__ = ["RedisLimiter"]


class RedisLimiter(ImageLimiter):
    """The limiter of one account, shared by everybody who names it in the same Redis: `Ideogram(limiter=...)`.

    Places, order, ceiling and gate are common to all processes, with the rules of the client's own limiter. A process
    that dies gives its places back when its lease is over. While Redis is away each process keeps to its part of the
    limit, says so once in the log, and comes back by itself: too many at once cost a 429, never money.

    Args:
        redis: A URL such as `redis://localhost:6379/0`, or a `redis.asyncio.Redis` of yours. With a URL connections
            are open while calls are, in any event loop. A client of yours serves its own event loop, and stays yours
            to close.
        account: A name for the account, the same in every process. Never its key.
        max_in_flight: Images that may be in progress at once, over all processes.
        lease: Seconds after which the places of a process that has gone silent are free. The service may be at work
            on its images still, so less than they take costs 429s.

    Raises:
        ValueError: If a setting makes no sense.
    """

    def __init__(
        self, redis: str | Redis, *, account: str = "default", max_in_flight: int = 10, lease: float = 90.0
    ) -> None:
        super().__init__(max_in_flight)
        if isinstance(redis, str):
            parse_url(redis)
        if not account:
            raise ValueError("account must be a name")
        if not lease > 0:
            raise ValueError(f"lease must be more than 0 seconds, not {lease}")

        self._table = Table(redis=redis, account=account, lease=lease)

    def _make_places(self, loop: asyncio.AbstractEventLoop) -> SharedPlaces:
        return SharedPlaces(Congestion(self._max_in_flight, self._rng), loop, self._table, self._rng)
