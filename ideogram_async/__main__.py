"""Entry point of `python -m ideogram_async demo` and `python -m ideogram_async sandbox`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "demo": ("ideogram_async.demo", "make some images with a sandbox; costs nothing"),
    "sandbox": ("ideogram_async.sandbox.command", "serve a sandbox until Ctrl-C"),
}

MORE = "All other commands: ideogram-async --help, with the extra: pip install 'ideogram-async[cli]'"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        is_help = bool(arguments) and arguments[0] in ("-h", "--help")
        print(_usage(), file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2

    module, _ = COMMANDS[arguments[0]]
    code: int = import_module(module).main(arguments[1:])
    return code


def _usage() -> str:
    lines = (f"  {name:<9} {summary}" for name, (_, summary) in COMMANDS.items())
    return "\n".join(["usage: python -m ideogram_async COMMAND", "", *lines, "", MORE])


if __name__ == "__main__":
    sys.exit(main())
