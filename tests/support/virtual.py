"""An event loop whose time is virtual: when nothing else is left to do, it jumps to the next timer.

A test that spans hours takes milliseconds and always goes the same way:

    @virtual
    async def test_hours() -> None:
        await asyncio.sleep(7200)

        assert 7200.0 == asyncio.get_running_loop().time()

Sockets and threads live in real time, so they do not belong in such a test.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Without a timer only a thread could still wake the loop; so long, in real seconds, may it take.
PATIENCE = 1.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that starts at 0 seconds and never waits."""

    def __init__(self) -> None:
        self._jumper = Jumper()
        super().__init__(self._jumper)

    def time(self) -> float:
        """Return the virtual seconds since the loop began."""
        return self._jumper.now


class Jumper(selectors.SelectSelector):
    """Moves the time on instead of waiting for it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; where nothing is, let the time pass.

        Raises:
            RuntimeError: Nothing is ready, and nothing ever will be.
        """
        ready = super().select(PATIENCE if timeout is None else 0.0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits, and no timer is set that could wake one")

        if not ready:
            self.now += timeout or 0.0

        return ready


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine to its end in an event loop of its own, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test without arguments run on virtual time. What is still running at its end is cancelled."""

    def wrapped() -> None:
        run(test())

    wrapped.__name__, wrapped.__qualname__, wrapped.__doc__ = test.__name__, test.__qualname__, test.__doc__
    return wrapped
