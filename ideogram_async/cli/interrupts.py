"""Interrupts of a command: SIGINT, SIGTERM and SIGHUP. A signal that is ignored from the start stays ignored."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Action: TypeAlias = Callable[[signal.Signals], object]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHUTDOWN_TIMEOUT = 0.5
"""Seconds that an event loop has to end after an interrupt."""
_actions: list[Action] = []
"""Handlers of signals, of which the event loop calls the last one."""


def raise_on_signals() -> None:
    """Let every signal raise `KeyboardInterrupt`, as Ctrl-C does."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    """Ignore signals while the process ends: one that comes then must not change the exit code."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def restore_default_signals() -> None:
    """Let the signals of the event loop have their default effect."""
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)


@contextmanager
def on_signal(action: Action) -> Generator[None]:
    """Let the event loop call a function at every signal."""
    _actions.append(action)
    try:
        yield
    finally:
        _actions.remove(action)


def _handle(number: signal.Signals) -> None:
    if _actions:
        _actions[-1](number)
    else:
        # The command is over. What the event loop still waits for, such as a thread of a DNS lookup, gets some time.
        asyncio.get_running_loop().call_later(SHUTDOWN_TIMEOUT, _interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt


def run_async(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine like `asyncio.run`. A signal interrupts it in every state of the event loop.

    Raises:
        KeyboardInterrupt: After a signal for which there is no other action.
    """
    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    interrupts: list[signal.Signals] = []
    try:
        return asyncio.run(_run_interruptible(main, handlers, interrupts))
    except asyncio.CancelledError:
        # Raised here: asyncio would report the error of a task that another one prevents it from reading.
        if interrupts:
            raise KeyboardInterrupt from None

        raise
    finally:
        # The loop has set the default ones.
        for number, handler in handlers.items():
            signal.signal(number, handler)


async def _run_interruptible(
    main: Coroutine[object, object, T], numbers: Iterable[signal.Signals], interrupts: list[signal.Signals]
) -> T:
    # `asyncio.run` handles SIGINT alone, and sets no wakeup descriptor. A signal that arrives just before the loop
    # starts to wait, or in another thread, would be handled only at the next event.
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt(number: signal.Signals) -> None:
        interrupts.append(number)
        if task is None or len(interrupts) > 1:
            raise KeyboardInterrupt

        task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, _handle, number)

    with on_signal(interrupt):
        return await main
