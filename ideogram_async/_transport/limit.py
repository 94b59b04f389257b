"""Layer that waits for slots, and reports the service's responses to the limiter."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

from ideogram_async._limiter.limiter import Lease, Limiter
from ideogram_async._transport.emitter import Emitter, logger
from ideogram_async._transport.policy import is_throttled
from ideogram_async._transport.tasks import unlisted_context
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import max_in_flight_of
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import NotSentError, Phase
from ideogram_async.events import Throttled, Waiting
from ideogram_async.models.base import Reply

MIN_DELAY = 0.01
"""Shortest time between two checks of a deadline, in seconds."""


class NoSlotsError(NotSentError):
    """The deadline of a call passed while it waited for its slots."""


def limited(send: Send, limiter: Limiter, emit: Emitter) -> Send:
    """Wrap a layer so that a call holds its slots from its first byte to the last byte of its reply."""

    async def send_limited(call: Call) -> Reply:
        if not call.weight:
            return await send(call)

        state = call.state
        state.phase = Phase.QUEUED
        if emit.enabled:
            emit(_waiting(call))

        async with _held(limiter.acquire(call.weight), call) as lease:
            # The deadline does not include the time in this client's own queue.
            queued = _seconds_queued(lease)
            state.queued += queued
            if state.deadline is not None:
                state.deadline += queued

            reply = await send(call)
            _report(call, reply, limiter, emit)
            return reply

    return send_limited


@unlisted_context
async def _held(lease: Lease, call: Call) -> AsyncGenerator[Lease]:
    """Hold slots. A release that fails, perhaps over a network, does not lose the reply."""
    entered = await _acquire(lease, call)
    try:
        yield entered
    finally:
        with _logging_errors():
            await lease.__aexit__(*sys.exc_info())


async def _acquire(lease: Lease, call: Call) -> Lease:
    """Wait for slots, at most until the deadline."""
    state = call.state
    end = state.acquire_by if state.deadline is None else min(state.acquire_by, state.deadline)
    if end == math.inf:
        return await lease.__aenter__()

    scope = asyncio.timeout(None)
    try:
        with _expiring(scope, lease, end):
            async with scope:
                return await lease.__aenter__()
    except TimeoutError:
        if not scope.expired():
            raise

    raise NoSlotsError(f"{call.operation}: no slots were free before the deadline", phase=Phase.QUEUED)


@contextmanager
def _expiring(scope: asyncio.Timeout, lease: Lease, end: float) -> Generator[None]:
    """Let a scope expire at `end`, plus the time that the call is in the queue."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def expire() -> None:
        nonlocal timer
        remaining = end + _seconds_queued(lease) - loop.time()
        if remaining <= 0:
            scope.reschedule(loop.time())
        else:
            timer = loop.call_later(max(remaining, MIN_DELAY), expire)

    timer = loop.call_at(end, expire)
    try:
        yield
    finally:
        timer.cancel()


def _seconds_queued(lease: Lease) -> float:
    seconds: float = getattr(lease, "queued", 0.0)
    return seconds


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

    if not is_throttled(reply):
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
