"""Extras: each alone, none and all of them, in environments that nox installs."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT, SUPPORT
from support.sandbox_process import SandboxProcess

ENVIRONMENTS = os.environ.get("EXTRAS", "")
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

pytestmark = pytest.mark.skipif(not ENVIRONMENTS, reason="nox -s extras installs each of them")


@pytest.mark.parametrize("extra", ["none", *sorted(DECLARED.keys() - {"dev", "docs"})])
def test_an_extra_alone(tmp_path: Path, extra: str):
    """What an extra enables works with it alone; without any, what needs one names it."""
    python = Path(ENVIRONMENTS, extra, "bin", "python")
    with SandboxProcess() as sandbox:
        command = [python, "-P", SUPPORT / "extras_program.py", extra, sandbox.url, tmp_path]
        run = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})

    assert (0, "") == (run.returncode, run.stderr)
