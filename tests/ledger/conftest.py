"""Fixtures of the tests of ledgers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from support.ledgers import AnyLedger, Store
from support.postgres import new_schema

from ideogram_async import Ideogram
from ideogram_async.sandbox import Sandbox

LEASE = 0.4
"""Seconds; tests of silence wait a little longer than this."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a ledger in SQLite."""
    return tmp_path / "calls.sqlite3"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, path: Path) -> Store:
    """A place for a ledger. Each call of it returns a ledger, as another process would have it."""
    if request.param == "sqlite":
        return Store(str(path))

    return Store(request.getfixturevalue("postgres").dsn, new_schema())


@pytest.fixture
async def ledger(store: Store) -> AsyncGenerator[AnyLedger]:
    """A ledger to look into. Clients have their own, as other processes would."""
    async with store(lease=LEASE) as ledger:
        yield ledger


@pytest.fixture
async def buyer(sandbox: Sandbox, store: Store) -> AsyncGenerator[Ideogram]:
    """A client with a ledger."""
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=store(lease=LEASE)) as client:
        yield client


@pytest.fixture
async def other(sandbox: Sandbox, store: Store) -> AsyncGenerator[Ideogram]:
    """A client of another process, which shares the ledger."""
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=store(lease=LEASE)) as client:
        yield client
