"""A call owned by the client: cancelling an awaiter never cancels the call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar, cast

from ideogram_async._operations import Request
from ideogram_async._transport.emitter import logger

R = TypeVar("R")


class RunningCall(Generic[R]):
    """A call in flight, as `Ideogram.start` returns it.

    `await call` returns the answer, or raises what `send` raises, in any number of tasks and any number of times; a
    cancellation ends only the wait. `Ideogram.aclose` gives the call a grace period, and the end of the loop none.
    """

    request: Request[R]
    """The request that was sent."""

    def __init__(self, request: Request[R]) -> None:
        self.request = request
        self._future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, R]:
        return asyncio.shield(self._future).__await__()

    @property
    def is_done(self) -> bool:
        """Return whether the call has ended, with an answer or an error."""
        return self._future.done()

    @property
    def error(self) -> Exception | None:
        """The error of a failed call; `error.billed` states whether it was billed."""
        return cast("Exception | None", self._future.exception()) if self.is_done else None

    def result(self) -> R:
        """Return the answer.

        Raises:
            asyncio.InvalidStateError: If it has not ended.
            IdeogramError: What `send` raises, if it failed.
        """
        return self._future.result()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a running call cannot be pickled or copied: await it, and pass on its answer")

    def __repr__(self) -> str:
        state = type(self.error).__name__ if self.error else "answered" if self.is_done else "in flight"
        return f"<RunningCall {type(self.request).__name__}: {state}>"

    async def run(
        self, work: Callable[[], Awaitable[R]], closed: Callable[[], Exception], on_done: OnDone[R] | None
    ) -> None:
        """Run `work`, store its outcome, and pass the call to `on_done`.

        A call that is cancelled fails with the error that `closed` returns.
        """
        try:
            self._future.set_result(await work())
        except asyncio.CancelledError:
            self._fail(closed())
        except Exception as error:
            self._fail(error)

        if on_done is not None:
            await self._notify(on_done)

    def _fail(self, error: Exception) -> None:
        self._future.set_exception(error)
        # Retrieved, so that asyncio does not warn about an unread error.
        self._future.exception()

    async def _notify(self, on_done: OnDone[R]) -> None:
        try:
            work = on_done(self)
            if inspect.isawaitable(work):
                await work
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise

            logger.error("on_done failed for %r", self, exc_info=error)


OnDone: TypeAlias = Callable[[RunningCall[R]], Awaitable[None] | None]
