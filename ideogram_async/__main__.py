"""`python -m ideogram_async`, the same as `ideogram-async`; some of its commands do not need the extra `cli`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec

from ideogram_async import cli

COMMANDS = {
    "demo": ("ideogram_async.demo", "make some images with a sandbox; costs nothing"),
    "sandbox": ("ideogram_async.sandbox.command", "serve a sandbox until Ctrl-C"),
    "skill": ("ideogram_async._skill", "print the skill for coding agents"),
}

MORE = (
    "demo and sandbox need the extra sandbox. All other commands need the extra cli: pip install 'ideogram-async[cli]'"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        module, _ = COMMANDS[arguments[0]]
        command: Callable[[Sequence[str]], int] = import_module(module).main
        return cli.guard_output(lambda: command(arguments[1:]))

    is_help = arguments in (["-h"], ["--help"])
    if (is_help or not arguments) and find_spec("cyclopts") is None:
        print(_usage(), file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2

    return cli.main(arguments)


def _usage() -> str:
    lines = (f"  {name:<9} {summary}" for name, (_, summary) in COMMANDS.items())
    return "\n".join(["usage: python -m ideogram_async COMMAND", "", *lines, "", MORE])


if __name__ == "__main__":
    cli.run_process(main)
