"""What a process leaves behind that dies while it writes, and who may clear it away."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from support.kept import job, keep

from ideogram_async import BatchLockedError, Ideogram
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal.lock import FolderLock, is_locked
from ideogram_async._download.atomic import atomic_write, remove_stale_files

LEFT = ".jobs.csv.0123456789abcdef.part"


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.is_dir())


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.jsonl"])
def test_the_next_export_clears_away_what_a_killed_one_left(tmp_path: Path, name: str):
    """A file that grew until its process died is gone after the next export into that folder."""
    folder = Folder(keep(tmp_path / "out", [job(0)]))
    (tmp_path / LEFT).touch()
    getattr(folder, f"export_{name[5:]}")(tmp_path / name)

    assert [name] == listed(tmp_path)


def test_the_next_gallery_clears_away_what_a_killed_one_left(tmp_path: Path):
    """So it is beside the page, and among the thumbnails."""
    folder = Folder(keep(tmp_path, [job(0)]))
    (tmp_path / "thumbnails").mkdir()
    for left in (tmp_path / LEFT, tmp_path / "thumbnails" / LEFT):
        left.touch()

    folder.gallery()

    assert (["gallery.html"], []) == (listed(tmp_path), listed(tmp_path / "thumbnails"))


def test_what_still_grows_is_left_alone(tmp_path: Path):
    """A file that somebody is writing is locked, and so is what has another name: neither is cleared away."""
    (tmp_path / ".mine.part").touch()
    with atomic_write(tmp_path / "jobs.csv") as file:
        remove_stale_files(tmp_path)
        file.write(b"whole")

    assert [".mine.part", "jobs.csv"] == listed(tmp_path)
    assert b"whole" == (tmp_path / "jobs.csv").read_bytes()


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path):
    """Where nothing can be written, the name that was given is told, not one that nobody has heard of."""
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "none" / "jobs.csv"):
        pass

    assert str(tmp_path / "none" / "jobs.csv") == caught.value.filename


def test_looking_whether_a_folder_is_locked_takes_it_from_nobody(tmp_path: Path):
    """It is taken while somebody holds it, and free before and after; where there is no lock, nobody does."""
    path = tmp_path / "lock"
    before = is_locked(path)
    lock = FolderLock(path).acquire()
    during = is_locked(path)
    lock.release()

    assert (False, True, False) == (before, during, is_locked(path))


def test_who_only_looks_keeps_no_batch_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder that is held for a moment is tried again; one that stays held is refused."""
    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(BatchLockedError):
            FolderLock(tmp_path / "lock").acquire()

        monkeypatch.setattr("time.sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        FolderLock(tmp_path / "lock").acquire().release()


async def test_the_next_batch_clears_away_what_a_killed_one_left(tmp_path: Path):
    """A sidecar that grew until its process died is gone when a batch starts in the folder."""
    (tmp_path / ".fox-0.png.json.0123456789abcdef.part").touch()
    await Ideogram("k", base_url="http://127.0.0.1:9").run_batch([], tmp_path)

    assert [] == listed(tmp_path)
