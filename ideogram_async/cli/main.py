"""Where the command `ideogram-async` begins. Loads nothing of the extra before it is known to be there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

NEEDED = ("cyclopts", "rich")
USAGE = 2
BROKEN_PIPE = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code.

    Args:
        argv: The words behind the program's name; those of the process if not given.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The command line needs {' and '.join(missing)}: pip install 'ideogram-async[cli]'\n"
            "Without them there are: python -m ideogram_async demo, python -m ideogram_async sandbox\n"
        )
        return USAGE

    try:
        from ideogram_async.cli.app import run

        code = run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has left; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        # Before there was anything to tell, or while it was being told.
        return INTERRUPTED

    return code


if __name__ == "__main__":
    sys.exit(main())
