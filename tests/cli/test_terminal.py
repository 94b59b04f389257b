"""Output in a terminal: a progress bar and lines of its width, and neither in a pipe."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest
from rich.cells import cell_len
from support.commands import COMMAND, CommandLine, generate

from ideogram_async.sandbox import Sandbox

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
    )
    os.close(theirs)
    try:
        yield process, Screen(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_bar_shows_the_progress(cli: CommandLine, ideogram_sandbox: Sandbox, width: int):
    """Jobs, images in flight, waiting calls and cost are shown during the run; no line is wider than the terminal."""
    cli.write("jobs.jsonl", *(generate(f"n{n}", prompt="a fox \x1b[31m" + "in the snow " * 20) for n in range(12)))
    ideogram_sandbox.hold()
    with terminal(cli, width, "batch", "run", "jobs.jsonl", "out") as (process, screen):
        screen.wait_for("10 images in flight")
        screen.wait_for("images per minute")
        ideogram_sandbox.release()
        screen.read_all()

    text = "\n".join(screen.lines)

    assert 0 == process.wait()
    assert "0/12 jobs" in text
    assert "2 waiting" in text
    assert "12, all done" in text
    assert "\x1b[31m" not in screen.text.replace("\x1b[31m✗", "")
    assert [] == [line for line in screen.lines if cell_len(line) > width and str(cli.folder) not in line]


def test_the_first_interrupt_is_acknowledged_at_once(cli: CommandLine, ideogram_sandbox: Sandbox):
    """The output explains Ctrl-C and a second one; the jobs in flight are printed as usual."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(30)))
    ideogram_sandbox.hold()
    with terminal(cli, 100, "batch", "run", "jobs.jsonl", "out") as (process, screen):
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(10), 20))
        process.send_signal(2)
        screen.wait_for("Stopping: waiting for calls in flight.")
        ideogram_sandbox.release()
        screen.read_all()

    assert 4 == process.wait()
    assert 10 == len({line[:6] for line in screen.lines if "a picture of n" in line})


def test_no_color(cli: CommandLine):
    """With `NO_COLOR` there are no colors; bold and dim text is allowed."""
    cli.write("jobs.jsonl", generate("fox"))
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out", NO_COLOR="1") as (_, screen):
        screen.read_all()

    colors = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;\d+)*m")

    assert "all done" in screen.text
    assert [] == colors.findall(screen.text)


def test_a_pipe_gets_plain_lines(cli: CommandLine):
    """Without a terminal there is a line for each job, and no control character."""
    cli.write("jobs.jsonl", generate("fox", prompt="a fox " * 60))

    completed = cli("batch", "run", "jobs.jsonl", "out")

    assert "\x1b" not in completed.out
    assert ("a fox " * 60).strip() in completed.out
