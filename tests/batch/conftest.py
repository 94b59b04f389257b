"""Fixtures of the tests of batches: small pictures, and a journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pictures import picture

from ideogram_async._batch.journal.writer import Journal
from ideogram_async.sandbox import images as origin


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few pixels that differ by their seed."""

    def draw(recipe: Any, image_format: str) -> bytes:
        return picture(image_format, size=(64 + recipe.seed % 64, 48))

    monkeypatch.setattr(origin, "draw", draw)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path, origin="sandbox").open()
    yield journal
    journal.close()
