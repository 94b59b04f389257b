"""The development server of Temporal, offline."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from temporalio.testing import WorkflowEnvironment

__all__ = ["find_server", "temporal_server"]


def find_server(name: str) -> str:
    """Return the path of a server. Without it the test is skipped, but not in the session of nox that installs it."""
    path = shutil.which(name)
    if path is None and not os.environ.get("ENGINES"):
        pytest.skip(f"nox -s engines tests Temporal: there is no {name}")

    assert path, f"install {name}"
    return path


@contextmanager
def temporal_server() -> Generator[str]:
    """Run a server for the block, and return its address."""
    path = find_server("temporal")

    async def start() -> WorkflowEnvironment:
        return await WorkflowEnvironment.start_local(dev_server_existing_path=path, dev_server_log_level="error")

    environment = asyncio.run(start())
    try:
        yield environment.client.service_client.config.target_host
    finally:
        asyncio.run(environment.shutdown())
