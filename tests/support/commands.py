"""Command line in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

COMMAND = [sys.executable, "-m", "ideogram_async.cli"]


@frozen
class Completed:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Parse every line of the output."""
        return [json.loads(line) for line in self.out.splitlines()]


Invoke: TypeAlias = Callable[..., Completed]
"""A function that runs a command in the process of the test."""


@frozen
class CommandLine:
    """A command line in a folder, with the settings of a sandbox."""

    folder: Path
    env: Mapping[str, str]

    def start(
        self, *arguments: object, stdin: int = subprocess.DEVNULL, launcher: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start a process, if need be by another program."""
        return subprocess.Popen(
            [*launcher, *COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def shell(self, script: str, *arguments: object) -> Completed:
        """Run a script of bash to its end. The command is its `"$@"`."""
        process = subprocess.run(
            ["bash", "-c", script, "bash", *COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return Completed(process.returncode, process.stdout, process.stderr)

    def __call__(self, *arguments: object, stdin: str | None = None) -> Completed:
        """Run a process to its end."""
        with self.start(*arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE) as process:
            out, err = process.communicate(stdin, timeout=30)

        return Completed(process.returncode, out, err)

    def write(self, name: str, *rows: object) -> Path:
        """Write a file of lines; a row that is not text becomes JSON."""
        path = self.folder / name
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        return path


def generate(name: str, /, **fields: Any) -> dict[str, Any]:
    """Return a row of a jobs file."""
    return {"operation": "generate", "id": name, "prompt": f"a picture of {name}"} | fields
