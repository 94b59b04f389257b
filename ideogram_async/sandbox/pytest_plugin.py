"""Pytest fixtures of the sandbox, registered by the package's entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ideogram_async import Ideogram
    from ideogram_async.sandbox import Sandbox

__all__ = ["ideogram_client", "ideogram_sandbox"]


# Every run of pytest imports this module, so the rest is imported where it is used.
@pytest.fixture
def ideogram_sandbox() -> Iterator[Sandbox]:
    """Run a local server that behaves like Ideogram, bills like it and fails on demand.

    It runs in a thread of its own, so that synchronous and asynchronous tests can use it, and is new for each test. Its
    `url` is the base URL for a client. `requests`, `ledger` and `leaked_keys` are its records; `fail`, `hold` and
    `advance` control it.
    """
    from ideogram_async.sandbox.sandbox import Sandbox
    from ideogram_async.sandbox.thread import running_in_thread

    with running_in_thread(Sandbox()) as sandbox:
        yield sandbox


@pytest.fixture
def ideogram_client(ideogram_sandbox: Sandbox) -> Ideogram:
    """Return a client of the `ideogram_sandbox`; it opens its connections in the event loop that uses it."""
    from ideogram_async import Ideogram

    return Ideogram("sandbox", base_url=ideogram_sandbox.url)
