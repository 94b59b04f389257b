from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from support.redisserver import REDIS_SERVER, RedisServer


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisServer]:
    """Give a redis-server of the test's own."""
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")

    # Not `tmp_path`: with the test's name in it, it may be longer than the path of a socket can be.
    folder: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
