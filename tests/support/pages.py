"""Commands of a page, run one after another in a shell, and the outputs that the page shows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import field, frozen

__all__ = ["FOLLOWED", "Block", "PageShell", "fenced", "missing_lines", "parse_page"]

BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
COMMAND = "import sys; from ideogram_async.cli import main; sys.exit(main())"
END = "end-of-block"
FOLLOWED = ("quickstart", "tutorial", "ambiguous", "resuming", "testing")
"""The pages that a reader follows in a terminal, from top to bottom."""
VARIABLE = {
    r"\d+(\.\d+)? (s|ms)\b": "TIME",
    r"about \d+:\d\d": "TIME",
    r"folder +/.*": "FOLDER",
    r"seed \d+": "SEED",
    r"[\w-]{22}(?=\.\w+)": "LINK",
    r"\[Errno \d+\].*": "ERROR",
}
"""What differs between two runs."""


@frozen
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    note: str
    """The comment on the line before it."""
    output: str = ""
    """The output that the page shows next."""

    @property
    def runs(self) -> bool:
        return self.language == "sh" and not self.note.startswith("not run: ")

    @property
    def filename(self) -> str | None:
        """The name of a program that the reader saves."""
        match = re.match(r"# (\w+\.py)\n", self.text)
        return match[1] if match else None

    @property
    def exit_code(self) -> int:
        match = re.search(r"exits with (\d+)", self.note)
        return int(match[1]) if match else 0

    @property
    def is_interrupted(self) -> bool:
        return self.note.startswith("Ctrl-C")


def fenced(text: str, language: str) -> list[str]:
    """Return the texts of the fenced blocks of a language."""
    return [match["text"] for match in BLOCK.finditer(text) if match["language"] == language]


def parse_page(page: Path) -> list[Block]:
    """Return the blocks of a page, the outputs with the commands before them."""
    blocks: list[Block] = []
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["language"] == "text" and blocks:
            last = blocks.pop()
            blocks.append(Block(last.language, last.text, last.note, output=match["text"]))
        else:
            blocks.append(Block(match["language"], match["text"], match["note"] or ""))

    return blocks


def missing_lines(block: Block, actual: str) -> list[str]:
    """Return the lines of the shown output that are not the beginning of a line of the actual one."""
    variable = VARIABLE | ({r"\d+": "N"} if "numbers vary" in block.note else {})
    lines = [_stable(line, variable) for line in actual.splitlines()]
    shown = [_stable(line, variable) for line in block.output.splitlines() if line.strip()]
    return [line for line in shown if not any(each.startswith(line) for each in lines)]


def _stable(line: str, variable: dict[str, str]) -> str:
    for pattern, name in variable.items():
        line = re.sub(pattern, name, line)

    return re.sub(r"\s+", " ", line.rstrip())


@frozen
class PageShell:
    """A shell in a folder, whose `ideogram-async` and `python` are those of the tests."""

    folder: Path
    process: subprocess.Popen[str] = field(init=False)
    _ports: dict[str, str] = field(init=False, factory=dict)

    @process.default
    def _start(self) -> subprocess.Popen[str]:
        programs = self.folder / ".bin"
        programs.mkdir()
        commands = {
            "python": f'exec {shlex.join([sys.executable])} "$@"',
            "ideogram-async": f'exec {shlex.join([sys.executable, "-c", COMMAND])} "$@"',
            # Only one program is interrupted: the sandbox in the background continues.
            "interruptible": f'echo $$ > {shlex.quote(str(programs / "pid"))}; exec "$@"',
        }
        for name, command in commands.items():
            script = programs / name
            script.write_text(f"#!/bin/sh\n{command}\n")
            script.chmod(0o700)

        return subprocess.Popen(
            ["bash"],
            cwd=self.folder,
            env=os.environ
            | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", "HOME": str(self.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def save(self, block: Block) -> None:
        """Save a program under its name, in the folder that the shell is in."""
        self.run(Block("sh", f"cat > {block.filename} <<'END_OF_PROGRAM'\n{block.text}END_OF_PROGRAM", ""))

    def run(self, block: Block) -> tuple[int, str]:
        """Run the commands of a block and return the exit code of the last one, and the output."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        prefix = "interruptible " if block.is_interrupted else ""
        self.process.stdin.write(f"{prefix}{self._adapted(block.text)}\necho {END} $?\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if END in line:
                before, _, code = line.rpartition(END)
                return int(code), "".join([*lines, before])

            lines.append(line)
            if block.is_interrupted and len(lines) == 1:
                os.kill(int((self.folder / ".bin" / "pid").read_text()), signal.SIGINT)

        raise RuntimeError(f"the shell has ended: {''.join(lines)}")

    def _adapted(self, commands: str) -> str:
        """Return the commands with free ports, and calls of the sandbox that are shorter."""
        for port in re.findall(r"\b8\d00\b", commands):
            self._ports.setdefault(port, _free_port())
            commands = re.sub(rf"\b{port}\b", self._ports[port], commands)

        return commands.replace("--latency 1-2", "--latency 0.4-0.6")


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])
