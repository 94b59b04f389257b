"""An event loop on virtual time: when nothing else is ready, it jumps to the next timer.

A test that spans hours takes milliseconds and always runs the same way:

    @virtual
    async def test_hours() -> None:
        await asyncio.sleep(7200)

        assert 7200.0 == asyncio.get_running_loop().time()

Sockets and threads use real time, so they cannot be used in such a test.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TIMEOUT = 30.0
"""Real seconds to wait without a timer, when only a thread can still wake the loop."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that starts at 0 seconds and never waits."""

    def __init__(self) -> None:
        self._jumper = Jumper()
        super().__init__(self._jumper)

    def time(self) -> float:
        """Return the virtual seconds since the loop began."""
        return self._jumper.now


class Jumper(selectors.SelectSelector):
    """A selector that advances the time instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, advance the time.

        Raises:
            RuntimeError: If nothing is ready and no timer is set.
        """
        ready = super().select(TIMEOUT if timeout is None else 0.0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits, and no timer is set that could wake one")

        if not ready:
            self.now += timeout or 0.0

        return ready


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in its own event loop, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test without arguments run on virtual time. Tasks that are still running at its end are cancelled."""

    def wrapped() -> None:
        run(test())

    wrapped.__name__, wrapped.__qualname__, wrapped.__doc__ = test.__name__, test.__qualname__, test.__doc__
    return wrapped
