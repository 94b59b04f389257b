"""Command `--install-completion`: completion of commands, options and values in a shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter
from cyclopts.completion.detect import ShellDetectionError, detect_shell
from cyclopts.completion.install import add_to_rc_file, get_default_completion_path
from rich.text import Text

from ideogram_async.cli.choices import take_text
from ideogram_async.cli.console import console, escape
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.exit_codes import Exit

Shell: TypeAlias = Literal["bash", "zsh", "fish"]
STARTUP_FILES: Mapping[Shell, str] = {"bash": ".bashrc", "zsh": ".zshrc"}
"""Files in the home folder that load the script. fish finds it by its name."""
CHOICES = "Pass bash, zsh or fish, such as: ideogram-async --install-completion bash"
COMPINIT = "autoload -Uz compinit && compinit"


def install_completion(
    shell: Annotated[Shell | None, Parameter(converter=take_text, show_choices=False)] = None, /
) -> int:
    """Run `--install-completion`.

    Args:
        shell: bash, zsh or fish; the shell in use by default.
    """
    kind = _supported(shell)
    try:
        script = _write_script(kind)
    except OSError as error:
        message = f"{error.filename or 'The home folder'} cannot be written: {error.strerror or error}"
        raise UsageError(message, "Change its permissions, or set HOME to another folder.") from None

    console().print(Text(f"Wrote {escape(script)}", "bold"), soft_wrap=True)
    undo = f"To undo: rm {shlex.quote(escape(script))}"
    if kind in STARTUP_FILES:
        _print_startup(Path.home() / STARTUP_FILES[kind], script)
        undo += ", and remove that line"

    console().print(Text(f"{undo}\nStart a new {kind} to use it."), soft_wrap=True)
    return Exit.OK


def _write_script(shell: Shell) -> Path:
    """Write the script of a shell, and let its startup file load it. Return the path."""
    from ideogram_async.cli.app import make_app

    app = make_app()
    script = get_default_completion_path(shell, app.name[0])
    # Some help texts contain characters that the locale may not have.
    script.write_text(app.generate_completion(shell=shell), encoding="utf-8")
    if shell != "fish":
        add_to_rc_file(script, app.name[0], shell)

    if shell == "zsh":
        _quote_folder(Path.home() / STARTUP_FILES[shell], f"{script.parent}")

    return script


def _quote_folder(startup: Path, folder: str) -> None:
    """Quote a folder in the line that loads it: cyclopts does not, and zsh would split it at a space."""
    quoted = shlex.quote(folder)
    text = startup.read_bytes() if quoted != folder and startup.exists() else b""
    if (line := os.fsencode(f"fpath=({folder} ")) in text:
        startup.write_bytes(text.replace(line, os.fsencode(f"fpath=({quoted} ")))


def _print_startup(startup: Path, script: Path) -> None:
    """Print the lines of a startup file that load a script, and what zsh lacks."""
    text = startup.read_text(encoding="utf-8", errors="backslashreplace") if startup.exists() else ""
    name = f"{script}" if startup.name == ".bashrc" else f"{script.parent}"
    loads = [line for line in text.splitlines() if name in line]
    if loads:
        console().print(Text("\n  ".join([f"{escape(startup)} loads it:", *map(escape, loads)])), soft_wrap=True)

    if startup.name == ".zshrc" and not re.search("compinit|oh-my-zsh", text):
        note = f"For zsh to complete anything, add this line to the end of {escape(startup)}: {COMPINIT}"
        console().print(Text(note, "yellow"), soft_wrap=True)


def _supported(name: str | None) -> Shell:
    """Return a shell, or that of this process.

    Raises:
        UsageError: If completion does not support it.
    """
    if name is None:
        try:
            name = detect_shell()
        except ShellDetectionError:
            raise UsageError("The shell in use was not recognized.", CHOICES) from None

    match name:
        case "bash" | "zsh" | "fish":
            return name
        case _:
            raise UsageError(f"Completion does not support {name!r}.", CHOICES)
