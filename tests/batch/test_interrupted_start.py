"""A folder whose creation, or whose migration, was interrupted at any file operation can be used."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.folders import job, journal_path

from ideogram_async import JobState, JournalError
from ideogram_async._batch.journal import meta, queries
from ideogram_async._batch.journal.counter import COUNTER, create_counter, read_counter
from ideogram_async._batch.journal.opening import open_journal, to_journal_error
from ideogram_async._batch.journal.schema import APPLICATION_ID, MIGRATIONS
from ideogram_async._store.connection import Schema

# Forks a process for each operation, and kills it there. Then the folder is opened by another one, as a batch does.
PROGRAM = """
import logging, os, shutil, signal, sys
from pathlib import Path
from ideogram_async._batch.workspace import Workspace

OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.chmod", "os.truncate", "sqlite3.connect"}

logging.disable()

def fork(folder, fatal, on_loss):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]

    count = 0
    def hook(event, _):
        nonlocal count
        if event in OPERATIONS:
            count += 1
        if event in OPERATIONS and count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        if fatal:
            sys.addaudithook(hook)
        Workspace.open(folder, origin="sandbox", on_loss=on_loss).journal.close()
        status = 0
    finally:
        os._exit(status)

source, folder, on_loss, after = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
step, killed = 0, True
while killed:
    step += 1
    shutil.rmtree(folder, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, folder)
    killed = fork(folder, step, on_loss) == signal.SIGKILL
    if fork(folder, 0, after):
        sys.exit(f"step {step} left a folder that cannot be used")
print(step)
"""


def interrupt(source: Path, folder: Path, on_loss: str = "refuse", after: str = "refuse") -> int:
    """Interrupt the opening of a copy of a folder at each operation, and return the number of operations."""
    arguments = [sys.executable, "-c", PROGRAM, str(source), str(folder), on_loss, after]
    process = subprocess.run(arguments, capture_output=True, text=True, timeout=120)

    assert ("", 0) == (process.stderr, process.returncode)
    return int(process.stdout)


def write_first_version(folder: Path) -> Path:
    """Write a folder of the first schema, with jobs that were sent and one that was not."""
    path = journal_path(folder)
    path.parent.mkdir(parents=True)
    rows = [job(0), job(1, JobState.REJECTED), job(2, JobState.PENDING), job(3, JobState.PENDING, resends=1)]
    columns = "key, number, id, operation, request, fingerprint, weight, usd, state, resends"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"{MIGRATIONS[0]} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
        database.execute("INSERT INTO meta VALUES ('origin', 'sandbox')")
        for row in rows:
            values = queries.values_of(row, columns)
            database.execute(f"INSERT INTO job ({columns}, updated_at) VALUES ({'?, ' * 10} '')", values)

        database.commit()

    return folder


def sends_of(folder: Path) -> tuple[int, int | None]:
    """Return the number of sends in the journal and in the counter."""
    with closing(sqlite3.connect(journal_path(folder))) as database:
        return meta.read_sends(database), read_counter(journal_path(folder).with_name(COUNTER)).sends


def test_a_new_folder_can_be_interrupted(tmp_path: Path):
    """A folder that was killed at any step of its creation is created by the next batch."""
    steps = interrupt(tmp_path / "none", tmp_path / "out")

    assert steps > 20
    assert (0, 0) == sends_of(tmp_path / "out")


def test_a_migration_can_be_interrupted(tmp_path: Path):
    """Its counter exists before the schema that requires one. It counts the jobs that were sent."""
    steps = interrupt(write_first_version(tmp_path / "source"), tmp_path / "out")

    assert steps > 10
    assert (3, 3) == sends_of(tmp_path / "out")


def test_a_migrated_folder_without_its_journal_is_refused(tmp_path: Path):
    """Its counter shows that something was sent."""
    folder = write_first_version(tmp_path)
    open_journal(journal_path(folder), "sandbox").close()
    journal_path(folder).unlink()
    with pytest.raises(JournalError, match="is missing"):
        open_journal(journal_path(folder), "sandbox")


def test_a_first_version_beside_a_counter_is_refused(tmp_path: Path):
    """It is an older copy of the database, and stays as it is."""
    folder = write_first_version(tmp_path)
    create_counter(journal_path(folder).with_name(COUNTER), 4)
    before = journal_path(folder).read_bytes()
    with pytest.raises(JournalError, match="1 of 4 calls that were sent are not in it"):
        open_journal(journal_path(folder), "sandbox")

    assert before == journal_path(folder).read_bytes()


@pytest.mark.parametrize("lost", ["journal.sqlite3", COUNTER])
def test_an_accepted_loss_can_be_interrupted(tmp_path: Path, lost: str):
    """Accepting it once more completes it."""
    folder = write_first_version(tmp_path / "source")
    open_journal(journal_path(folder), "sandbox").close()
    (folder / ".ideogram" / lost).unlink()
    interrupt(folder, tmp_path / "out", "accept", "accept")

    assert (3, 3) == sends_of(tmp_path / "out")


def test_what_is_left_of_a_journal_is_kept(tmp_path: Path):
    """A new journal replaces a damaged one, which is kept under another name with its WAL."""
    folder = write_first_version(tmp_path / "out")
    path = journal_path(folder)
    open_journal(path, "sandbox").close()
    path.write_bytes(b"x")
    path.with_name(f"{path.name}-wal").write_bytes(b"y")
    open_journal(path, "sandbox", "accept").close()
    kept = sorted(path.parent.glob("journal.sqlite3.*"))

    assert [b"x", b"y"] == [file.read_bytes() for file in kept]
    assert kept[1].name == f"{kept[0].name}-wal"
    assert (3, 3) == sends_of(folder)


def test_a_wal_without_its_journal_is_not_used(tmp_path: Path):
    """A new journal would take its content for its own."""
    path = journal_path(tmp_path)
    path.parent.mkdir()
    path.with_name(f"{path.name}-wal").write_bytes(bytes(4096))
    with pytest.raises(JournalError, match="is missing"):
        open_journal(path, "sandbox")

    shutil.rmtree(path.parent)
    path.parent.mkdir()
    open_journal(path, "sandbox").close()


def test_a_new_journal_is_complete_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """SQLite omits the last checkpoint if the disk fails, or if another program has the file open."""
    original, others = Schema.migrate, list[sqlite3.Connection]()

    def migrate(self: Schema, database: sqlite3.Connection) -> None:
        original(self, database)
        path = database.execute("PRAGMA database_list").fetchone()[2]
        others.append(sqlite3.connect(path))
        others[-1].execute("SELECT count(*) FROM job").fetchone()

    monkeypatch.setattr(Schema, "migrate", migrate)
    with closing(open_journal(tmp_path / "journal.sqlite3", "sandbox")) as database:
        monkeypatch.undo()
        for other in others:
            other.close()

        assert "sandbox" == meta.read_meta(database, "origin")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, "cannot be read or written"),
        (sqlite3.SQLITE_BUSY, "cannot be read or written"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "is damaged or of another program"),
        (sqlite3.SQLITE_NOTADB, "is damaged or of another program"),
    ],
)
def test_damage_is_told_from_a_disk_that_fails(tmp_path: Path, code: int, text: str):
    """A journal that cannot be read now is not called damaged."""
    error = sqlite3.OperationalError("a message of SQLite")
    error.sqlite_errorcode = code

    assert f"{tmp_path} {text}: a message of SQLite" == str(to_journal_error(tmp_path, error))
