"""Progress of a batch on the screen: a tqdm bar if tqdm is installed, a line of text otherwise."""

from __future__ import annotations

import asyncio
import contextvars
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sized
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol, Self, cast

from attrs import frozen

from ideogram_async._batch.batch import Batch
from ideogram_async._limiter.limiter import Limiter

INTERVAL = 0.25
"""Seconds between two updates."""
LINE_INTERVAL = 10.0
"""Seconds between two lines in a file or a pipe."""
MAX_WAIT = 1.0
"""Seconds that the end of a batch waits for an output that blocks."""


@frozen
class Snapshot:
    """State of a batch, as it is shown."""

    finished: int
    total: int | None
    figures: str


class Meter(Protocol):
    """A bar or a line that shows a batch. Its methods may block, and raise any error of the output."""

    def draw(self, snapshot: Snapshot) -> None:
        """Show a batch in progress."""
        ...

    def close(self, snapshot: Snapshot) -> None:
        """Show its end."""
        ...


class ProgressDisplay:
    """Display of a batch that is running, for a `with` block around it.

    A thread draws. Output that fails ends the display, and output that blocks delays it, but never the batch.

    Args:
        batch: The batch.
        jobs: Its input. If that has a length, it is the total.
        limiter: The limiter that its calls use.
    """

    def __init__(self, batch: Batch, jobs: object, limiter: Limiter) -> None:
        self._batch = batch
        self._total = len(jobs) if isinstance(jobs, Sized) else None
        self._limiter = limiter
        self._tqdm = find_tqdm()
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = threading.Event()
        # The output of a notebook belongs to the cell in whose context it is written.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._draw,), name="ideogram-progress", daemon=True)

    def __enter__(self) -> Self:
        self._update()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

        self._snapshot = self._take_snapshot()
        self._is_over.set()
        self._thread.join(MAX_WAIT)

    def _update(self) -> None:
        """Take a snapshot in the event loop, because the batch changes there."""
        self._snapshot = self._take_snapshot()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._update)

    def _take_snapshot(self) -> Snapshot:
        report = self._batch.report()
        parts = [
            f"{report.spent_usd} USD spent",
            *([f"{report.in_doubt_usd} USD in doubt"] if report.in_doubt_usd else []),
            *([f"{len(report.failures)} failed"] if report.failures else []),
            f"{self._limiter.statistics().in_flight} images in flight",
            *([f"stopping: {report.stopped}"] if report.stopped else []),
        ]
        # Jobs that earlier runs left ambiguous count from the start, whether the input has them or not.
        finished = report.jobs if self._total is None else min(report.jobs, self._total)
        return Snapshot(finished, self._total, ", ".join(parts))

    def _draw(self) -> None:
        try:
            meter: Meter = Line() if self._tqdm is None else Bar(self._tqdm(total=self._total, unit="job"))
            while not self._is_over.wait(INTERVAL):
                meter.draw(self._snapshot)

            meter.close(self._snapshot)
        except Exception:
            # After an error, tqdm keeps the lock of all its bars.
            with suppress(Exception):
                cast(Any, self._tqdm).get_lock().release()


def find_tqdm() -> Callable[..., TqdmBar] | None:
    """Return the class of tqdm that fits notebooks and terminals, `None` if tqdm is not installed."""
    with warnings.catch_warnings(), suppress(ImportError):
        # Without ipywidgets it warns, and draws its bar as text.
        warnings.simplefilter("ignore")
        return cast(Callable[..., TqdmBar], import_module("tqdm.auto").tqdm)

    return None


class TqdmBar(Protocol):
    """The part of a tqdm bar that is used here."""

    n: float
    disable: bool

    def set_postfix_str(self, s: str, refresh: bool) -> None: ...
    def refresh(self) -> object: ...
    def close(self) -> None: ...


class Bar:
    """A tqdm bar."""

    def __init__(self, bar: TqdmBar) -> None:
        self._bar = bar

    def draw(self, snapshot: Snapshot) -> None:
        self._bar.n = snapshot.finished
        self._bar.set_postfix_str(snapshot.figures, refresh=False)
        try:
            self._bar.refresh()
        except BaseException:
            # Otherwise it is drawn once more when it is deleted.
            self._bar.disable = True
            raise

    def close(self, snapshot: Snapshot) -> None:
        self.draw(snapshot)
        self._bar.close()


class Line:
    """A line of text on the standard error stream: rewritten on a screen, repeated at intervals in a file."""

    def __init__(self) -> None:
        self._is_screen = sys.stderr.isatty()
        self._drawn_at = time.monotonic()

    def draw(self, snapshot: Snapshot) -> None:
        if self._is_screen:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r{_text(snapshot)[:width]:{width}}")
        elif time.monotonic() >= self._drawn_at + LINE_INTERVAL:
            self.close(snapshot)
            self._drawn_at = time.monotonic()

    def close(self, snapshot: Snapshot) -> None:
        if self._is_screen:
            self.draw(snapshot)
            self._write("\n")
        else:
            self._write(f"{_text(snapshot)}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _text(snapshot: Snapshot) -> str:
    total = "" if snapshot.total is None else f"/{snapshot.total}"
    return f"{snapshot.finished}{total} jobs, {snapshot.figures}"
