"""A journal that lost records sends nothing, by the ledger of a sandbox in its own process."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.batch_program import make_jobs
from support.batches import count_images
from support.clients import connected
from support.paths import SUPPORT
from support.sandbox_process import SandboxProcess

from ideogram_async import JobState, JournalError, Report
from ideogram_async._batch.journal.counter import create_counter, read_counter
from ideogram_async.batch import Folder

JOBS = 16
STEP = 90
"""The write at which the first run is killed: most calls were answered, and nothing was checkpointed."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def killed(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose batch was killed after it paid for images."""
    folder = tmp_path_factory.mktemp("killed") / "out"
    arguments = [sys.executable, str(SUPPORT / "batch_program.py"), sandbox.url, str(folder), str(JOBS), str(STEP)]
    process = subprocess.run(arguments, check=False)

    assert -signal.SIGKILL == process.returncode
    assert sandbox.ledger()["calls"] > 5
    return folder


@pytest.fixture
def folder(killed: Path, tmp_path: Path) -> Path:
    """A copy of the folder of the killed batch."""
    shutil.copytree(killed, tmp_path / "out")
    return tmp_path / "out"


def journal_of(folder: Path) -> Path:
    return folder / ".ideogram" / "journal.sqlite3"


def wal_of(folder: Path) -> Path:
    return folder / ".ideogram" / "journal.sqlite3-wal"


def counter_of(folder: Path) -> Path:
    return folder / ".ideogram" / "sends"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that are not empty, but for the index of the WAL, which SQLite builds itself."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if content and not name.endswith(("-shm", "lock"))}


def resume(sandbox: SandboxProcess, folder: Path, *, jobs: int = JOBS, **options: bool) -> Report:
    """Run the batch again."""

    async def run() -> Report:
        async with connected(sandbox.url) as client:
            return await client.run_batch(make_jobs(jobs), folder, **options)

    return asyncio.run(run())


def flip(path: Path, start: int, count: int = 64) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + count] = bytes(byte ^ 0xFF for byte in content[start : start + count])
    path.write_bytes(content)


def lose_wal(folder: Path) -> None:
    wal_of(folder).unlink()


def lose_wal_and_its_index(folder: Path) -> None:
    wal_of(folder).unlink()
    wal_of(folder).with_name("journal.sqlite3-shm").unlink()


def empty_wal(folder: Path) -> None:
    wal_of(folder).write_bytes(b"")


