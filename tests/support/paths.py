"""Paths of the repository."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DATA", "ROOT", "SUPPORT", "TESTS"]

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
DATA = TESTS / "data"
