"""A batch from its first job to its last result, whatever comes in between."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from ideogram_async.batch.batch import Batch
from ideogram_async.batch.feed import Jobs
from ideogram_async.batch.report import Report
from ideogram_async.cli.asked import Asked
from ideogram_async.cli.displays import Display, JsonLines, PlainLines
from ideogram_async.cli.interrupts import Interrupts
from ideogram_async.cli.live import LivePanel
from ideogram_async.cli.meter import Meter
from ideogram_async.cli.untold import Untold
from ideogram_async.client import Ideogram

__all__ = ["Outcome", "run_through"]

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
