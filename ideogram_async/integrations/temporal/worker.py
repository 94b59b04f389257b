"""Activities that a worker registers: a paid call, and the download of its images."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import TypeAlias

from temporalio import activity
from temporalio.exceptions import ApplicationError

from ideogram_async._client import Ideogram
from ideogram_async._sinks.sink import Sink
from ideogram_async._transport.emitter import logger
from ideogram_async._transport.tasks import gather_all
from ideogram_async.errors import (
    DownloadError,
    GenerationFailed,
    IdeogramError,
    InProgressError,
    LedgerError,
    NotSentError,
    RateLimitError,
    WaitTimeout,
)
from ideogram_async.integrations._steps import Step, run_once, stored_step
from ideogram_async.integrations.temporal.failures import to_failure
from ideogram_async.integrations.temporal.heartbeats import HeartbeatLedger

Activity: TypeAlias = Callable[..., Awaitable[Step]]
PAID = "ideogram_async.paid"
KEEP = "ideogram_async.keep"
HEARTBEAT_SECONDS = 3.0
RETRYABLE = (NotSentError, RateLimitError, InProgressError, LedgerError, GenerationFailed, DownloadError)
"""Errors that another attempt may not have, if they are `retryable`."""


def activities(client: Ideogram, *, sink: Sink | None = None) -> Sequence[Activity]:
    """Return the activities of `paid` and `keep`, for a worker.

        Worker(temporal, task_queue="ideogram", activities=activities(client, sink=sink), workflows=[Hero])

    Run the worker in the event loop that uses the client, and close the client after the worker.

    Args:
        client: A client with a ledger that all workers share. Without a ledger, the server's record of heartbeats is
            used: then a key is known within one execution of an activity only.
        sink: Where `keep` stores images. Its objects can be sent as `ImageFile.from_url(stored.uri)`.
    """
    has_ledger = client._pipeline.config.ledger is not None  # pyright: ignore[reportPrivateUsage]

    @activity.defn(name=PAID)
    async def paid(packed: str, key: str, details: str = "[]") -> Step:
        # Without a ledger, `details` are the last heartbeat of an activity whose attempts were all lost.
        ledger = None if has_ledger else HeartbeatLedger(json.loads(details))
        async with _attempt(activity.heartbeat if ledger is None else ledger.heartbeat):
            return await run_once(client, packed, key, sink, ledger=ledger)

    @activity.defn(name=KEEP)
    async def keep(links: dict[str, str], name: str) -> Step:
        async with _attempt(activity.heartbeat):
            if sink is None:
                raise TypeError("keep needs a sink: pass activities(client, sink=...)")

            work = [client.keep(link, sink, name=name + suffix) for suffix, link in links.items()]
            return stored_step([*chain.from_iterable(await gather_all(work))])

    return [paid, keep]


@asynccontextmanager
async def _attempt(heartbeat: Callable[[], Awaitable[None] | None]) -> AsyncGenerator[None]:
    """Send heartbeats during an attempt, and turn its error into a failure of the activity."""
    beating = asyncio.create_task(_beat(heartbeat))
    try:
        yield
    except IdeogramError as error:
        # To wait again for a generation that was accepted costs nothing.
        may_pass = (error.retryable and isinstance(error, RETRYABLE)) or isinstance(error, WaitTimeout)
        raise to_failure(error, is_final=not may_pass) from None
    except (TypeError, ValueError) as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from None
    finally:
        beating.cancel()
        await asyncio.wait({beating})


async def _beat(heartbeat: Callable[[], Awaitable[None] | None]) -> None:
    while True:
        try:
            sending = heartbeat()
            if sending is not None:
                await sending
        except LedgerError as error:
            # The server starts another attempt if it receives none.
            logger.warning("%s", error)

        await asyncio.sleep(HEARTBEAT_SECONDS)
