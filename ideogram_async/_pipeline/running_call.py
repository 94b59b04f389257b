"""A call owned by the client: cancelling an awaiter never cancels the call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar, cast

from ideogram_async._operations import Request
from ideogram_async._pipeline.sessions import SHUTDOWN_TIMEOUT
from ideogram_async._transport.emitter import logger

R = TypeVar("R")


class RunningCall(Generic[R]):
    """A call on its way, as `Ideogram.detached` returns it.

    `await call` gives the answer, or raises what `send` raises, to any number of tasks and any number of times; a
    cancellation ends the waiting alone. Kept, it holds the answer when that has come.
    """

    def __init__(self, request: Request[R]) -> None:
        self.request = request
        """What was sent."""
        self._future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, R]:
        return asyncio.shield(self._future).__await__()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or badly."""
        return self._future.done()

    @property
    def error(self) -> Exception | None:
        """Why it failed, if it has; `error.billed` tells whether it was paid for."""
        return cast("Exception | None", self._future.exception()) if self.is_done else None

    def result(self) -> R:
        """Return the answer.

        Raises:
            asyncio.InvalidStateError: If it has not ended.
            IdeogramError: What `send` raises, if it failed.
        """
        return self._future.result()

    def __repr__(self) -> str:
        state = type(self.error).__name__ if self.error else "answered" if self.is_done else "on its way"
        return f"<RunningCall {type(self.request).__name__}: {state}>"

    async def run(
        self, work: Callable[[], Awaitable[R]], closed: Callable[[], Exception], on_done: OnDone[R] | None
    ) -> None:
        """Do the work, keep what comes of it, and hand that on.

        Nobody cancels this task but a loop that ends, and even then the call says what it may cost.
        """
        patience = None
        try:
            self._future.set_result(await work())
        except asyncio.CancelledError:
            self._fail(closed())
            _end_cancellation()
            # A loop that ends waits for this task.
            patience = SHUTDOWN_TIMEOUT
        except Exception as error:
            self._fail(error)

        if on_done is not None:
            await self._hand_to(on_done, patience)

    def _fail(self, error: Exception) -> None:
        self._future.set_exception(error)
        # Looked at: that nobody else does is not worth a warning.
        self._future.exception()

    async def _hand_to(self, on_done: OnDone[R], patience: float | None) -> None:
        try:
            async with asyncio.timeout(patience):
                work = on_done(self)
                if inspect.isawaitable(work):
                    await work
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise

            logger.error("on_done failed for %r", self, exc_info=error)


def _end_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


OnDone: TypeAlias = Callable[[RunningCall[R]], Awaitable[None] | None]
