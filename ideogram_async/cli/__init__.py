"""Command line: all operations, batches and tools. Needs the extra `cli`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from ideogram_async._requirements import needs_extra
from ideogram_async.cli.interrupts import ignore_signals, raise_on_signals
from ideogram_async.cli.streams import discard_unwritten, guarded_output, open_missing_descriptors

WITHOUT = "python -m ideogram_async demo, python -m ideogram_async sandbox"
FAILED = 1
USAGE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code.

    Args:
        argv: The arguments after the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guard_output(lambda: _run(arguments))


def guard_output(command: Callable[[], int]) -> int:
    """Run a command with guarded output. Return its exit code, or that of a failure if output was lost."""
    try:
        with guarded_output() as output:
            code = command()
    except KeyboardInterrupt:
        # Before a command began, while an error was printed, or while the output waited for its reader.
        return INTERRUPTED

    return code if code or output.error is None else FAILED


def run_process(main: Callable[[], int] = main) -> NoReturn:
    """Run the command line and end the process."""
    open_missing_descriptors()
    raise_on_signals()
    code = main()
    ignore_signals()
    if threading.active_count() > 1:
        # A thread that is blocked by its input, such as a FIFO, or by the output would keep the process alive.
        os._exit(code)

    discard_unwritten()
    sys.exit(code)


def _run(argv: list[str]) -> int:
    try:
        with needs_extra("ideogram-async", "cli"):
            from ideogram_async.cli.app import run
    except ImportError as error:
        sys.stderr.write(f"{error}\nAvailable with the extra sandbox: {WITHOUT}\n")
        return USAGE

    return run(argv)
