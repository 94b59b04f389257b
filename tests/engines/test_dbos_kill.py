"""Workers of DBOS that are killed, and two that share workflows, by the ledger of a sandbox in its own process."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import frozen
from support.databases import needs_sqlite, new_database
from support.ledgers import Store
from support.paths import SUPPORT
from support.sandbox_process import SandboxProcess

from ideogram_async.ledger import CallState

pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(not {"ENGINES", "IDEOGRAM_ASYNC_KILLS"} & {*os.environ}, reason="nox -s engines kills workers"),
]

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "5"))
PROGRAM = SUPPORT / "dbos_program.py"
LIMIT = 10
SHORT, LONG = 0.6, 30.0
"""Leases in seconds: of workers that are killed, and of those that live side by side."""


@frozen
class Site:
    """What the workers of one run share: a folder of images, and the databases of DBOS and of the ledger."""

    sandbox: SandboxProcess
    folder: Path
    database: str
    store: Store

    def start(self, jobs: int, lease: float) -> subprocess.Popen[str]:
        """Start a worker."""
        settings = [self.sandbox.url, str(self.folder), str(jobs), str(lease), self.database, *self.store.arguments]
        with (self.folder / "log").open("a") as log:
            command = [sys.executable, str(PROGRAM), *settings]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

    def finish(self, worker: subprocess.Popen[str]) -> dict[str, int]:
        """Wait for the end of a worker, and return its summary."""
        output, _ = worker.communicate()

        assert 0 == worker.returncode, self.log
        summary: dict[str, int] = json.loads(output.splitlines()[-1])
        return summary

    def kill_at_random(self, worker: subprocess.Popen[str], rng: random.Random) -> bool:
        """Kill a worker at a random moment, mostly while it sends. Return whether it had ended before."""
        assert worker.stdout is not None
        if rng.random() < 0.9:
            worker.stdout.readline()

        try:
            worker.wait(rng.uniform(0.0, 1.5))
        except subprocess.TimeoutExpired:
            worker.kill()

        worker.communicate()

        assert worker.returncode in (0, -signal.SIGKILL), self.log
        return worker.returncode == 0

    def wait_for_calls(self, worker: subprocess.Popen[str], count: int) -> None:
        """Wait until a worker has asked for a number of keyed calls."""
        assert worker.stdout is not None
        for line in worker.stdout:
            count -= line.strip() == "call"
            if not count:
                return

        raise AssertionError(self.log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    def count_unknown(self) -> int:
        """Count the calls whose outcome is unknown."""
        return len(self.find_keys(CallState.SENDING, CallState.AMBIGUOUS))

    def find_keys(self, *states: CallState) -> set[str]:
        """Return the keys of the calls in these states."""

        async def read() -> set[str]:
            async with self.store() as ledger:
                return {entry.key async for entry in ledger.entries(*states)}

        return asyncio.run(read())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(latency=[0.05, 0.25]) as sandbox:
        yield sandbox


@pytest.fixture(params=["sqlite", "postgres"])
def new_site(request: pytest.FixtureRequest, sandbox: SandboxProcess, tmp_path: Path) -> Callable[[], Site]:
    """Make sites that have nothing in common, after a reset of the sandbox."""

    def new() -> Site:
        sandbox.reset()
        folder = tmp_path / uuid4().hex
        folder.mkdir()
        if request.param == "sqlite":
            needs_sqlite()
            return Site(sandbox, folder, f"sqlite:///{folder}/dbos.sqlite3", Store(str(folder / "calls.sqlite3")))

        database = new_database(request.getfixturevalue("postgres"))
        return Site(sandbox, folder, database, Store(database, "ideogram"))

    return new


def test_random_kills_pay_nothing_twice(new_site: Callable[[], Site]):
    """Each job is answered or in doubt, none is billed twice, and a kill leaves at most what was in flight in doubt.

    A call that was accepted is answered.
    """
    rng = random.Random(KILLS)
    jobs, killed, number, billed, in_doubt, resumed = 40, 0, 0, 0, 0, 0
    while killed < KILLS:
        site, before, is_over = new_site(), 0, False
        accepted: set[str] = set()
        number += 1
        while killed < KILLS and not is_over:
            is_over = site.kill_at_random(site.start(jobs, SHORT), rng)
            killed += not is_over
            unknown = site.count_unknown()
            accepted |= site.find_keys(CallState.ACCEPTED)

            assert 0 == site.sandbox.ledger()["duplicates"]
            assert unknown - before <= LIMIT
            before = unknown

        summary, ledger = site.finish(site.start(jobs, SHORT)), site.sandbox.ledger()

        assert (jobs, 0) == (summary["answered"] + summary["in_doubt"], ledger["duplicates"])
        assert summary["answered"] <= ledger["calls"] <= jobs
        assert summary["in_doubt"] == site.count_unknown()
        assert accepted <= site.find_keys(CallState.ANSWERED)
        assert summary["answered"] == len([*site.folder.rglob("*.png")])
        resumed += len(accepted)
        billed, in_doubt = billed + ledger["calls"], in_doubt + summary["in_doubt"]

    total = number * jobs
    counts = f"{billed} billed, {in_doubt} in doubt, {resumed} accepted and answered later, 0 paid twice"
    sys.stdout.write(f"{killed} kills, {total} jobs: {counts}\n")


def test_two_workers_with_one_id_share_each_call(new_site: Callable[[], Site]):
    """A worker that recovers the workflows of one that is alive pays nothing, and both get every answer."""
    site, jobs = new_site(), 10
    site.sandbox.control("hold")
    workers = []
    for _ in range(2):
        workers.append(site.start(jobs, LONG))
        # The second one starts when the first one has sent its calls.
        site.wait_for_calls(workers[-1], jobs)

    site.sandbox.control("release")
    summaries, ledger = [site.finish(worker) for worker in workers], site.sandbox.ledger()

    assert [{"answered": jobs, "in_doubt": 0}] * 2 == summaries
    assert (jobs, 0) == (ledger["calls"], ledger["duplicates"])
