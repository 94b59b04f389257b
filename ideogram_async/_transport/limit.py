"""Layer that waits for slots, and reports the service's responses to the limiter."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from ideogram_async._limiter.limiter import Lease, Limiter
from ideogram_async._transport.emitter import Emitter, logger
from ideogram_async._transport.policy import THROTTLED
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import max_in_flight_of
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import Phase
from ideogram_async.events import Throttled, Waiting
from ideogram_async.models.base import Reply


def limited(send: Send, limiter: Limiter, emit: Emitter) -> Send:
    """Wrap a layer so that a call holds its slots from its first byte to the last byte of its reply."""

    async def send_limited(call: Call) -> Reply:
        if not call.weight:
            return await send(call)

        state = call.state
        state.phase = Phase.QUEUED
        if emit.enabled:
            emit(_waiting(call))

        async with _held(limiter.acquire(call.weight)) as lease:
            if state.deadline is not None:
                # The deadline does not include the time in this client's own queue.
                state.deadline += getattr(lease, "queued", 0.0)

            reply = await send(call)
            _report(call, reply, limiter, emit)
            return reply

    return send_limited


@asynccontextmanager
async def _held(lease: Lease) -> AsyncGenerator[Lease]:
    """Hold slots. A release that fails, perhaps over a network, does not lose the reply."""
    entered = await lease.__aenter__()
    try:
        yield entered
    finally:
        with _logging_errors():
            await lease.__aexit__(*sys.exc_info())


@contextmanager
def _logging_errors() -> Generator[None]:
    try:
        yield
    except Exception:
        logger.exception("the limiter failed after a call; the result of the call is not affected")


def _report(call: Call, reply: Reply, limiter: Limiter, emit: Emitter) -> None:
    if reply.is_success:
        with _logging_errors():
            limiter.note_accepted(call.weight)

    if reply.status != THROTTLED:
        return

    max_in_flight, retry_after = max_in_flight_of(reply), retry_after_of(reply.headers)
    with _logging_errors():
        limiter.note_rejected(max_in_flight, retry_after)

    if emit.enabled:
        event = Throttled(
            call_id=call.state.call_id,
            operation=call.operation,
            attempt=call.state.attempts,
            retry_after=retry_after,
            max_in_flight=max_in_flight,
        )
        emit(event)


def _waiting(call: Call) -> Waiting:
    return Waiting(
        call_id=call.state.call_id,
        operation=call.operation,
        weight=call.weight,
        images=call.images,
        model=call.model,
        prompt=call.prompt,
    )
