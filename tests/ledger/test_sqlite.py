"""The SQLite file of a ledger: its errors, its event loops, and its readers."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ideogram_async import Generate, LedgerError
from ideogram_async.ledger import SqliteLedger

FOX = Generate("a red fox")


async def test_only_its_owner_reads_it(path: Path):
    """Answers repeat prompts."""
    async with SqliteLedger(path) as ledger:
        await ledger.totals()

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"not a database" * 100, "is damaged or of another program"), (None, "is a database of another program")],
)
async def test_foreign_files(path: Path, content: bytes | None, problem: str):
    """A file of another program is refused, and stays as it is."""
    if content is None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE mine (x)")
    else:
        path.write_bytes(content)

    before = path.read_bytes()
    with pytest.raises(LedgerError, match=problem):
        await SqliteLedger(path).get("fox")

    assert before == path.read_bytes()


async def test_a_newer_version(path: Path):
    """It may have states that this version does not know."""
    async with SqliteLedger(path) as ledger:
        await ledger.totals()

    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")

    with pytest.raises(LedgerError, match=r"was written by a newer version of ideogram_async \(99 > 1\)"):
        await SqliteLedger(path).totals()


async def test_a_folder_that_does_not_exist(tmp_path: Path):
    """It may be a disk that is not mounted, so it is not created."""
    with pytest.raises(LedgerError, match=r"calls\.sqlite3 cannot be read or written"):
        await SqliteLedger(tmp_path / "away" / "calls.sqlite3").totals()


async def test_a_file_that_cannot_be_created(path: Path):
    """Any error of the file system is one of the ledger, which can be retried."""
    path.write_text("")
    with pytest.raises(LedgerError, match="Not a directory") as caught:
        await SqliteLedger(path / "calls.sqlite3").totals()

    assert caught.value.retryable


def test_a_path_that_no_file_has():
    """The error comes before the first call."""
    with pytest.raises(ValueError, match="path must be that of a file"):
        SqliteLedger("a\0b")


async def test_a_lock_of_another_process(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Steps that were queued together have waited together, and none waits once more."""
    waits = 0

    class Connection(sqlite3.Connection):
        def execute(self, query: str, *values: object) -> sqlite3.Cursor:
            nonlocal waits
            waits += query == "BEGIN IMMEDIATE"
            return super().execute(query, *values)

    monkeypatch.setattr("ideogram_async._ledger.sqlite.connect", partial(connect_as, Connection))
    async with SqliteLedger(path) as ledger:
        await ledger.totals()
        waits = 0
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            errors = await asyncio.gather(*(ledger.get(f"{number}") for number in range(9)), return_exceptions=True)

        assert not await ledger.get("0")

    assert {True} == {isinstance(error, LedgerError) and error.retryable for error in errors}
    assert waits <= 3


def connect_as(factory: type[sqlite3.Connection], path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    """Open a file without waiting for locks."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0, factory=factory)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork(path: Path):
    """SQLite loses locks and commits in a child of a process that has the file open, so it is refused there."""
    ledger = SqliteLedger(path)
    asyncio.run(ledger.totals())
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            asyncio.run(SqliteLedger(path).totals())
        except LedgerError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)

    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        message = pipe.read()

    asyncio.run(ledger.aclose())

    assert "was open when this process was forked" in message


async def test_many_openings_at_once(path: Path):
    """The file is created once."""
    ledgers = [SqliteLedger(path) for _ in range(20)]
    totals = await asyncio.gather(*(ledger.totals() for ledger in ledgers))
    for ledger in ledgers:
        await ledger.aclose()

    assert 20 == len(totals)


@pytest.mark.parametrize("lease", [0, -1, float("nan")])
def test_invalid_leases(path: Path, lease: float):
    """The error names the setting."""
    with pytest.raises(ValueError, match="lease must be a number of seconds above 0"):
        SqliteLedger(path, lease=lease)
