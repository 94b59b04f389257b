"""Settings and guards that apply to every test."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clients import connected
from support.paths import TESTS
from support.postgres import PostgresServer

from ideogram_async import Ideogram
from ideogram_async.sandbox import Sandbox

# Programs that the tests start import `support`, too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))

# A shell ignores SIGINT in what it runs in the background, and nohup ignores SIGHUP. The programs that the tests start
# would ignore them, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def allow_loopback_only(event: str, args: tuple[Any, ...]) -> None:
    """Raise when a test opens a connection to, or looks up, anything but this machine."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return

    if not is_loopback(host):
        raise RuntimeError(f"{event}: {host!r} is not on this machine; tests must not use the network")


def is_loopback(host: str | bytes | None) -> bool:
    """Return whether a host of an address is this machine, without a lookup."""
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return name in {None, "", "localhost"} or ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


sys.addaudithook(allow_loopback_only)


def is_not_timing(record: logging.LogRecord) -> bool:
    """Return whether a record of asyncio is something other than a slow callback, which depends on the machine."""
    return not str(record.msg).startswith("Executing %s took")


# In development mode asyncio logs callbacks of more than 0.1 s, as any may be on a busy machine.
logging.getLogger("asyncio").addFilter(is_not_timing)


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    """A sandbox in the event loop of the test. At the end no key has reached its image host."""
    async with Sandbox() as sandbox:
        yield sandbox
        leaked = sandbox.leaked_keys

    assert [] == leaked


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncGenerator[Ideogram]:
    """A client of the sandbox that retries without pauses. At the end it holds no slot."""
    async with connected(sandbox.url) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server for all tests, each of which has a schema or a database of its own."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no permission to mount a file system")

    yield disk
    subprocess.run(["umount", "-l", disk], check=True)
