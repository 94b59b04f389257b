"""Fixtures: a sandbox that draws small images, a client of it, and a journal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clients import AT_ONCE, CANARY, fast_limiter
from support.pictures import picture

from ideogram_async import Ideogram
from ideogram_async._batch.journal.writer import Journal
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox import images as origin


@pytest.fixture
async def box(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Sandbox]:
    def draw_small(recipe: Any, image_format: str) -> bytes:
        return picture(image_format, size=(64 + recipe.seed % 64, 48))

    monkeypatch.setattr(origin, "draw", draw_small)
    async with Sandbox() as box:
        yield box


@pytest.fixture
async def client(box: Sandbox) -> AsyncGenerator[Ideogram]:
    async with Ideogram(CANARY, base_url=box.url, retry=AT_ONCE, limiter=fast_limiter()) as client:
        yield client
        statistics = client.limiter.statistics()

    assert (0, 0) == (statistics.in_flight, statistics.waiting)
    assert [] == box.leaked_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal.open(path, origin="sandbox")
    yield journal
    journal.close()
