"""Loop over the results of a batch, and its interruption by signals and by a closed output."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import TypeAlias

import attrs
from rich.text import Text

from ideogram_async import Batch, Limiter, Report
from ideogram_async.cli.batch.progress import Display, open_display
from ideogram_async.cli.console import console
from ideogram_async.cli.interrupts import on_signal, restore_default_signals
from ideogram_async.cli.streams import Writer, output
from ideogram_async.events import Event

Listener: TypeAlias = Callable[[Event], None]
GRACE = 30.0
"""Seconds after the first interrupt for which accepted generations are waited for."""

REPEAT = 0.1
"""Seconds in which further signals belong to the first one: `timeout` and some launchers send it twice."""

ABORTED_TIMEOUT = 0.5
"""Seconds that an aborted batch waits for a paused reader of its output."""


@attrs.frozen(kw_only=True)
class Outcome:
    """Outcome of a run."""

    report: Report
    total: int | None
    """Jobs of the input, if known."""
    is_aborted: bool
    """Whether a second interrupt aborted the calls in flight."""
    error: Exception | None
    """The error that ended the batch: of its folder, a conflict, or its input."""


async def run_batch(
    make_batch: Callable[[Listener], Batch],
    limiter: Limiter,
    *,
    total: int | None,
    as_json: bool,
    is_quiet: bool,
    stopping: str,
) -> Outcome:
    """Run a batch and show its progress.

    Args:
        make_batch: Returns the batch, given the listener of its events.
        limiter: The limiter of its client.
        total: The number of jobs, if known.
        as_json: Whether to write JSON.
        is_quiet: Whether to show no progress.
        stopping: The message after the first interrupt.

    Raises:
        BatchError: If the folder is locked, or its journal cannot be trusted.
        OSError: If the folder cannot be written.
        ValueError: If an option is invalid.
    """
    stdout, event_loop = output(), asyncio.get_running_loop()
    batch = make_batch(lambda event: display.event(event))
    progress = batch._progress  # pyright: ignore[reportPrivateUsage]
    # Its own grace is that after the second interrupt.
    batch._stopping.grace = GRACE  # pyright: ignore[reportPrivateUsage]
    with open_display(total, limiter, lambda: progress.budget, as_json=as_json, is_quiet=is_quiet) as display:
        loop = BatchLoop(batch, display, stdout.writer, stopping)
        with stdout.on_error(lambda error: event_loop.call_soon_threadsafe(loop.on_output_error, error)):
            await loop.run()

    return Outcome(report=batch.report(), total=total, is_aborted=loop.is_aborted, error=loop.error)


class BatchLoop:
    """Loop over the results of a batch. The first interrupt stops it gently, the second aborts it."""

    def __init__(self, batch: Batch, display: Display, writer: Writer, stopping: str) -> None:
        self.error: Exception | None = None
        self.is_aborted: bool = False
        self._batch = batch
        self._display = display
        self._writer = writer
        self._stopping = stopping
        self._task = asyncio.current_task()
        self._confirming: asyncio.TimerHandle | None = None
        self._is_confirmed = False

    async def run(self) -> None:
        """Run until all jobs are finished, or an interrupt ends the batch."""
        try:
            with on_signal(self._on_signal):
                await self._show_results()
        except asyncio.CancelledError:
            if self._task is None or not self.is_aborted:
                raise

            self._task.uncancel()
        finally:
            if self._confirming is not None:
                self._confirming.cancel()

    def on_output_error(self, error: Exception) -> None:
        """Stop sending, since nothing can be printed."""
        is_closed = isinstance(error, BrokenPipeError | ValueError)
        cause = "was closed" if is_closed else f"cannot be written ({getattr(error, 'strerror', None) or error})"
        self._batch.stop(f"the output {cause}")
        console(sys.stderr).print(Text(f"Stopping: the output {cause}. Waiting for calls in flight.", "yellow"))

    async def _show_results(self) -> None:
        async with self._batch:
            try:
                async for result in self._batch:
                    self._display.result(result)
                    await self._writer.catch_up()
            except Exception as error:
                # It is reported at the end, together with the results of the calls in flight.
                self.error = error

    def _on_signal(self, number: signal.Signals) -> None:
        if self._confirming is None:
            self._batch.stop("interrupted")
            self._confirming = asyncio.get_running_loop().call_later(REPEAT, self._confirm)
        elif self._is_confirmed and number != signal.SIGHUP:
            # A terminal that closes sends SIGHUP more than once.
            self._abort()

    def _confirm(self) -> None:
        self._is_confirmed = True
        self._display.stopping(self._stopping)

    def _abort(self) -> None:
        self.is_aborted = True
        self._writer.timeout = ABORTED_TIMEOUT
        restore_default_signals()
        if self._task is not None:
            self._task.cancel()
