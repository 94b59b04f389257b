"""A batch from its first job to its last result, whatever comes in between."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from ideogram_async._batch.batch import Batch
from ideogram_async._batch.job import JobResult
from ideogram_async._batch.journal.reader import entry_of
from ideogram_async._batch.report import Report
from ideogram_async._batch.results import Settled
from ideogram_async._batch.source import Jobs
from ideogram_async._client import Ideogram
from ideogram_async.cli.options import Asked
from ideogram_async.cli.progress import Display, JsonLines, LivePanel, Meter, PlainLines
from ideogram_async.errors import BatchError
from ideogram_async.events import Event, JobFinished

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


class Untold:
    """Stands between a batch and what shows it, and sees to it that every settled job is told.

    Args:
        folder: The batch's folder.
        display: What shows it.
    """

    def __init__(self, folder: Path, display: Display) -> None:
        self._folder = folder
        self._display = display
        self._settled = Settled(folder)
        self._keys: dict[str, None] = {}
        """What was settled, and not yet taken. No more than the batch itself keeps."""
        self._is_left = False

    def event(self, event: Event) -> None:
        """Something happened."""
        self._display.event(event)
        if isinstance(event, JobFinished):
            self._keys[event.call_id] = None
            if self._is_left:
                self.tell_all()

    def result(self, result: JobResult) -> None:
        """A result was taken."""
        self._keys.pop(result.key, None)
        self._display.result(result)

    def tell_all(self) -> None:
        """Tell what was settled so far, and from now on whatever will be."""
        self._is_left = True
        keys, self._keys = list(self._keys), {}
        for key in keys:
            if (result := self._found(key)) is not None:
                self._display.result(result)

    def _found(self, key: str) -> JobResult | None:
        try:
            entry = entry_of(self._folder, key)
            return None if entry is None else attrs.evolve(self._settled.result(entry), from_journal=False)
        except (BatchError, OSError):
            # It is told in the report.
            return None


TICK = 0.125

"""Seconds between two pictures."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How a run has ended."""

    report: Report
    total: int | None
    """Jobs of the input, where that is known."""
    interrupts: int
    """How often Ctrl-C was pressed: once lets things finish, twice does not."""
    error: Exception | None
    """What kept the batch from going on: its folder, a conflict, or its input."""


async def run_through(
    client: Ideogram, jobs: Jobs, folder: Path, asked: Asked, *, total: int | None, as_json: bool
) -> Outcome:
    """Run a batch, and show it.

    Raises:
        BatchError: If the folder is in use, or its journal cannot be trusted.
        OSError: If the folder cannot be written.
        ValueError: If an option makes no sense.
    """
    async with _display(client, total, as_json=as_json) as display:
        untold = Untold(folder, display)
        batch = client.batch(jobs, folder, on_event=untold.event, **attrs.asdict(asked))
        run = Run(batch, display, untold)
        await run.through()

    return run.outcome(total)


class Run:
    """A batch, and what Ctrl-C does to it."""

    def __init__(self, batch: Batch, display: Display, untold: Untold) -> None:
        self._batch = batch
        self._display = display
        self._untold = untold
        self._interrupts = Interrupts(first=self._drain, second=self._give_up)
        self._whole: asyncio.Task[object] | None = None
        self._taking: asyncio.Task[None] | None = None

    async def through(self) -> None:
        """Go on until all is done, or a Ctrl-C ends it."""
        self._whole = asyncio.current_task()
        try:
            with self._interrupts:
                await self._take_all()
        except asyncio.CancelledError:
            if self._whole is None or self._interrupts.count < 2:
                raise

            self._whole.uncancel()

    def outcome(self, total: int | None) -> Outcome:
        """Say how it ended."""
        report, count = self._batch.report(), self._interrupts.count
        if count:
            report = attrs.evolve(report, stopped="interrupted")

        taking = self._taking
        error = taking.exception() if taking is not None and taking.done() and not taking.cancelled() else None
        known = error if isinstance(error, Exception) else None
        return Outcome(report=report, total=total, interrupts=count, error=known)

    async def _take_all(self) -> None:
        async with self._batch:
            self._taking = asyncio.create_task(self._take())
            if self._interrupts.count:
                self._taking.cancel()

            # Not awaited by itself: its error must not end what is on its way. Leaving the block waits for that.
            await asyncio.wait({self._taking})

    async def _take(self) -> None:
        async for result in self._batch:
            self._untold.result(result)

    def _drain(self) -> None:
        self._display.draining()
        if self._taking is not None:
            self._taking.cancel()

        self._untold.tell_all()

    def _give_up(self) -> None:
        if self._whole is not None:
            self._whole.cancel()


@asynccontextmanager
async def _display(client: Ideogram, total: int | None, *, as_json: bool) -> AsyncGenerator[Display]:
    """Open what fits: JSON for machines, a panel in a terminal, lines in a pipe."""
    display: Display
    if as_json:
        display = JsonLines()
    elif sys.stdout.isatty():
        display = LivePanel(Meter(total), client.limiter)
    else:
        display = PlainLines(Meter(total))

    ticking = asyncio.create_task(_tick(display))
    try:
        yield display
    finally:
        ticking.cancel()
        display.close()


async def _tick(display: Display) -> None:
    while True:
        await asyncio.sleep(TICK)
        display.refresh()
