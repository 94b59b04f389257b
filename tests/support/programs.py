"""Programs that run in another process."""

from __future__ import annotations

import subprocess
import sys
import textwrap

__all__ = ["run_quietly"]

PRELUDE = """
    import asyncio, gc, threading
    from ideogram_async import Ideogram
    from ideogram_async.sandbox import Fault, Sandbox
    from ideogram_async.sandbox.thread import running_in_thread
"""


def run_quietly(program: str) -> None:
    """Run a program with warnings as errors and check that it prints nothing."""
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # On a busy machine asyncio's debug mode reports slow steps.
    lines = [line for line in process.stderr.splitlines() if not line.startswith("Executing <")]

    assert (0, "", []) == (process.returncode, process.stdout, lines)
