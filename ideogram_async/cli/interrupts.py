"""What Ctrl-C does to a batch. The only place that touches signals: a library leaves them alone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Interrupts"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts SIGINT and SIGTERM: the first calls one function, the second the other, a third does what it always did.

    Args:
        first: Stops sending; what is on its way is finished.
        second: Ends everything.
    """

    def __init__(self, first: Callable[[], object], second: Callable[[], object]) -> None:
        self.count = 0
        self._actions = (first, second)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal)

        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def _on_signal(self) -> None:
        if self.count == len(self._actions):
            # It came together with the one before it.
            return

        action = self._actions[self.count]
        self.count += 1
        if self.count == len(self._actions):
            self._let_go()

        action()

    def _let_go(self) -> None:
        for number in SIGNALS:
            self._loop.remove_signal_handler(number)
