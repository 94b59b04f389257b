"""Fixtures of the tests of workflow engines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from dbos import DBOSConfig
from support.clients import fast_limiter
from support.databases import new_database, runs_on_sqlite
from support.engines import launched
from support.temporalserver import temporal_server

from ideogram_async import Ideogram, Retry
from ideogram_async.integrations.dbos import Images
from ideogram_async.ledger import SqliteLedger
from ideogram_async.sandbox import Sandbox
from ideogram_async.sinks import FolderSink


@pytest.fixture
async def buyer(sandbox: Sandbox, tmp_path: Path) -> AsyncGenerator[Ideogram]:
    """A client with a ledger. It retries without pauses, and not at all after a 429."""
    settings = {"retry": Retry(base=0.0, throttle_wait=0.0), "limiter": fast_limiter()}
    ledger = SqliteLedger(tmp_path / "calls.sqlite3")
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger, **settings) as client:
        yield client


@pytest.fixture
def dbos_config(request: pytest.FixtureRequest, tmp_path: Path) -> DBOSConfig:
    """The settings of a worker. Its database is a file, or in Postgres where DBOS does not work with this SQLite."""
    database = f"sqlite:///{tmp_path}/dbos.sqlite3"
    if not runs_on_sqlite():
        database = new_database(request.getfixturevalue("postgres"))

    return {
        "name": "tests",
        "system_database_url": database,
        "executor_id": "test",
        "application_version": "1",
        "log_level": "CRITICAL",
        # Its thread ends as late as this.
        "notification_listener_polling_interval_sec": 0.02,
    }


@pytest.fixture
async def images(buyer: Ideogram, tmp_path: Path, dbos_config: DBOSConfig) -> AsyncGenerator[Images]:
    """Images in a folder, in a DBOS of the test that has a queue of the name `images`."""
    async with launched(buyer, FolderSink(tmp_path / "images"), dbos_config) as images:
        yield images


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """The address of Temporal's development server."""
    with temporal_server() as address:
        yield address
