from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from support.redisserver import RedisServer


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer]:
    """Yield a redis-server of the test's own."""
    # Not `tmp_path`: it contains the test's name, and may exceed the length limit of a socket path.
    folder: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
