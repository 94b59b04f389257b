"""Programs that some tests need, and that a package manager of the operating system installs."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["find"]


def find(*names: str) -> str:
    """Return the path of the first of these programs that is installed.

    Without any, the test is skipped. With `CI=true` it fails, as a test that is always skipped is not noticed.
    """
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        outcome(f"{names[0]} is not installed")

    return path
