"""Layer that records a call before it is sent, and its outcome before its slots are released."""

from __future__ import annotations

from typing import Protocol

from ideogram_async._accepted import Accepted
from ideogram_async._transport.polling import Poll
from ideogram_async._wire.acceptance import accepted_in
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.models.base import Reply


class AttemptRecord(Protocol):
    """The record of a call. Its steps finish, however often the caller is cancelled."""

    async def begin(self) -> None:
        """Record durably that an attempt is about to be sent. An error means that it must not be."""
        ...

    async def accept(self, accepted: Accepted) -> None:
        """Record that the service has accepted the call. From then on, nothing is in doubt."""
        ...

    async def answer(self, reply: Reply) -> None:
        """Record a reply."""
        ...

    async def fail(self, error: BaseException, *, may_have_run: bool) -> None:
        """Record that there was no reply. Also called if `begin` has failed; an accepted call stays accepted."""
        ...


def recorded(send: Send, record: AttemptRecord, poll: Poll) -> Send:
    """Wrap the HTTP layer: an attempt is on record before its first byte, the outcome before the slots are released.

    Args:
        send: The HTTP layer.
        record: The record of the call.
        poll: Waits for a generation that the service has accepted.
    """

    async def send_recorded(call: Call) -> Reply:
        try:
            await record.begin()
            reply = await send(call)
        except BaseException as error:  # a cancellation too
            await record.fail(error, may_have_run=call.state.was_sent)
            raise

        if (accepted := accepted_in(call, reply)) is not None:
            call.state.accepted = accepted
            try:
                await record.accept(accepted)
                reply = await poll(accepted, retry_after_of(reply.headers))
            except BaseException as error:
                await record.fail(error, may_have_run=True)
                raise

        await record.answer(reply)
        return reply

    return send_recorded


def collected(accepted: Accepted, record: AttemptRecord, poll: Poll) -> Send:
    """Return the layer that waits for a generation that is on record, and records its answer."""

    async def collect(call: Call) -> Reply:
        call.state.accepted = accepted
        reply = await poll(accepted, 0)
        await record.answer(reply)
        return reply

    return collect
