"""Sandbox in the event loop of the test."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from ideogram_async.sandbox import Sandbox


@pytest.fixture
async def box() -> AsyncGenerator[Sandbox]:
    async with Sandbox() as box:
        yield box
        leaked = box.leaked_keys

    assert [] == leaked