def halve_wal(folder: Path) -> None:
    content = wal_of(folder).read_bytes()
    wal_of(folder).write_bytes(content[: len(content) // 2])


def damage_the_header_of_wal(folder: Path) -> None:
    flip(wal_of(folder), 0)


def damage_the_middle_of_wal(folder: Path) -> None:
    flip(wal_of(folder), wal_of(folder).stat().st_size // 2)


def lose_journal(folder: Path) -> None:
    journal_of(folder).unlink()


def lose_journal_and_wal(folder: Path) -> None:
    journal_of(folder).unlink()
    wal_of(folder).unlink()


def shorten_journal(size: int) -> Callable[[Path], None]:
    def shorten(folder: Path) -> None:
        journal_of(folder).write_bytes(journal_of(folder).read_bytes()[:size])

    shorten.__name__ = f"shorten_journal_to_{size}"
    return shorten


def lose_counter(folder: Path) -> None:
    counter_of(folder).unlink()


def empty_counter(folder: Path) -> None:
    counter_of(folder).write_bytes(b"")


def damage_counter(folder: Path) -> None:
    flip(counter_of(folder), 7, 1)


def lose_counter_and_wal(folder: Path) -> None:
    counter_of(folder).unlink()
    wal_of(folder).unlink()


LOSSES = [
    lose_wal,
    lose_wal_and_its_index,
    empty_wal,
    halve_wal,
    damage_the_header_of_wal,
    damage_the_middle_of_wal,
    lose_journal,
    lose_journal_and_wal,
    shorten_journal(0),
    shorten_journal(1),
    shorten_journal(511),
    lose_counter,
    empty_counter,
    damage_counter,
    lose_counter_and_wal,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_loss_is_refused(sandbox: SandboxProcess, folder: Path, lose: Callable[[Path], None]):
    """Nothing is sent and nothing is changed, in this run or the next, and the error says how to continue."""
    calls = sandbox.ledger()["calls"]
    lose(folder)
    before = contents(folder)
    for _ in range(2):
        with pytest.raises(JournalError) as caught:
            resume(sandbox, folder)

        assert "accept_loss=True" in caught.value.advice
        assert before == contents(folder)

    assert calls == sandbox.ledger()["calls"]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_loss_can_be_accepted(
    sandbox: SandboxProcess, folder: Path, lose: Callable[[Path], None], caplog: pytest.LogCaptureFixture
):
    """The batch ends with all images, one warning states the loss, and the next run needs no permission.

    The images were moved away: a job whose image is still there is refused unpaid.
    """
    for path in folder.glob("*.png"):
        path.unlink()

    counted = read_counter(counter_of(folder)).sends or 0
    lose(folder)
    report = resume(sandbox, folder, accept_loss=True)
    warnings = [record.getMessage() for record in caplog.records if record.name == "ideogram_async"]

    assert 1 == len(warnings)
    assert JOBS == report.by_state[JobState.DONE] + len(report.ambiguous)
    assert (read_counter(counter_of(folder)).sends or 0) >= (counted if lose.__name__[-7:] != "counter" else 1)

    calls = sandbox.ledger()["calls"]
    resume(sandbox, folder)

    assert calls == sandbox.ledger()["calls"]


def test_a_copy_of_the_whole_folder_resumes(sandbox: SandboxProcess, folder: Path, caplog: pytest.LogCaptureFixture):
    """It continues without a warning, and sends only what was not sent."""
    calls = sandbox.ledger()["calls"]
    recorded = Folder(folder).report().by_state
    jobs = JOBS + 2
    report = resume(sandbox, folder, jobs=jobs)
    unsent = jobs - sum(recorded.values()) + recorded.get(JobState.PENDING, 0)

    assert jobs == report.by_state[JobState.DONE] + len(report.ambiguous)
    assert report.images_stored == count_images(folder)
    assert unsent == sandbox.ledger()["calls"] - calls
    assert [] == caplog.records


def test_an_older_journal_beside_its_counter_is_refused(sandbox: SandboxProcess, folder: Path, tmp_path: Path):
    """A backup of the database alone lacks what was sent since."""
    backup = shutil.copytree(folder / ".ideogram", tmp_path / "backup")
    resume(sandbox, folder, jobs=JOBS + 2)
    calls = sandbox.ledger()["calls"]
    for suffix in ("", "-wal"):
        shutil.copy(backup / f"journal.sqlite3{suffix}", folder / ".ideogram")

    with pytest.raises(JournalError, match=r"has lost records: \d+ of \d+ calls that were sent are not in it"):
        resume(sandbox, folder)

    assert calls == sandbox.ledger()["calls"]


def test_a_journal_ahead_of_its_counter_is_complete(sandbox: SandboxProcess, folder: Path):
    """A crash between the commit and the counter leaves it so."""
    create_counter(counter_of(folder), (read_counter(counter_of(folder)).sends or 0) - 1)
    report = resume(sandbox, folder)

    assert JOBS == report.by_state[JobState.DONE] + len(report.ambiguous)


def test_a_journal_that_lost_records_is_read_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture):
    """The folder's tools show what is left, and one warning each."""
    lose_wal(folder)
    tools = Folder(folder)
    tools.report()
    list(tools.results())
    tools.export_csv(folder / "jobs.csv")
    (record,) = caplog.records

    assert (logging.WARNING, "ideogram_async") == (record.levelno, record.name)
    assert "has lost records" in record.getMessage()
