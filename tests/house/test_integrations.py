"""Integrations: each is listed wherever users look for it."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT
from support.surface import MODULES

import ideogram_async.integrations

FOLDER = Path(ideogram_async.integrations.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.iterdir() if not path.name.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_an_integration_is_listed(name: str) -> None:
    """An integration is in the stored surface and the reference, and its extra in the package and in `all`."""
    paths = [FOLDER / f"{name}.py", *(FOLDER / name).glob("*.py")]
    sources = "".join(path.read_text() for path in paths if path.exists())
    needed = set(re.findall(r'needs_extra\([^,]+, "(\w+)"\)', sources))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    reference = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))

    assert bool(needed) == (name != "logs")
    assert f".integrations.{name}" in MODULES
    assert name in reference["INTEGRATIONS"]
    assert needed <= {*re.findall(r"\w+", extras["all"][0])} & extras.keys()
