"""The layer that waits for a place, and tells the limiter how the service took it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from ideogram_async._limiter.limiter import Lease, Limiter
from ideogram_async._transport.emitter import Emitter, logger
from ideogram_async._transport.policy import THROTTLED
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import max_in_flight_of, retry_after_of
from ideogram_async.errors import Phase
from ideogram_async.events import Throttled, Waiting
from ideogram_async.models.base import Reply


def limited(send: Send, limiter: Limiter, emit: Emitter) -> Send:
    """Wrap a layer so that a call holds its places from its first byte to the last one of its reply."""

    async def send_in_place(call: Call) -> Reply:
        if not call.weight:
            return await send(call)

        state = call.state
        state.phase = Phase.QUEUED
        if emit.enabled:
            emit(_waiting(call))

        async with _held(limiter.acquire(call.weight)) as lease:
            if state.deadline is not None:
                # The deadline bounds the work, not the time in our own queue.
                state.deadline += getattr(lease, "queued", 0.0)

            reply = await send(call)
            _report(call, reply, limiter, emit)
            return reply

    return send_in_place


@asynccontextmanager
async def _held(lease: Lease) -> AsyncGenerator[Lease]:
    """Hold places. That they cannot be given back, over a network perhaps, does not lose what the call brought."""
    entered = await lease.__aenter__()
    try:
        yield entered
    finally:
        with _harmless():
            await lease.__aexit__(*sys.exc_info())


@contextmanager
def _harmless() -> Generator[None]:
    try:
        yield
    except Exception:
        logger.exception("the limiter failed after a call; what the call brought counts all the same")


def _report(call: Call, reply: Reply, limiter: Limiter, emit: Emitter) -> None:
    if reply.is_success:
        with _harmless():
            limiter.note_accepted(call.weight)

    if reply.status != THROTTLED:
        return

    told, retry_after = max_in_flight_of(reply), retry_after_of(reply.headers)
    with _harmless():
        limiter.note_rejected(told, retry_after)

    if emit.enabled:
        emit(
            Throttled(
                call_id=call.state.call_id,
                operation=call.operation,
                attempt=call.state.attempts,
                retry_after=retry_after,
                max_in_flight=told,
            )
        )


def _waiting(call: Call) -> Waiting:
    return Waiting(
        call_id=call.state.call_id,
        operation=call.operation,
        weight=call.weight,
        images=call.images,
        model=call.model,
        prompt=call.prompt,
    )
