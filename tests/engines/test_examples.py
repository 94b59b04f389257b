"""The example of the page on DBOS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.databases import needs_sqlite
from support.paths import ROOT

CAMPAIGN = ROOT / "examples" / "dbos_campaign.py"


def run_campaign(folder: Path, *arguments: str) -> list[str]:
    """Run the example in a sandbox, and return the lines of its output."""
    command = [sys.executable, "-W", "error", str(CAMPAIGN), str(folder), "--sandbox"]
    run = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)

    assert "" == run.stderr
    return run.stdout.splitlines()


def test_the_campaign_survives_a_kill(tmp_path: Path):
    """It is killed, finishes, and the sandbox billed nothing twice."""
    needs_sqlite()
    lines = run_campaign(tmp_path, "--count=4", "--kills=1")

    assert lines[-2].endswith(" billed, 0 of them twice")
    assert 4 == sum(line.startswith(f"  {tmp_path.name}/fox-") for line in lines)
    assert lines[-3].endswith(" USD in doubt")
    assert lines[0].startswith("kill 1: ")


def test_the_campaign_needs_postgres_only_for_its_option():
    """It can be imported with the extras of its other commands."""
    code = f"import runpy, sys; sys.modules['psycopg_pool'] = None; runpy.run_path({str(CAMPAIGN)!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (run.returncode, run.stderr)


def test_a_sandbox_gets_a_new_folder(tmp_path: Path):
    """The links in an earlier ledger lead to a sandbox that has ended."""
    (tmp_path / "calls.sqlite3").touch()
    command = [sys.executable, str(CAMPAIGN), str(tmp_path), "--sandbox"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (2, True) == (run.returncode, "choose a new folder" in run.stderr)
