"""Storage in Redis: the slots that the processes of one account hold and wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypedDict

from attrs import field, frozen
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ideogram_async._limiter.congestion import MAX_PAUSE, SERVER_LIMIT_LIFETIME
from ideogram_async._limiter.slots import MAX_SKIPS, REFUSAL_SECONDS, WINDOW

__all__ = ["Member", "SlotStore", "State"]

SCRIPT = Path(__file__).with_name("slots.lua").read_text()
REDIS_TIMEOUT = 2.0
"""Seconds to wait for a reply; after that, Redis counts as unavailable."""

PUBSUB_TIMEOUT = 60.0
"""Seconds after which a subscriber checks its connection."""

RULES: dict[str, float] = {
    "window": WINDOW,
    "max_skips": MAX_SKIPS,
    "max_pause": MAX_PAUSE * 1000,
    "refusal_time": REFUSAL_SECONDS * 1000,
    "congestion_lifetime": int(SERVER_LIMIT_LIFETIME * 1000),
}
"""Rules that the script shares with the limiter in memory; times in milliseconds."""


class State(TypedDict):
    """State of the account, as the script returns it; times in milliseconds."""

    holding: list[tuple[int, int, int]]
    """The calls that hold slots: number, weight and epoch."""
    limit: float
    ceiling: int
    smallest: int
    """The smallest `max_in_flight` of all processes that have calls."""
    epoch: int
    closed_for: float
    peers: int


@frozen(kw_only=True)
class SlotStore:
    """The slots of one account in Redis."""

    redis: str | Redis = field(repr=False)
    account: str
    lease: float
    """Seconds after which the slots of a silent process are released."""

    @asynccontextmanager
    async def join(self, process: str, on_change: Callable[[], None]) -> AsyncGenerator[Member]:
        """Add a process. With a URL, it opens its own connections."""
        # One immediate retry: a pooled connection may be dead after a restart of Redis.
        redis = Redis.from_url(self.redis, retry=Retry(NoBackoff(), 1)) if isinstance(self.redis, str) else self.redis
        member = Member(redis, self, process, on_change)
        try:
            yield member
        finally:
            try:
                await member.close()
            finally:
                if redis is not self.redis:
                    await _close(redis)


class Member:
    """One process that uses the slots of an account."""

    def __init__(self, redis: Redis, store: SlotStore, process: str, on_change: Callable[[], None]) -> None:
        # The braces keep both keys on one node of a cluster.
        prefix = f"ideogram:{{{store.account}}}"
        self._redis = redis
        self._process = process
        self._lease = int(store.lease * 1000)
        self._keys = [f"{prefix}:slots", f"{prefix}:congestion"]
        self._channels = f"{prefix}:wake:"
        self._script = redis.register_script(SCRIPT)
        self._on_change = on_change
        self._subscription: asyncio.Task[None] | None = None

    async def sync(
        self,
        configured: int,
        *,
        holding: Sequence[tuple[int, int]] = (),
        waiting: Sequence[tuple[int, int]] = (),
        outcomes: Sequence[dict[str, float]] = (),
    ) -> State:
        """Send the calls that hold slots or wait, as number and weight, and their outcomes. See `slots.lua`.

        Raises:
            Exception: If Redis refuses the connection, does not reply in time, or fails in any other way.
        """
        calls = {"configured": configured, "holding": holding, "waiting": waiting, "outcomes": outcomes}
        message = json.dumps({"lease": self._lease, **RULES, **calls})
        async with asyncio.timeout(REDIS_TIMEOUT):
            reply = await self._script(keys=self._keys, args=[self._process, self._channels, message])

        state: State = json.loads(reply)
        return state

    def subscribe(self) -> None:
        """Call `on_change` when another process grants slots to this one."""
        if self._subscription is None or self._subscription.done():
            self._subscription = asyncio.get_running_loop().create_task(self._receive())

    async def close(self) -> None:
        """End the subscription."""
        if self._subscription is not None:
            self._subscription.cancel()
            await asyncio.wait([self._subscription])

    async def _receive(self) -> None:
        # Without a subscription, the process still syncs with Redis at intervals.
        with suppress(Exception):
            async with self._redis.pubsub() as pubsub:
                await pubsub.subscribe(self._channels + self._process)
                # `get_message` loses a cancellation that arrives together with a message.
                while not _is_cancelled():
                    # The confirmation of the subscription counts too: slots may have been granted before it.
                    if await pubsub.get_message(timeout=PUBSUB_TIMEOUT):
                        self._on_change()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _close(redis: Redis) -> None:
    try:
        # A broken connection may raise, but is closed anyway.
        with suppress(Exception):
            await redis.aclose()
    except asyncio.CancelledError:
        # At shutdown, a loop cancels each task once. No connection may stay open.
        await redis.aclose()
        raise
