"""The page on the command line, against the commands."""

from __future__ import annotations

import re
import shlex

import attrs
import pytest
from support.pages import fenced
from support.paths import ROOT

from ideogram_async.cli.app import make_app
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.settings import PREFIX, Settings

PAGE = (ROOT / "docs" / "cli.md").read_text()
COMMANDS = sorted(
    {
        command
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for block in fenced(page.read_text(), "sh")
        for command in re.findall(r"^ideogram-async ([^|>\n]+)", block.replace("\\\n", " "), re.MULTILINE)
        if not re.match(r"(sandbox|demo|--)", command)
    }
)
"""The commands of all pages, but those of programs with parsers of their own."""


def test_every_setting_has_a_row():
    """Each setting is listed with its option and its variable."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    names = [field.name for field in attrs.fields(Settings)]
    listed = [
        row for name in names for row in rows if f"`--{name.replace('_', '-')}" in row and PREFIX + name.upper() in row
    ]

    assert len(names) == len(listed)


def test_every_exit_code_has_a_row():
    """The table has the codes that the commands return."""
    assert sorted(Exit) == [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_pages_exist(command: str):
    """Each command of a page is one that the command line accepts."""
    function, _, _ = make_app().parse_args(shlex.split(command, comments=True), exit_on_error=False, print_error=False)

    assert callable(function)
