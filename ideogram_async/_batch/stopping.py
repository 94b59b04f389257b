"""Stop conditions of a batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TypeAlias

from ideogram_async._accepted import Accepted
from ideogram_async._transport.polling import Poll
from ideogram_async._transport.tasks import unlisted_context
from ideogram_async._wire.call import Call, Send
from ideogram_async.errors import (
    APIStatusError,
    IdeogramError,
    NotSentError,
    Phase,
    RateLimitError,
    TransportError,
    WaitTimeout,
)
from ideogram_async.models.base import Reply

FATAL_STATUSES = {
    401: "the API key is missing or not valid (401)",
    402: "the balance or the plan does not cover the call (402)",
    403: "the API key may not use the operation (403)",
}
MAX_REJECTIONS = 20
MAX_UNKNOWN = 5
MAX_UNREADABLE = 3
InFlight: TypeAlias = Callable[[], AbstractContextManager[None]]


def is_fatal(status: int) -> bool:
    """Return whether a status concerns the account or the base URL, and so every job."""
    return status in FATAL_STATUSES or 300 <= status < 400


def unless_stopped(send: Send, in_flight: InFlight) -> Send:
    """Wrap a layer so that a batch that has stopped sends nothing. What is in flight is not interrupted."""

    async def send_unless_stopped(call: Call) -> Reply:
        with in_flight():
            return await send(call)

    return send_unless_stopped


class BatchStoppedError(NotSentError):
    """The batch stopped before the call was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the batch has stopped: {reason}", phase=Phase.QUEUED, retryable=False)


class StopPolicy:
    """Decides when a batch stops sending. Calls in flight always finish.

    Args:
        on_stop: Called once, when the batch stops.
        grace: Seconds for which a batch that has stopped still waits for accepted generations.
    """

    def __init__(self, on_stop: Callable[[], None] = lambda: None, grace: float = 0.0) -> None:
        self.reason: str | None = None
        """The first reason to stop; `None` while the batch may send."""
        self._on_stop = on_stop
        self._rejections = 0
        self._unknown = 0
        self._unreadable = 0
        self._interruptible: set[asyncio.Timeout] = set()
        self.grace = grace
        self._polling: set[asyncio.Timeout] = set()
        self._stopped_at: float | None = None

    def stop(self, reason: str) -> None:
        """Stop sending, and interrupt the waits of calls that are not in flight. The first reason is kept."""
        if self.reason is None:
            self.reason = reason
            self._stopped_at = time.monotonic()
            for scope in self._interruptible:
                scope.reschedule(asyncio.get_running_loop().time())

            for scope in self._polling:
                scope.reschedule(asyncio.get_running_loop().time() + self.grace)

            self._on_stop()

    @unlisted_context
    async def interruptible(self) -> AsyncGenerator[InFlight]:
        """Enter a block that ends when the batch stops, except while a call is in flight.

        Yields:
            The context manager to hold while a call is in flight. Entering it raises `BatchStoppedError` if the batch
            has stopped.

        Raises:
            BatchStoppedError: If the block was ended, or the batch had stopped before.
        """
        self._raise_if_stopped()
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._interruptible.add(scope)
                try:
                    yield partial(self._in_flight, scope)
                finally:
                    self._interruptible.discard(scope)
        except TimeoutError:
            if not scope.expired():
                raise

            raise BatchStoppedError(self.reason or "") from None

    def polling(self, poll: Poll) -> Poll:
        """Wrap a wait for accepted generations so that it ends soon after the batch has stopped.

        Raises:
            WaitTimeout: If the wait was ended. The generation is still accepted.
        """

        async def poll_until_stopped(accepted: Accepted, pause: float | None) -> Reply:
            stopped_at = self._stopped_at
            scope = asyncio.timeout(None if stopped_at is None else stopped_at + self.grace - time.monotonic())
            try:
                async with scope:
                    self._polling.add(scope)
                    try:
                        return await poll(accepted, pause)
                    finally:
                        self._polling.discard(scope)
            except TimeoutError:
                if not scope.expired():
                    raise

            message = f"the batch has stopped before the generation {accepted} has ended"
            raise WaitTimeout(message, ticket=accepted, status=None)

        return poll_until_stopped

    async def sleep(self, seconds: float) -> None:
        """Sleep, at most until the batch stops."""
        with suppress(BatchStoppedError):
            async with self.interruptible():
                await asyncio.sleep(seconds)

    def record_success(self) -> None:
        """Reset the consecutive-failure counters."""
        self._rejections = self._unknown = self._unreadable = 0

    def record_unreadable(self) -> None:
        """Count a billed answer that cannot be read."""
        self._unreadable += 1
        if self._unreadable >= MAX_UNREADABLE:
            self.stop(f"{MAX_UNREADABLE} answers in a row cannot be read")

    def record_rejection(self) -> None:
        """Count a rejected job."""
        self._rejections += 1
        if self._rejections >= MAX_REJECTIONS:
            self.stop(f"{MAX_REJECTIONS} jobs in a row were rejected or could not be sent")

    def record_unknown(self) -> None:
        """Count a job whose outcome is unknown."""
        self._unknown += 1
        if self._unknown >= MAX_UNKNOWN:
            self.stop(f"{MAX_UNKNOWN} jobs in a row have an unknown outcome")

    def record_unsent(self, error: IdeogramError | None) -> None:
        """Count a job that was not sent, or was refused for a reason that concerns all jobs."""
        status = error.status if isinstance(error, APIStatusError) else 0
        is_permanent = isinstance(error, TransportError) and not error.retryable
        if status in FATAL_STATUSES:
            self.stop(FATAL_STATUSES[status])
        elif is_fatal(status):
            self.stop(
                f"the service redirects ({status}): the base URL is wrong, or a captive portal intercepts the call"
            )
        elif is_permanent or isinstance(error, RateLimitError):
            self.stop(str(error))
        elif isinstance(error, TransportError):
            self.record_rejection()

    @contextmanager
    def _in_flight(self, scope: asyncio.Timeout) -> Generator[None]:
        self._raise_if_stopped()
        self._interruptible.discard(scope)
        try:
            yield
        finally:
            self._interruptible.add(scope)
            if self.reason is not None:
                scope.reschedule(asyncio.get_running_loop().time())

    def _raise_if_stopped(self) -> None:
        if self.reason is not None:
            raise BatchStoppedError(self.reason)
