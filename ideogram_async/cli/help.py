"""Layout of `--help` in a narrow terminal: a name that is wider than its column breaks after a hyphen."""

from __future__ import annotations

import textwrap
from functools import partial

from attrs import evolve
from cyclopts.help import HelpEntry, HelpPanel
from cyclopts.help.formatters.default import DefaultFormatter
from cyclopts.help.specs import (
    ColumnSpec,
    CommandNameRenderer,
    NameRenderer,
    get_default_command_columns,
    get_default_parameter_columns,
)
from rich.console import Console, ConsoleOptions


class HelpFormatter(DefaultFormatter):
    """The default layout, with other names of commands and options."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        is_command = panel.format == "command"
        make_columns = get_default_command_columns if is_command else get_default_parameter_columns
        columns = make_columns(console, options, panel.entries)
        render = CommandNameRenderer() if is_command else NameRenderer()
        DefaultFormatter(column_specs=tuple(_with_hyphens(column, render) for column in columns))(
            console, options, panel
        )


def _with_hyphens(column: ColumnSpec, render: CommandNameRenderer | NameRenderer) -> ColumnSpec:
    return column if column.max_width is None else evolve(column, renderer=partial(_wrap, render, column.max_width))


def _wrap(render: CommandNameRenderer | NameRenderer, width: int, entry: HelpEntry) -> str:
    return "\n".join(textwrap.wrap(str(render(entry)), width, subsequent_indent="  "))
