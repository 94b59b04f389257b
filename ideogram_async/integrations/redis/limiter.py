"""A limiter for several processes: web workers, hosts, a batch beside a web app."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from itertools import count, islice
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from ideogram_async._limiter.congestion import LONGEST_RETRY_AFTER, Congestion, Uniform
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._limiter.slots import Places, Waiter
from ideogram_async._transport.emitter import logger
from ideogram_async.integrations.redis.store import Seat, Table

__all__ = ["RedisLimiter", "SharedPlaces"]

POLL = 1.0

"""Seconds until Redis is asked without news: it renews the lease, and is a net below the waking."""


class SharedPlaces(Places):
    """Gives places to calls when the table in Redis says so; while Redis is away, out of this process's own share.

    Calls join, leave, take and give back here and never wait for Redis. One task tells the table what has become of
    them, as often as there is news; it lives from the first call to the last.
    """

    def __init__(self, congestion: Congestion, loop: asyncio.AbstractEventLoop, table: Table, rng: Uniform) -> None:
        super().__init__(congestion, loop)
        self._table = table
        self._rng = rng
        self._process = uuid4().hex
        self._count = count(1)
        self._numbers: dict[Waiter, int] = {}
        self._met: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._clerk: asyncio.Task[None] | None = None
        self._is_known = False
        self._is_alone = False
        self._has_complained = False
        self._closed_for = 0.0
        # Nobody has told how many there are: as many as there are places.
        self._share = 1

    async def take(self, waiter: Waiter) -> None:
        """Wait until the call has its places; see `Places.take`."""
        if waiter.weight:
            self._numbers[waiter] = next(self._count)
            self._employ()

        await super().take(waiter)

    def give_back(self, waiter: Waiter) -> None:
        """Take the call out, wherever it stands; see `Places.give_back`."""
        self._numbers.pop(waiter, None)
        super().give_back(waiter)

    def reject(self, waiter: Waiter | None, max_in_flight: int | None, retry_after: float | None) -> None:
        """Take note of a 429, for all processes; see `Places.reject`."""
        holder = waiter if waiter in self._holders else None
        if holder is None or holder.weight:
            note = {
                "number": self._numbers.get(holder, 0) if holder else 0,
                "epoch": self._epoch_of(holder),
                "retry_after": 1000 * min(retry_after or 0.0, LONGEST_RETRY_AFTER),
                "pause": 1000 * self._rng.uniform(1.0, 3.0),
            }
            self._met.append(note if max_in_flight is None else {**note, "told": max_in_flight})

        super().reject(waiter, max_in_flight, retry_after)

    def accept(self, waiter: Waiter | None, weight: int) -> None:
        """Take note of a success, for all processes; see `Places.accept`."""
        if weight:
            holder = waiter if waiter in self._holders else None
            self._met.append({"epoch": self._epoch_of(holder), "weight": weight})

        super().accept(waiter, weight)

    def _admit(self) -> None:
        loop = self._loop()
        if loop is None or loop.is_closed():
            return

        self._news.set()
        if self._is_alone:
            super()._admit()

    def _employ(self) -> None:
        if self._clerk is None or self._clerk.done():
            # In a context of its own: it outlives the call that happens to start it.
            self._clerk = asyncio.get_running_loop().create_task(self._keep_in_step(), context=Context())

    async def _keep_in_step(self) -> None:
        async with self._table.seat(self._process, self._news.set) as seat:
            try:
                while self._numbers or (self._is_known and not self._is_alone):
                    await self._step(seat)
                    await self._rest(seat)
            except asyncio.CancelledError:
                # The loop ends, as a rule. Whoever is left helps himself, and the table is left tidy.
                self._decide_alone()
                with suppress(Exception):
                    await seat.say(self._facts([], [], []))

                raise
            finally:
                self._clerk = None

    async def _step(self, seat: Seat) -> None:
        self._news.clear()
        holding = [[number, waiter.weight] for waiter, number in self._numbers.items() if waiter in self._holders]
        others = ([number, waiter.weight] for waiter, number in self._numbers.items() if waiter not in self._holders)
        # More cannot go at once, and whoever has few calls should not stand behind a crowd.
        waiting = list(islice(others, self._congestion.configured))
        met, self._met = self._met, []
        try:
            reply = await seat.say(self._facts(holding, waiting, met))
            self._follow(reply)
        except Exception as error:
            self._complain(error)
            self._decide_alone()
        else:
            self._is_known = bool(holding or waiting)

    async def _rest(self, seat: Seat) -> None:
        """Wait for news. While Redis is away the only news is that nobody needs it any more."""
        if len(self._line) and not self._is_alone:
            seat.listen()

        seconds = min(POLL, self._table.lease / 3, self._closed_for or POLL)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._numbers:
                    await self._news.wait()
                    if not self._is_alone:
                        return

                    self._news.clear()

    def _facts(self, holding: list[Any], waiting: list[Any], met: list[Any]) -> dict[str, Any]:
        return {"configured": self._congestion.configured, "holding": holding, "waiting": waiting, "met": met}

    def _follow(self, reply: dict[str, Any]) -> None:
        """Do as the table says."""
        now = asyncio.get_running_loop().time()
        self._closed_for = reply["closed_for"] / 1000
        self._share = max(1, self._congestion.configured // reply["peers"])
        self._congestion.adopt(limit=reply["limit"], ceiling=reply["ceiling"], epoch=reply["epoch"])
        self._congestion.gate.close(now, self._closed_for)
        waiters = {number: waiter for waiter, number in self._numbers.items()}
        for number, _, epoch in reply["holding"]:
            waiter = waiters.get(number)
            if waiter is not None and waiter not in self._holders:
                self._line.leave(waiter)
                self._grant(waiter, now)
                waiter.epoch = epoch

        self._is_alone = False
        if self._has_complained:
            self._has_complained = False
            logger.info("Redis is back; the limit is shared again")

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            words = "Redis is away (%s); until it is back this process keeps to %d of %d places"
            why = f"{type(error).__name__}: {error}".removesuffix(": ")
            logger.warning(words, why, self._share, self._congestion.configured)

    def _decide_alone(self) -> None:
        if not self._is_alone:
            congestion = self._congestion
            congestion.adopt(limit=min(congestion.limit, self._share), ceiling=self._share, epoch=congestion.epoch)
            self._is_alone = True

        self._met.clear()
        self._admit()


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
