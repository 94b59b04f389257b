"""Slots of accepted generations that no caller waits for yet."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress

from attrs import define, field

from ideogram_async._accepted import Accepted
from ideogram_async._transport.tasks import unlisted_context


@define(eq=False)
class _Held:
    """The slots of one generation."""

    released: asyncio.Event = field(factory=asyncio.Event)
    waiters: int = 0
    """Callers that wait for the generation: while there are any, the slots are not released."""
    is_due: bool = False
    """Whether the generation has ended, its ticket was dropped, or the time is over."""

    def release(self) -> None:
        self.is_due = True
        self.release_if_due()

    def release_if_due(self) -> None:
        if self.is_due and not self.waiters:
            self.released.set()


def _release_soon(loop: asyncio.AbstractEventLoop, held: _Held) -> None:
    # A ticket may be dropped in any thread, and after the end of its loop.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(held.release)


class HeldSlots:
    """The slots of submitted generations in one event loop.

    They are released when the generation has been waited for, when its ticket is dropped, or after some time.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._is_closed = False

    async def hold(self, accepted: Accepted, *, seconds: float | None) -> None:
        """Return when the slots of a generation are to be released."""
        held = _Held()
        if self._is_closed or accepted.generation_id in self._held:
            return

        self._held[accepted.generation_id] = held
        loop = asyncio.get_running_loop()
        dropped = weakref.finalize(accepted, _release_soon, loop, held)
        timer = None if seconds is None else loop.call_later(seconds, held.release)
        del accepted
        try:
            await held.released.wait()
        finally:
            dropped.detach()
            if timer is not None:
                timer.cancel()

            self._held = {name: other for name, other in self._held.items() if other is not held}

    @unlisted_context
    async def taken(self, generation_id: str) -> AsyncGenerator[bool]:
        """Take over the slots of a generation for the block. Yields whether there are any.

        The end of the block releases them; an error does not, because the generation continues.
        """
        held = self._held.get(generation_id)
        if held is None or held.released.is_set():
            yield False
            return

        held.waiters += 1
        try:
            yield True
            held.is_due = True
        finally:
            held.waiters -= 1
            held.release_if_due()

    def release_all(self) -> None:
        """Release all slots, also those of generations that are accepted later."""
        self._is_closed = True
        for held in self._held.values():
            held.released.set()
