"""Commands in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Generator
from contextlib import contextmanager, suppress

from support.commands import COMMAND, CommandLine

__all__ = ["Screen", "terminal"]

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Screen:
    """The output of a process to its terminal."""

    def __init__(self, handle: int) -> None:
        self.text = ""
        self._handle = handle

    def wait_for(self, text: str) -> None:
        """Read until that text was written."""
        while text not in CONTROL.sub("", self.text):
            self.text += self._read()

    def read_all(self) -> None:
        """Read until the process has ended."""
        # Reading from a terminal whose process has ended is an error on Linux, and the end elsewhere.
        with suppress(OSError):
            while chunk := self._read():
                self.text += chunk

    @property
    def lines(self) -> list[str]:
        """The lines of the output, without control sequences."""
        return CONTROL.sub("", self.text).replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def type(self, text: str) -> None:
        """Write text as if it was typed."""
        os.write(self._handle, text.encode())

    def close(self) -> None:
        """Close the terminal."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _read(self) -> str:
        return os.read(self._handle, 65536).decode(errors="replace")


@contextmanager
def terminal(
    cli: CommandLine, width: int, *arguments: str, **env: str
) -> Generator[tuple[subprocess.Popen[bytes], Screen]]:
    """Run a command in a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    known = {name: value for name, value in cli.env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cli.folder,
        env={**known, "TERM": "xterm", **env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_control_terminal,
    )
    os.close(theirs)
    screen = Screen(ours)
    try:
        yield process, screen
    finally:
        process.kill()
        process.wait()
        screen.close()


def _control_terminal() -> None:
    """Make the terminal that of the process, whose interrupts a shell may ignore for tests in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
