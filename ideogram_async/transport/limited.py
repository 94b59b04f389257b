"""The layer that waits for a place, and tells the limiter how the service took it."""

from __future__ import annotations

from ideogram_async.errors import Phase
from ideogram_async.events import Throttled, Waiting
from ideogram_async.models.reply import Reply
from ideogram_async.transport.emitter import Emitter
from ideogram_async.transport.limiter import Limiter
from ideogram_async.transport.policy import THROTTLED
from ideogram_async.wire.call import Call, Send
from ideogram_async.wire.headers import max_in_flight_of, retry_after_of

__all__ = ["limited"]


def limited(send: Send, limiter: Limiter, emit: Emitter) -> Send:
    """Wrap a layer so that a call holds its places from its first byte to the last one of its reply."""

    async def send_in_place(call: Call) -> Reply:
        if not call.weight:
            return await send(call)

        trail = call.trail
        trail.phase = Phase.QUEUED
        emit(Waiting, call_id=trail.call_id, operation=call.operation, weight=call.weight)
        async with limiter.acquire(call.weight) as lease:
            if trail.deadline is not None:
                # The deadline bounds the work, not the time in our own queue.
                trail.deadline += getattr(lease, "queued", 0.0)

            reply = await send(call)
            _report(call, reply, limiter, emit)
            return reply

    return send_in_place


def _report(call: Call, reply: Reply, limiter: Limiter, emit: Emitter) -> None:
    if reply.is_success:
        limiter.note_accepted(call.weight)

    if reply.status != THROTTLED:
        return

    told, retry_after = max_in_flight_of(reply), retry_after_of(reply.headers)
    limiter.note_rejected(told, retry_after)
    emit(
        Throttled,
        call_id=call.trail.call_id,
        operation=call.operation,
        attempt=call.trail.attempts,
        retry_after=retry_after,
        max_in_flight=told,
    )
