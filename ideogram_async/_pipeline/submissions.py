"""Submitted calls: the acknowledgement is returned, and a task still holds the slots."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import attrs
from yarl import URL

from ideogram_async._accepted import Accepted
from ideogram_async._download.hosts import Hosts
from ideogram_async._limiter.limiter import Limiter
from ideogram_async._pipeline.held_slots import HeldSlots
from ideogram_async._transport.emitter import Emitter, answered, warn_if_empty
from ideogram_async._transport.polling import Poll
from ideogram_async._transport.tasks import Tasks, outlast
from ideogram_async._wire.acceptance import accepted_in, poll_operation
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import decode
from ideogram_async.errors import HostRefusedError, InvalidRequestError
from ideogram_async.models.base import Reply
from ideogram_async.v2.answers import Generation

MAX_WEBHOOK_URL = 2048


class SubmittedCall:
    """A call whose ticket is returned while its task holds the slots for a later wait.

    Args:
        call: The call.
        slots: The slots of submissions.
        seconds: Time after which they are released; `None` means no limit.
        emit: Reports the acceptance.
    """

    def __init__(self, call: Call, slots: HeldSlots, seconds: float | None, emit: Emitter) -> None:
        self._emit = emit
        self._call = call
        self._slots = slots
        self._seconds = seconds
        self._ticket: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()

    def wrap(self, send: Send, _: Poll) -> Send:
        """Add the layer that delivers the ticket before the slots are released."""

        async def send_submission(call: Call) -> Reply:
            reply = await send(call)
            if (accepted := accepted_in(call, reply)) is None:
                return reply

            if self._emit.enabled:
                self._emit(answered(call, reply))

            self._ticket.set_result(accepted)
            holding = self._slots.hold(accepted, seconds=self._seconds)
            # Only the caller may refer to the ticket: dropping it releases the slots.
            del accepted, self._ticket
            await holding
            return reply

        return send_submission

    async def run(self, send: Send, tasks: Tasks) -> Accepted:
        """Send the call and return its ticket. A cancellation cancels the call, unless it has been accepted."""
        ticket, call = self._ticket, self._call
        task = tasks.start(_sent(send, call))
        try:
            futures: set[asyncio.Future[Any]] = {task, ticket}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if ticket.done():
                # A copy: the ticket itself is dropped.
                call.state.accepted = attrs.evolve(ticket.result())
            else:
                task.cancel()

            if not ticket.done() or task.done():
                await outlast(task)

            raise

        return ticket.result() if ticket.done() else _answered(call, task.result())


async def _sent(send: Send, call: Call) -> Reply:
    return await send(call)


def _answered(call: Call, reply: Reply) -> Accepted:
    """Return the ticket of a call that was answered at once.

    Raises:
        IdeogramError: If the reply is an error or cannot be read.
    """
    generation = decode(call, reply, Generation)
    return Accepted(generation.generation_id or "", weight=call.weight, poll=call.poll or "", raw=reply.raw)


def waiting_call(accepted: Accepted, limiter: Limiter) -> Call:
    """Return the call that holds the slots of an accepted generation, while others ask for it.

    It is never sent. It counts as charged, because what it returns has been billed.
    """
    weight = _weight_of(accepted, limiter)
    call = Call(operation=poll_operation(accepted), method="GET", path=accepted.poll, weight=weight)
    call.state.accepted = accepted
    return call


def _weight_of(accepted: Accepted, limiter: Limiter) -> int:
    try:
        limiter.acquire(accepted.weight)
    except InvalidRequestError:
        # A client with more slots submitted it. All slots are taken.
        return max(1, int(limiter.statistics().limit))

    return accepted.weight


def finished(call: Call, reply: Reply) -> Generation:
    """Return the generation in a reply.

    Raises:
        GenerationFailed: If it has failed.
        DecodeError: If the reply does not match the contract.
    """
    generation = decode(call, reply, Generation)
    warn_if_empty(call, generation)
    return generation


def check_timeout(seconds: object) -> None:
    """Check the time limit of a wait.

    Raises:
        TypeError: If it is not a number or `None`.
        ValueError: If it is not a number of seconds.
    """
    if seconds is None:
        return

    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"timeout must be a number of seconds, or None for no limit, not {type(seconds).__name__}")

    if math.isnan(seconds):
        raise ValueError("timeout must be a number of seconds, or None for no limit, not nan")


def webhook_problems(url: object, hosts: Hosts) -> Iterator[str]:
    """Yield what is wrong with the address of a webhook.

    Args:
        url: The address.
        hosts: Whether it may be on this machine.
    """
    if not isinstance(url, str):
        yield f"must be a URL, not {type(url).__name__}"
    elif len(url) > MAX_WEBHOOK_URL:
        yield f"has {len(url)} characters; at most {MAX_WEBHOOK_URL} are allowed"
    else:
        try:
            # Unlike an image, a webhook may have any port.
            Hosts(loopback=hosts.loopback).check(str(URL(url).with_port(None)))
        except (HostRefusedError, ValueError):
            yield "must be an https URL with a public host"
