"""Programs of other frameworks, which run the code of the page on queues."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from ideogram_async.ledger import SqliteLedger
from ideogram_async.sandbox import Sandbox

__all__ = ["KILLS", "Site", "check_orders", "require"]

TIMEOUT = 60
"""Seconds after which a test has hung."""

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "5"))
PRICE = Decimal("0.06")


def require(module: str) -> None:
    """Skip the tests of a module without its framework, except in the session of nox that installs it."""
    if os.environ.get("FRAMEWORKS"):
        importlib.import_module(module)
    else:
        pytest.importorskip(module, reason=f"nox -s frameworks tests {module}")


class Site:
    """The folder of the modules, and the settings of the processes that run them."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.log = ""

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run a module as a program, and kill it with its children if it is still running at the end."""
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *arguments),
                cwd=self.folder,
                env=os.environ | self.settings,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        try:
            async with asyncio.timeout(TIMEOUT):
                yield process
        except TimeoutError:
            raise AssertionError((self.folder / "log").read_text()[-4000:]) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def lose_worker(self, sandbox: Sandbox, *arguments: str) -> None:
        """Run a worker until it has sent a call, and kill it with its children."""
        async with self.running(*arguments) as worker:
            await sandbox.wait_for_requests(1)
            os.killpg(worker.pid, signal.SIGKILL)
            await worker.wait()

    def owner_of(self, order: str) -> int:
        """Return the process that runs the batch of an order."""
        text = (self.folder / "images" / order / ".ideogram" / "lock").read_text()
        match = re.match(r"process (\d+) on", text)
        assert match, text
        return int(match[1])


async def check_orders(site: Site, sandbox: Sandbox, outcomes: Mapping[str, str]) -> str:
    """Check what became of each order: answered or in doubt, billed once at most, and each doubt listed with its price.

    Return the figures.
    """
    await sandbox.wait_idle()
    async with SqliteLedger(site.folder / "calls.sqlite3") as ledger:
        known = {entry.key.removeprefix("hero/"): entry async for entry in ledger.entries()}

    in_doubt = {order for order, entry in known.items() if entry.state in {"sending", "ambiguous"}}
    answered = {order for order, entry in known.items() if entry.state == "answered"}
    reported = {order for order, outcome in outcomes.items() if outcome == "answered"}
    billed = len(sandbox.ledger.entries)

    assert {"answered", "InDoubtError"} >= set(outcomes.values())
    assert outcomes.keys() == answered | in_doubt
    # An owner that was silent may have answered later.
    assert reported <= answered
    assert {PRICE} >= {known[order].usd for order in in_doubt}
    assert [] == sandbox.ledger.duplicates
    assert len(answered) <= billed <= len(outcomes)
    return f"{len(outcomes)} orders: {billed} billed, {len(in_doubt)} in doubt, 0 billed twice\n"
