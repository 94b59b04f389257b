"""When a batch has to stop sending, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ideogram_async.errors import APIStatusError, IdeogramError, NotSentError, Phase, RateLimitError, TransportError

FATAL = {
    401: "the key is not valid (401)",
    402: "the balance or the plan does not cover the call (402)",
    403: "the key may not use the operation (403)",
}

MOST_REJECTIONS = 20

MOST_IN_DOUBT = 5

MOST_UNREADABLE = 3


def is_fatal(status: int) -> bool:
    """Say whether a refusal concerns the account or the address, and so every job."""
    return status in FATAL or 300 <= status < 400


class BatchStoppedError(NotSentError):
    """The batch has stopped before the call could leave."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the batch has stopped: {reason}", phase=Phase.QUEUED, retryable=False)


class Halt:
    """Watches what becomes of jobs, and says when to stop. What flies is finished all the same."""

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self.reason: str | None = None
        self.turns_back = False
        self._on_stop = on_stop
        self._rejections = 0
        self._in_doubt = 0
        self._unreadable = 0
        self._waiting: set[asyncio.Timeout] = set()

    def stop(self, reason: str, *, turns_back: bool = False) -> None:
        """Stop; the first reason stays.

        Args:
            reason: What the report tells.
            turns_back: Whether calls that are noted as sending stay here, if not a byte has left: what stops the batch
                stood before them in the journal's line.
        """
        if self.reason is None:
            self.reason = reason
            self.turns_back = turns_back
            for scope in self._waiting:
                scope.reschedule(asyncio.get_running_loop().time())

            self._on_stop()

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[asyncio.Timeout]:
        """Bound a wait that ends when the batch stops, but for what `sent` protects.

        Raises:
            BatchStoppedError: If it was ended, or the batch had stopped before.
        """
        if self.reason is not None:
            raise BatchStoppedError(self.reason)

        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._waiting.add(scope)
                try:
                    yield scope
                finally:
                    self._waiting.discard(scope)
        except TimeoutError:
            if not scope.expired():
                raise

            raise BatchStoppedError(self.reason or "") from None

    @asynccontextmanager
    async def sent(self, scope: asyncio.Timeout) -> AsyncGenerator[None]:
        """Protect what is on its way: it is finished, and what waits after it is ended again.

        Raises:
            BatchStoppedError: If the batch has stopped before.
        """
        if self.reason is not None:
            raise BatchStoppedError(self.reason)

        self._waiting.discard(scope)
        try:
            yield
        finally:
            self._waiting.add(scope)
            if self.reason is not None:
                scope.reschedule(asyncio.get_running_loop().time())

    def note_success(self) -> None:
        """A job was answered: whatever was in a row is no longer."""
        self._rejections = self._in_doubt = self._unreadable = 0

    def note_unreadable(self) -> None:
        """A job was answered and paid for, and nothing can be made of the answer."""
        self._unreadable += 1
        if self._unreadable >= MOST_UNREADABLE:
            self.stop(f"{MOST_UNREADABLE} answers in a row cannot be read", turns_back=True)

    def note_rejection(self, error: IdeogramError | None) -> None:
        """A job was refused; some refusals concern all jobs."""
        self._rejections += 1
        if self._rejections >= MOST_REJECTIONS:
            self.stop(f"{MOST_REJECTIONS} jobs in a row were rejected, or could not be sent")

    def note_doubt(self) -> None:
        """A job is in doubt."""
        self._in_doubt += 1
        if self._in_doubt >= MOST_IN_DOUBT:
            self.stop(f"{MOST_IN_DOUBT} jobs in a row are in doubt")

    def note_unsent(self, error: IdeogramError | None) -> None:
        """A job could not be sent, or was refused for a reason that concerns all of them."""
        status = error.status if isinstance(error, APIStatusError) else 0
        is_final = isinstance(error, TransportError) and not error.retryable
        if status in FATAL:
            self.stop(FATAL[status])
        elif is_fatal(status):
            self.stop(f"the service redirects ({status}): the base URL is wrong, or a portal is in the way")
        elif is_final or isinstance(error, RateLimitError):
            self.stop(str(error))
        elif isinstance(error, TransportError):
            self.note_rejection(error)
