"""The pages for agents: what they name exists, and the skill is installed as the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import fenced
from support.paths import ROOT
from support.skill import TEXT, blocks

AGENTS = (ROOT / "AGENTS.md").read_text()
PAGE = (ROOT / "docs" / "agents.md").read_text()


def test_what_the_instructions_name_exists() -> None:
    """Each path in `AGENTS.md` exists, each tool is installed for development, and each session is one of nox."""
    commands = fenced(AGENTS, "sh")[0]
    paths = re.findall(r"`([\w.]+/[\w./*]*|[\w*/]+\.(?:py|toml|md|txt))`", AGENTS) + re.findall(r"tests/\S+", commands)
    tools = {name for name in re.findall(r"\.venv/bin/(\w+)", commands) if name not in {"pip", "python"}}
    sessions = re.findall(r"nox -s (\w+)", commands)
    development = (ROOT / "pyproject.toml").read_text().partition("\ndev = [")[2].partition("\n]")[0]

    assert 12 < len(paths)
    assert [] == [path for path in paths if not [*ROOT.glob(path.rstrip("/"))]]
    assert {"mypy", "nox", "pyright", "ruff"} == tools == set(re.findall(r'"(\w+)', development)) & tools
    assert [] == [name for name in sessions if f"\ndef {name}(session" not in (ROOT / "noxfile.py").read_text()]


@pytest.mark.cli
def test_the_skill_is_installed_as_shown(tmp_path: Path) -> None:
    """The commands of the page put the skill where an agent looks for it."""
    script = fenced(PAGE, "sh")[0]
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=env, check=True)

    assert TEXT == (tmp_path / ".claude" / "skills" / "ideogram-async" / "SKILL.md").read_text()


def test_the_sandbox_is_started_as_the_skill_shows() -> None:
    """The page starts and reads the sandbox with the commands of the skill, whose tests run them."""
    lines = [line for block in fenced(PAGE, "sh")[1:] for line in block.splitlines()]
    tested = {line.partition("'")[0] for block in blocks("sh") for line in block.splitlines()}

    assert 4 == len(lines)
    assert {line.partition("'")[0] for line in lines} <= tested
