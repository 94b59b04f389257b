"""The table in Redis where the processes of one account write down what they hold and want."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import field, frozen
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ["Seat", "Table"]

SCRIPT = Path(__file__).with_name("slots.lua").read_text()

PATIENCE = 2.0

"""Seconds that Redis has for a reply; without one it is away."""

SILENCE = 60.0

"""Seconds after which a listener looks whether its connection is still there."""


@frozen(kw_only=True)
class Table:
    """Where it is, and for whom."""

    redis: str | Redis = field(repr=False)
    account: str
    lease: float
    """Seconds after which the places of a silent process are free again."""

    @asynccontextmanager
    async def seat(self, process: str, wake: Callable[[], None]) -> AsyncGenerator[Seat]:
        """Take a seat for a process, with connections of its own where there is only a URL to go by."""
        # One more try, at once: a connection that was kept may be dead after a restart of Redis.
        made = Redis.from_url(self.redis, retry=Retry(NoBackoff(), 1)) if isinstance(self.redis, str) else None
        seat = Seat(made or self.redis, self, process, wake)  # type: ignore[arg-type]
        try:
            yield seat
        finally:
            try:
                await seat.leave()
            finally:
                if made is not None:
                    await _close(made)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _close(redis: Redis) -> None:
    try:
        # A connection that is broken cannot always be closed in good order; it is closed all the same.
        with suppress(Exception):
            await redis.aclose()
    except asyncio.CancelledError:
        # A loop that ends cancels each task once, wherever it is. No connection may be left to it.
        await redis.aclose()
        raise


class Seat:
    """One process at the table."""

    def __init__(self, redis: Redis, table: Table, process: str, wake: Callable[[], None]) -> None:
        # The braces keep both keys on one node of a cluster.
        prefix = f"ideogram:{{{table.account}}}"
        self._redis = redis
        self._process = process
        self._lease = int(table.lease * 1000)
        self._keys = [f"{prefix}:places", f"{prefix}:congestion"]
        self._channels = f"{prefix}:wake:"
        self._script = redis.register_script(SCRIPT)
        self._wake = wake
        self._listener: asyncio.Task[None] | None = None

    async def say(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Say what the process has, wants and has met, and return what it has now; see `slots.lua`.

        Raises:
            Exception: If Redis cannot be asked: refused, silent, full, or whatever else goes wrong.
        """
        said = json.dumps({"lease": self._lease, **facts})
        async with asyncio.timeout(PATIENCE):
            reply = await self._script(keys=self._keys, args=[self._process, self._channels, said])

        return dict(json.loads(reply))

    def listen(self) -> None:
        """Be woken when another process has left places to this one."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def leave(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])

    async def _listen(self) -> None:
        # Whatever ends it, Redis is asked from time to time all the same.
        with suppress(Exception):
            async with self._redis.pubsub() as pubsub:
                await pubsub.subscribe(self._channels + self._process)
                # A cancellation that comes together with a message is lost on its way here.
                while not _is_cancelled():
                    # That the subscription stands is news as well: something may have happened before.
                    if await pubsub.get_message(timeout=SILENCE):
                        self._wake()
