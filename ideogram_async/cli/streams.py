"""Standard output streams that never raise an error and never block: what cannot be written is dropped."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import TextIO, cast

SIGNS = {"✓": "+", "✗": "x", "◐": "~", "→": ">", "•": "*", "·": "-", "…": "~"}
"""Replacements of signs that cannot be encoded."""

MAX_QUEUED = 1000
"""Texts that may wait for a slow reader until a batch waits too."""


class Writer:
    """Thread that writes. Otherwise a paused terminal or reader would block the event loop until calls time out."""

    def __init__(self) -> None:
        self.timeout: float | None = None
        """Seconds to wait for a paused reader at most; no limit by default."""
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, step: Callable[[], object]) -> None:
        """Queue a step."""
        self._queue.put(step)

    def wait(self) -> None:
        """Wait until everything is written."""
        is_done = Event()
        self._queue.put(is_done.set)
        is_done.wait(self.timeout)

    async def catch_up(self) -> None:
        """Wait until everything is written, if much is queued."""
        if self._queue.qsize() > MAX_QUEUED:
            is_done = asyncio.Event()
            self._queue.put(partial(asyncio.get_running_loop().call_soon_threadsafe, is_done.set))
            await is_done.wait()

    def close(self) -> None:
        """Write the rest and end the thread, unless the reader is paused for longer than the timeout."""
        self._queue.put(None)
        self._thread.join(self.timeout)

    def _run(self) -> None:
        while (step := self._queue.get()) is not None:
            # An event loop that a step refers to may have ended.
            with suppress(RuntimeError):
                step()


class GuardedStream(io.TextIOBase):
    """Text stream that raises no error, and escapes characters that cannot be encoded.

    Args:
        stream: The stream; `None` if the process was started without it.
        writer: The thread that writes to it.
    """

    def __init__(self, stream: TextIO | None, writer: Writer) -> None:
        self.writer = writer
        self.error: Exception | None = None
        """The first error."""
        self._stream = stream
        self._signs = str.maketrans({sign: text for sign, text in SIGNS.items() if not self._can_encode(sign)})
        self._on_error: Callable[[Exception], object] | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    @property
    def has_failed(self) -> bool:
        """Return whether there was an error, once everything is written."""
        self.writer.wait()
        return self.error is not None

    @property
    def is_lost(self) -> bool:
        """Return whether text was dropped."""
        return self._stream is None or self.has_failed

    @contextmanager
    def on_error(self, action: Callable[[Exception], object]) -> Generator[None]:
        """Call a function at the first error, in another thread; at once if there was one before."""
        self._on_error = action
        if self.error is not None:
            action(self.error)

        try:
            yield
        finally:
            self._on_error = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _can_encode(self, text: str) -> bool:
        return text.encode(self.encoding, "ignore") != b""

    def write(self, text: str, /) -> int:
        self.writer.put(lambda: self._write(text))
        return len(text)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def _write(self, text: str) -> None:
        if self._stream is None:
            return

        try:
            self._stream.write(text.translate(self._signs))
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed.
            if self.error is None:
                self.error = error
                if self._on_error is not None:
                    self._on_error(error)


@contextmanager
def guarded_output() -> Generator[GuardedStream]:
    """Replace the standard output streams by guarded ones; yield that of the output."""
    writer = Writer()
    output, errors = GuardedStream(sys.stdout, writer), GuardedStream(sys.stderr, writer)
    try:
        with redirect_stdout(cast(TextIO, output)), redirect_stderr(cast(TextIO, errors)):
            yield output
    finally:
        writer.close()


def output() -> GuardedStream:
    """Return the guarded standard output."""
    if not isinstance(sys.stdout, GuardedStream):
        raise RuntimeError("the standard output is not guarded")

    return sys.stdout


@contextmanager
def fallback_output() -> Generator[None]:
    """Write to the error stream what an output with an error would lose."""
    with redirect_stdout(sys.stderr) if output().has_failed else nullcontext():
        yield


def open_missing_descriptors() -> None:
    """Open the standard descriptors that the process was started without. Otherwise a file would take their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def discard_unwritten() -> None:
    """Drop text that cannot be written: Python would report it when it ends, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
