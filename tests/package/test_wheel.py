"""Wheel: the tests run what is published, not the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

import ideogram_async

ENVIRONMENT = os.environ.get("TESTED_ENVIRONMENT", "")

pytestmark = pytest.mark.skipif(not ENVIRONMENT, reason="only nox installs the wheel")


def test_the_tests_import_the_installed_package():
    """The test process imports the package from the environment that nox names."""
    assert Path(ideogram_async.__file__).is_relative_to(ENVIRONMENT)


@pytest.mark.parametrize("folder", [ROOT, ROOT / "tests"], ids=["root", "tests"])
def test_programs_import_the_installed_package(folder: Path):
    """A program that a test starts in the checkout imports the package from there, too."""
    script = "import ideogram_async; print(ideogram_async.__file__)"
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)

    assert ideogram_async.__file__ == run.stdout.rstrip("\n")


def test_the_wheel_has_every_file_of_the_package():
    """The wheel contains the data files, the templates and the type marker."""
    assert files_of(ROOT / "ideogram_async") == files_of(Path(ideogram_async.__file__).parent)


def files_of(package: Path) -> set[str]:
    paths = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {str(path.relative_to(package)) for path in paths}
