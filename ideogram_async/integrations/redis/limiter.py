"""Limiter of one account that is shared by several processes or hosts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from itertools import count, islice
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from ideogram_async._limiter.congestion import MAX_RETRY_AFTER, Congestion, Uniform
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._limiter.slots import Slots, Waiter
from ideogram_async._transport.emitter import logger
from ideogram_async.integrations.redis.store import Member, SlotStore, State

__all__ = ["RedisLimiter", "SharedSlots"]

SYNC_INTERVAL = 1.0
"""Seconds between two syncs without a change. Each renews the lease, and replaces a wake-up that was lost."""


class RedisLimiter(ImageLimiter):
    """The limiter of one account, shared by all processes that use the same name in Redis: `Ideogram(limiter=...)`.

    Slots, order, limit and gate are common to all processes, with the rules of the client's own limiter. The slots of
    a process that dies are released when its lease expires. While Redis is unavailable each process is limited to its
    share, which is logged once, and reconnects by itself. Too many calls at once cost a 429, never money.

    Args:
        redis: A URL such as `redis://localhost:6379/0`, or your own `redis.asyncio.Redis`. With a URL, connections
            are open only during calls, in any event loop. Your own client works in its own event loop only, and is
            never closed by the limiter.
        account: A name for the account, the same in every process. Never its key.
        max_in_flight: Images that may be in progress at once, over all processes. While processes with different
            limits have calls, the smallest limit applies, which is logged.
        lease: Seconds after which the slots of a silent process are released. The service may still be processing its
            images, so a lease shorter than an image takes causes 429s.

    Raises:
        ValueError: If a setting is invalid.
    """

    def __init__(
        self, redis: str | Redis, *, account: str = "default", max_in_flight: int = 10, lease: float = 90.0
    ) -> None:
        super().__init__(max_in_flight)
        if isinstance(redis, str):
            parse_url(redis)
        if not account:
            raise ValueError("account must be a name, not an empty string")
        if not lease > 0:
            raise ValueError(f"lease must be more than 0 seconds, not {lease}")

        self._store = SlotStore(redis=redis, account=account, lease=lease)

    def _new_slots(self, loop: asyncio.AbstractEventLoop) -> SharedSlots:
        return SharedSlots(Congestion(self._max_in_flight, self._rng), loop, self._store, self._rng)


class SharedSlots(Slots):
    """Slots that are granted by Redis, or out of this process's own share while Redis is unavailable.

    No method waits for Redis. One task syncs held slots, queued calls and outcomes after every change. It runs from
    the first call to the last.
    """

    def __init__(self, congestion: Congestion, loop: asyncio.AbstractEventLoop, store: SlotStore, rng: Uniform) -> None:
        super().__init__(congestion, loop)
        self._store = store
        self._rng = rng
        self._process = uuid4().hex
        self._count = count(1)
        self._numbers: dict[Waiter, int] = {}
        self._outcomes: list[dict[str, float]] = []
        self._changed = asyncio.Event()
        self._sync_task: asyncio.Task[None] | None = None
        self._is_registered = False
        self._is_offline = False
        self._was_logged = False
        self._logged_limits = set[int]()
        self._closed_for = 0.0
        # Before the first sync the number of processes is unknown: at most as many as there are slots.
        self._share = 1

    async def acquire(self, waiter: Waiter) -> None:
        """Wait until the call holds its slots; see `Slots.acquire`."""
        if waiter.weight:
            self._numbers[waiter] = next(self._count)
            self._ensure_sync_task()

        await super().acquire(waiter)

    def release(self, waiter: Waiter) -> None:
        """Remove the call from the queue, or release its slots; see `Slots.release`."""
        self._numbers.pop(waiter, None)
        super().release(waiter)

    def reject(self, waiter: Waiter | None, max_in_flight: int | None, retry_after: float | None) -> None:
        """Record a 429, for all processes; see `Slots.reject`."""
        holder = waiter if waiter in self._holders else None
        if holder is None or holder.weight:
            outcome = {
                "number": self._numbers.get(holder, 0) if holder else 0,
                "epoch": self._epoch_of(holder),
                "retry_after": 1000 * min(retry_after or 0.0, MAX_RETRY_AFTER),
                "pause": 1000 * self._rng.uniform(1.0, 3.0),
            }
            self._outcomes.append(outcome if max_in_flight is None else {**outcome, "server_limit": max_in_flight})

        super().reject(waiter, max_in_flight, retry_after)

    def accept(self, waiter: Waiter | None, weight: int) -> None:
        """Record a success, for all processes; see `Slots.accept`."""
        if weight:
            holder = waiter if waiter in self._holders else None
            self._outcomes.append({"epoch": self._epoch_of(holder), "weight": weight})

        super().accept(waiter, weight)

    def _admit(self) -> None:
        loop = self._loop()
        if loop is None or loop.is_closed():
            return

        self._changed.set()
        if self._is_offline:
            super()._admit()

    def _ensure_sync_task(self) -> None:
        if self._sync_task is None or self._sync_task.done():
            # In a context of its own: the task outlives the call that starts it.
            self._sync_task = asyncio.get_running_loop().create_task(self._sync_loop(), context=Context())

    async def _sync_loop(self) -> None:
        async with self._store.join(self._process, self._changed.set) as member:
            try:
                while self._numbers or (self._is_registered and not self._is_offline):
                    await self._sync(member)
                    await self._wait_for_change(member)
            except asyncio.CancelledError:
                # Usually loop shutdown: waiters fall back to local slots, and ours in Redis are released.
                self._fall_back()
                with suppress(Exception):
                    await member.sync(self._congestion.configured)

                raise
            finally:
                self._sync_task = None

    async def _sync(self, member: Member) -> None:
        self._changed.clear()
        holding = [(number, waiter.weight) for waiter, number in self._numbers.items() if waiter in self._holders]
        others = ((number, waiter.weight) for waiter, number in self._numbers.items() if waiter not in self._holders)
        # No more can be granted at once, and a busy process must not crowd out the others.
        configured = self._congestion.configured
        waiting = list(islice(others, configured))
        outcomes, self._outcomes = self._outcomes, []
        try:
            self._apply(await member.sync(configured, holding=holding, waiting=waiting, outcomes=outcomes))
        except Exception as error:
            self._log_once(error)
            self._fall_back()
        else:
            self._is_registered = bool(holding or waiting)

    async def _wait_for_change(self, member: Member) -> None:
        """Wait for a change or the next interval. While Redis is unavailable, wait until no call remains."""
        if len(self._queue) and not self._is_offline:
            member.subscribe()

        seconds = min(SYNC_INTERVAL, self._store.lease / 3, self._closed_for or SYNC_INTERVAL)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._numbers:
                    await self._changed.wait()
                    if not self._is_offline:
                        return

                    self._changed.clear()

    def _apply(self, state: State) -> None:
        now = asyncio.get_running_loop().time()
        self._closed_for = state["closed_for"] / 1000
        self._share = max(1, state["smallest"] // state["peers"])
        self._log_smaller_limit(state["smallest"])
        self._congestion.sync(limit=state["limit"], ceiling=state["ceiling"], epoch=state["epoch"])
        self._congestion.gate.close(now, self._closed_for)
        waiters = {number: waiter for waiter, number in self._numbers.items()}
        for number, _, epoch in state["holding"]:
            waiter = waiters.get(number)
            if waiter is not None and waiter not in self._holders:
                self._queue.remove(waiter)
                self._grant(waiter, now)
                waiter.epoch = epoch

        self._is_offline = False
        if self._was_logged:
            self._was_logged = False
            logger.info("Redis is available again; the limit is shared again")

    def _log_smaller_limit(self, smallest: int) -> None:
        configured = self._congestion.configured
        if smallest < configured and smallest not in self._logged_limits:
            self._logged_limits.add(smallest)
            message = "max_in_flight is %d in this process, but %d in another one of the account: %d applies to all"
            logger.warning(message, configured, smallest, smallest)

    def _log_once(self, error: Exception) -> None:
        if not self._was_logged:
            self._was_logged = True
            message = "Redis is unavailable (%s); until it is back, this process uses at most %d of %d slots"
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            logger.warning(message, reason, self._share, self._congestion.configured)

    def _fall_back(self) -> None:
        if not self._is_offline:
            congestion = self._congestion
            congestion.sync(limit=min(congestion.limit, self._share), ceiling=self._share, epoch=congestion.epoch)
            self._is_offline = True

        self._outcomes.clear()
        self._admit()
