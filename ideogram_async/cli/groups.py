"""Groups of commands, such as `batch` and `ledger`."""

from __future__ import annotations

from collections.abc import Mapping

from cyclopts import App, Group

from ideogram_async.cli.examples import epilogue


def make_group(name: str, help_text: str, commands: Mapping[str, tuple[str, str]], section: Group) -> App:
    """Return a command group.

    Args:
        name: The name of the group.
        help_text: Its help.
        commands: The import path and the help of each command.
        section: The section of the help that lists the group.
    """
    group = App(name=name, help=help_text, help_epilogue=epilogue(name), group=section)
    for command, (path, text) in commands.items():
        group.command(path, name=command, help=text, help_epilogue=epilogue(f"{name} {command}"))

    return group
