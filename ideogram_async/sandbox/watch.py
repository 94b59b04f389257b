"""Wait, in any event loop of any thread, until something is true."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Watch", "call_in"]


class Watch:
    """Conditions that tasks wait for; `notify` looks which of them hold now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; at once if it holds already."""
        with self._lock:
            if condition():
                return

            future = asyncio.get_running_loop().create_future()
            self._waiting[future] = condition

        try:
            await future
        finally:
            with self._lock:
                self._waiting.pop(future, None)

    def notify(self) -> None:
        """Wake whoever waits for something that is true now; safe from any thread."""
        with self._lock:
            due = [future for future, condition in self._waiting.items() if condition()]

            for future in due:
                del self._waiting[future]

        for future in due:
            # A loop that was closed meanwhile has nobody left to wake.
            with suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def call_in(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    """Call a function where a loop runs, and return when that is done."""
    # A loop that stands still is waited for by nobody but the caller.
    if not loop.is_running() or _is_running_here(loop):
        action()
        return

    async def act() -> None:
        action()

    asyncio.run_coroutine_threadsafe(act(), loop).result()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
