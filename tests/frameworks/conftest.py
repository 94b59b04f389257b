"""Redis over TCP, and the code of the page in a folder, for programs of other frameworks."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from support.clients import CANARY
from support.frameworks import Site
from support.paths import ROOT
from support.redisserver import REDIS_SERVER, RedisServer

from ideogram_async.sandbox import Sandbox

BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def redis_url(tmp_path: Path) -> Generator[str]:
    """The URL of a redis-server."""
    assert REDIS_SERVER, "install redis-server"

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    server = RedisServer(tmp_path, port=port)
    server.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop()


@pytest.fixture
def page(sandbox: Sandbox, tmp_path: Path) -> Site:
    """The modules of the page on queues, in a folder, with the settings of their processes."""
    for name, code in BLOCK.findall((ROOT / "docs" / "queues.md").read_text()):
        (tmp_path / name).write_text(code)

    return Site(tmp_path, {"IDEOGRAM_BASE_URL": sandbox.url, "IDEOGRAM_API_KEY": CANARY})


@pytest.fixture
async def slow_sandbox() -> AsyncGenerator[Sandbox]:
    """A sandbox whose calls take a while."""
    async with Sandbox(latency=(0.2, 0.8)) as sandbox:
        yield sandbox


@pytest.fixture
def shop(slow_sandbox: Sandbox, redis_url: str, tmp_path: Path) -> Site:
    """The recipes with keyed calls, in a folder, with the settings of their processes. The ledger is a file."""
    for name, code in BLOCK.findall((ROOT / "docs" / "engines.md").read_text()):
        code = code.replace("import PostgresLedger", "import SqliteLedger")
        code = code.replace('PostgresLedger(os.environ["LEDGER"])', 'SqliteLedger("calls.sqlite3", lease=0.6)')
        (tmp_path / name).write_text(code)

    settings = {"IDEOGRAM_BASE_URL": slow_sandbox.url, "IDEOGRAM_API_KEY": CANARY, "REDIS_URL": redis_url}
    return Site(tmp_path, settings)


@pytest.fixture
def site(page: Site, redis_url: str) -> Site:
    """The same, with a Redis server."""
    page.settings["REDIS_URL"] = redis_url
    return page
