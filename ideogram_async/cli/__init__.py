"""Command line: all operations, batches and tools. Needs the extra `cli`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

REQUIRED = ("cyclopts", "rich")
USAGE = 2
BROKEN_PIPE = 1
INTERRUPTED = 130


def run_process() -> NoReturn:
    """Run the command line and end the process."""
    code = main()
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if code == INTERRUPTED and not all(thread.daemon for thread in others):
        # A thread that is blocked by its input, such as a FIFO, would keep the process alive.
        sys.stderr.flush()
        os._exit(code)

    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code.

    Args:
        argv: The arguments after the program's name; those of the process by default.
    """
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The command line needs {' and '.join(missing)}: pip install 'ideogram-async[cli]'\n"
            "Available without: python -m ideogram_async demo, python -m ideogram_async sandbox\n"
        )
        return USAGE

    try:
        from ideogram_async.cli.app import run

        code = run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the output. Python would report that again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        # Before a command began, or while an error was printed.
        return INTERRUPTED

    return code
