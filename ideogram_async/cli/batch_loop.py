"""Loop over the results of a batch, and its interruption by Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterable, Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import attrs

from ideogram_async import Batch, Ideogram, Job, Report
from ideogram_async.cli.options import BatchRunOptions
from ideogram_async.cli.progress import Display, open_display

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    client: Ideogram,
    jobs: Iterable[Job] | AsyncIterable[Job],
    folder: Path,
    options: BatchRunOptions,
    *,
    total: int | None,
    as_json: bool,
) -> Outcome:
    """Run a batch and show its progress.

    Raises:
        BatchError: If the folder is locked, or its journal cannot be trusted.
        OSError: If the folder cannot be written.
        ValueError: If an option is invalid.
    """
    with open_display(total, client.limiter, as_json=as_json) as display:
        batch = client.batch(jobs, folder, on_event=display.event, **attrs.asdict(options))
        loop = BatchLoop(batch, display)
        await loop.run()

    return Outcome(report=batch.report(), total=total, is_aborted=loop.is_aborted, error=loop.error)


class BatchLoop:
    """Loop over the results of a batch. The first interrupt stops it gently, the second aborts it."""

    def __init__(self, batch: Batch, display: Display) -> None:
        self.error: Exception | None = None
        self.is_aborted: bool = False
        self._batch = batch
        self._display = display

    async def run(self) -> None:
        """Run until all jobs are finished, or an interrupt ends the batch."""
        task = self._task = asyncio.current_task()
        try:
            with handle_interrupts(first=self._stop, second=self._abort):
                await self._show_results()
        except asyncio.CancelledError:
            if task is None or not self.is_aborted:
                raise

            task.uncancel()

    async def _show_results(self) -> None:
        async with self._batch:
            try:
                async for result in self._batch:
                    self._display.result(result)
            except Exception as error:
                # Calls in flight finish: an error would cancel them when it leaves the block.
                self.error = error

    def _stop(self) -> None:
        self._display.stopping()
        self._batch.stop("interrupted")

    def _abort(self) -> None:
        self.is_aborted = True
        if self._task is not None:
            self._task.cancel()


@contextmanager
def handle_interrupts(first: Callable[[], object], second: Callable[[], object]) -> Generator[None]:
    """Call one function at the first SIGINT or SIGTERM, another at the second; a third has its default effect.

    Args:
        first: Stops sending.
        second: Aborts the calls in flight.
    """
    loop = asyncio.get_running_loop()
    actions = [first, second]

    def remove_handlers() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def on_signal() -> None:
        # A third signal may have been queued together with the second one.
        if actions:
            action = actions.pop(0)
            if not actions:
                remove_handlers()

            action()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)

    try:
        yield
    finally:
        remove_handlers()
