"""A batch with a sink that is killed stores each image once, and never pays twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.objectstores import contents, new_bucket, versions
from support.paths import SUPPORT
from support.sandbox_process import SandboxProcess
from support.sink_program import run

from ideogram_async import JobState

pytestmark = pytest.mark.programs

KILLS = int(os.environ.get("IDEOGRAM_ASYNC_KILLS", "5"))
PROGRAM = SUPPORT / "sink_program.py"
JOBS = 60


def kill_at_random(arguments: list[str], rng: random.Random) -> bool:
    """Run the program and kill it at a random moment. Return whether it had ended before."""
    child = subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stderr=subprocess.DEVNULL)
    try:
        child.wait(rng.uniform(0.4, 1.4))
    except subprocess.TimeoutExpired:
        child.kill()

    child.wait()

    assert child.returncode in (0, -signal.SIGKILL)
    return child.returncode == 0


def stored_images(folder: Path) -> dict[str, str]:
    """Return the name and hash of each image that the journal has as stored."""
    path = folder / ".ideogram" / "journal.sqlite3"
    if not path.exists():
        return {}

    with closing(sqlite3.connect(path)) as journal:
        # A process that is killed may not have migrated a new journal yet.
        if not journal.execute("SELECT 1 FROM sqlite_master WHERE name = 'image'").fetchone():
            return {}

        return dict(journal.execute("SELECT path, sha256 FROM image WHERE state = 'stored'").fetchall())


def hashes(store: Any) -> dict[str, str]:
    """Return the name and hash of each object."""
    return {name.removeprefix("run-7/"): sha256(content).hexdigest() for name, content in contents(store).items()}


def test_random_kills_store_each_image_once(moto_url: str, tmp_path: Path) -> None:
    """Each recorded image is a complete object, none has a second version, and each call is stored or in doubt."""
    rng = random.Random(17)
    killed, number, ambiguous, adopted = 0, 0, 0, 0
    with SandboxProcess(latency=[0.005, 0.06]) as sandbox:
        while killed < KILLS:
            sandbox.reset()
            folder, bucket, is_over = tmp_path / str(number), f"kill-{number}", False
            store = new_bucket(moto_url, bucket)
            arguments = [sandbox.url, str(folder), str(JOBS), moto_url, bucket]
            number += 1
            while killed < KILLS and not is_over:
                is_over = kill_at_random(arguments, rng)
                killed += not is_over
                objects, recorded = hashes(store), stored_images(folder)
                adopted += len(objects) - len(recorded)

                assert recorded.items() <= objects.items()
                assert 0 == sandbox.ledger()["duplicates"]

            report = asyncio.run(run(sandbox.url, folder, JOBS, moto_url, bucket))
            ambiguous += len(report.ambiguous)

            assert hashes(store) == stored_images(folder)
            assert [f"run-7/{name}" for name in sorted(stored_images(folder))] == versions(moto_url, bucket)
            assert report.images_stored == len(stored_images(folder))
            assert JOBS == report.by_state[JobState.DONE] + len(report.ambiguous)
            assert 0 == sandbox.ledger()["duplicates"]

    sys.stdout.write(f"{killed} kills in {number} batches: {ambiguous} in doubt, {adopted} adopted, 0 paid twice\n")
