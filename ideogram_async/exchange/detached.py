"""A call that nobody has to wait for: the client owns its task, and whoever waits may leave."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar

from ideogram_async.endpoint import Request
from ideogram_async.transport.emitter import logger

__all__ = ["Detached", "OnDone"]

R = TypeVar("R")


class Detached(Generic[R]):
    """A call on its way, as `Ideogram.detached` returns it.

    `await call` gives the answer, or raises what `send` raises, to any number of tasks and any number of times; a
    cancellation ends the waiting alone. Kept, it holds the answer when that has come.
    """

    def __init__(self, request: Request[R]) -> None:
        self.request = request
        """What was sent."""
        self._ended = asyncio.Event()
        self._answers: list[R] = []
        self._error: Exception | None = None

    def __await__(self) -> Generator[Any, None, R]:
        return self._wait().__await__()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or badly."""
        return self._ended.is_set()

    @property
    def error(self) -> Exception | None:
        """Why it failed, if it has; `error.billed` tells whether it was paid for."""
        return self._error

    def result(self) -> R:
        """Return the answer.

        Raises:
            asyncio.InvalidStateError: If it has not ended.
            IdeogramError: What `send` raises, if it failed.
        """
        if self._error is not None:
            raise self._error

        if not self._answers:
            raise asyncio.InvalidStateError("the call has not ended")

        return self._answers[0]

    def __repr__(self) -> str:
        state = type(self._error).__name__ if self._error else "answered" if self.is_done else "on its way"
        return f"<Detached {type(self.request).__name__}: {state}>"

    async def run(self, work: Callable[[], Awaitable[R]], on_done: OnDone[R] | None) -> None:
        """Do the work, keep what comes of it, and hand that on."""
        try:
            self._answers.append(await work())
        except Exception as error:
            self._error = error
        finally:
            self._ended.set()

        if on_done is not None:
            await self._hand_to(on_done)

    async def _hand_to(self, on_done: OnDone[R]) -> None:
        try:
            work = on_done(self)
            if inspect.isawaitable(work):
                await work
        except Exception as error:
            logger.error("on_done failed for %r", self, exc_info=error)

    async def _wait(self) -> R:
        await self._ended.wait()
        return self.result()


OnDone: TypeAlias = Callable[[Detached[R]], Awaitable[None] | None]
