"""The pages that are followed in a terminal: their commands run as printed, and print what the pages show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import FOLLOWED, Block, PageShell, missing_lines, parse_page
from support.paths import ROOT

PARSED = re.compile(r"(ideogram-async (.|\\\n)+\n)+")
"""Commands of the program alone: `tests/cli/test_page.py` parses them."""
RUN_ELSEWHERE = ("README.md", "agents.md", "sandbox.md")
"""Pages whose other commands have tests of their own."""


@pytest.mark.programs
@pytest.mark.parametrize("name", FOLLOWED)
def test_a_page_can_be_followed(name: str, tmp_path: Path) -> None:
    """Each command works after those before it, with the exit code and the output that the page states."""
    failures = []
    with PageShell(tmp_path) as shell:
        for block in parse_page(ROOT / "docs" / f"{name}.md"):
            if block.filename:
                shell.save(block)
            elif block.runs:
                failures += failures_of(shell, block)

    assert not failures, "\n".join(failures)


def failures_of(shell: PageShell, block: Block) -> list[str]:
    code, actual = shell.run(block)
    missing = missing_lines(block, actual)
    if code == block.exit_code and not missing:
        return []

    return [f"{block.text}exit code {code}, missing: {missing}, in:\n{actual}"]


def test_every_command_is_run_or_the_page_says_why_not() -> None:
    """A block of commands is followed, has only commands that other tests parse or run, or states why it is not run."""
    others = [
        (page.name, block.text)
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
        for block in parse_page(page)
        if page.stem not in FOLLOWED and block.runs and not PARSED.fullmatch(block.text)
    ]

    assert [] == [(name, text) for name, text in others if name not in RUN_ELSEWHERE]
