"""Command groups of the second contract and of the account, imported when they are used."""

from __future__ import annotations

from cyclopts import App

from ideogram_async.cli.catalog import SECOND_CONTRACT, second_commands
from ideogram_async.cli.examples import epilogue


def __getattr__(name: str) -> App:
    """Return a command group, which cyclopts imports by name when it is used."""
    match name:
        case "v2" | "account":
            return _operations(name)
        case "estimate":
            return _estimate()
        case _:
            raise AttributeError(name)


def _operations(group: str) -> App:
    app = App(name=group, help_epilogue=epilogue(group))
    for command in second_commands():
        if command.group == group:
            path, end = f"ideogram_async.cli.call:{command.attribute}", epilogue(command.full_name)
            app.command(path, name=command.name, help=command.help, help_epilogue=end, version_flags=())

    return app


def _estimate() -> App:
    app = App(name=SECOND_CONTRACT, help_epilogue=epilogue(f"estimate {SECOND_CONTRACT}"))
    for command in second_commands():
        if command.endpoint.charged:
            path, end = f"ideogram_async.cli.tools:{command.attribute}", epilogue(f"estimate {command.full_name}")
            app.command(path, name=command.name, help=command.estimate_help, help_epilogue=end, version_flags=())

    return app
