"""Layer that waits for accepted generations. Each poll is a GET, which costs nothing.

Source: https://developer.ideogram.ai/ideogram-api/production-integration
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import quote

from attrs import field, frozen

from ideogram_async._accepted import Accepted
from ideogram_async._limiter.congestion import MAX_RETRY_AFTER
from ideogram_async._transport.policy import THROTTLED
from ideogram_async._wire.acceptance import (
    COMPLETED,
    FAILED,
    accepted_in,
    lacks_images,
    poll_operation,
    status_in,
    with_acknowledgement,
)
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import status_error
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import Billed, IdeogramError, TransportError, WaitTimeout
from ideogram_async.models.base import Reply

FIRST_PAUSE, FACTOR, MAX_PAUSE = 2.0, 1.5, 15.0
MISSING_SECONDS = 60.0
"""Time for which an id, or the images of a completed generation, may be missing: they may not be stored everywhere."""
MIN_PAUSE = 0.02
"""Pause, in seconds, if the service asks for none."""
POLL_SECONDS = 30.0
"""Time limit of one poll: if it is lost, another one follows."""
REPEATED = (404, 408, 425, THROTTLED)

Poll: TypeAlias = Callable[[Accepted, float | None], Awaitable[Reply]]
"""Waits for a generation, with the first poll after a pause in seconds, or after the usual one."""


def polling(send: Send, poll: Poll) -> Send:
    """Wrap the HTTP layer: a call that the service accepts is answered when its generation has ended.

    The deadline of the call (`Retry.deadline`) ends the wait with a `WaitTimeout`.
    """

    async def send_polling(call: Call) -> Reply:
        reply = await send(call)
        accepted = call.state.accepted = accepted_in(call, reply)
        if accepted is None:
            return reply

        scope = asyncio.timeout_at(call.state.deadline)
        try:
            async with scope:
                return await poll(accepted, retry_after_of(reply.headers))
        except TimeoutError:
            if not scope.expired():
                raise

        message = f"the generation {accepted} has not ended before the deadline (Retry.deadline)"
        raise WaitTimeout(message, ticket=accepted, status=None)

    return send_polling


@frozen
class Poller:
    """Polls an accepted generation until it has ended.

    Args:
        send: Sends one poll.
        timeout: Seconds until `WaitTimeout`; `None` means no limit.
    """

    send: Send
    timeout: float | None
    rng: random.Random = field(factory=random.Random)

    async def __call__(self, accepted: Accepted, pause: float | None = None) -> Reply:
        """Return the reply of the ended generation, completed or failed, with the fields of its acknowledgement.

        Raises:
            WaitTimeout: If it has not ended in time. The id stays good.
            APIStatusError: If the service refuses to answer, as with an invalid key.
        """
        state = _PollState(accepted, self.rng, pause)
        scope = asyncio.timeout(self.timeout)
        try:
            async with scope:
                return await self._poll_until_ended(state)
        except TimeoutError:
            if not scope.expired():
                raise

        raise state.timeout()

    async def _poll_until_ended(self, state: _PollState) -> Reply:
        while True:
            await asyncio.sleep(state.pause)
            call = state.call()
            try:
                reply = await self.send(call)
            except TransportError:
                state.note_no_reply()
                continue
            except Exception as error:
                # Also one of a key function: it must not look as if nothing had been sent.
                state.stopped(error)
                raise

            if state.note(call, reply):
                return with_acknowledgement(state.accepted, reply)


class _PollState:
    """The polls for one generation: its last status, and the pause before the next poll."""

    def __init__(self, accepted: Accepted, rng: random.Random, pause: float | None) -> None:
        self.accepted = accepted
        self.status: str | None = None
        self._rng = rng
        self._max_pause = FIRST_PAUSE
        self._missing_since: float | None = None
        self.pause = self._pause(pause)

    def call(self) -> Call:
        path = f"{self.accepted.poll}{quote(self.accepted.generation_id, safe='')}"
        return Call(
            operation=poll_operation(self.accepted),
            method="GET",
            path=path,
            weight=0,
            charged=False,
            timeout=POLL_SECONDS,
        )

    def note_no_reply(self) -> None:
        """Plan the next poll after one without a reply."""
        self.pause = self._pause(None)

    def note(self, call: Call, reply: Reply) -> bool:
        """Return whether the generation has ended, and plan the next poll if it has not.

        Raises:
            WaitTimeout: If the id has been unknown for too long.
            APIStatusError: If the service refuses to answer.
        """
        status = status_in(reply)
        self.status = status or self.status
        is_overdue = self._note_missing(reply)
        if status in (COMPLETED, FAILED) and (is_overdue or self._missing_since is None):
            return True

        if reply.status == 404 and is_overdue:
            raise self.timeout()

        if 400 <= reply.status < 500 and reply.status not in REPEATED:
            raise self.stopped(status_error(call, reply))

        seconds = retry_after_of(reply.headers)
        # Only the service's own answer may shorten the pauses.
        self.pause = self._pause(seconds) if reply.is_success else max(self._pause(None), self._pause(seconds or 0.0))
        return False

    def stopped(self, error: Exception) -> Exception:
        """Return the error that ends the wait, with the id: the generation continues."""
        if isinstance(error, IdeogramError):
            error.billed = Billed.UNKNOWN

        error.add_note(f"the generation {self.accepted} was accepted; wait for it with client.generations.wait")
        return error

    def timeout(self) -> WaitTimeout:
        """Return the error of a generation that has not ended in time."""
        message = f"the generation {self.accepted} has not ended yet; its last status is {self.status or 'unknown'}"
        if self.status is None and self._missing_since is not None:
            message = f"the service does not know the generation {self.accepted}: check the id and the API key"

        return WaitTimeout(message, ticket=self.accepted, status=self.status)

    def _note_missing(self, reply: Reply) -> bool:
        """Return whether the id, or the images of a finished generation, have been missing for too long."""
        if reply.status != 404 and not lacks_images(reply):
            self._missing_since = None if reply.is_success else self._missing_since
            return False

        now = asyncio.get_running_loop().time()
        self._missing_since = now if self._missing_since is None else self._missing_since
        return now - self._missing_since >= MISSING_SECONDS

    def _pause(self, seconds: float | None) -> float:
        if seconds is not None:
            return min(max(MIN_PAUSE, seconds), MAX_RETRY_AFTER)

        maximum, self._max_pause = self._max_pause, min(MAX_PAUSE, self._max_pause * FACTOR)
        return self._rng.uniform(0, maximum)
