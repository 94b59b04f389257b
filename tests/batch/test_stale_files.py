"""Removal of temporary files that killed processes left."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.folders import job, write_folder

from ideogram_async import Ideogram
from ideogram_async._batch.folder import Folder
from ideogram_async._download.atomic import atomic_write, remove_stale_files

STALE = ".jobs.csv.0123456789abcdef.part"


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.is_dir())


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.jsonl"])
def test_an_export_removes_the_stale_file_of_a_killed_one(tmp_path: Path, name: str):
    """The temporary file is removed by the next export to the same folder."""
    folder = Folder(write_folder(tmp_path / "out", [job(0)]))
    (tmp_path / STALE).touch()
    getattr(folder, f"export_{name[5:]}")(tmp_path / name)

    assert [name] == list_files(tmp_path)


def test_a_gallery_removes_the_stale_files_of_a_killed_one(tmp_path: Path):
    """They are removed next to the page and from the folder of thumbnails."""
    folder = Folder(write_folder(tmp_path, [job(0)]))
    (tmp_path / "thumbnails").mkdir()
    for stale in (tmp_path / STALE, tmp_path / "thumbnails" / STALE):
        stale.touch()

    folder.gallery()

    assert (["gallery.html"], []) == (list_files(tmp_path), list_files(tmp_path / "thumbnails"))


async def test_a_batch_removes_the_stale_file_of_a_killed_one(tmp_path: Path):
    """The temporary file of a sidecar is removed when a batch starts in the folder."""
    (tmp_path / ".fox-0.png.json.0123456789abcdef.part").touch()
    await Ideogram("k", base_url="http://127.0.0.1:9").run_batch([], tmp_path)

    assert [] == list_files(tmp_path)


def test_a_file_that_is_being_written_is_not_removed(tmp_path: Path):
    """It is locked. A file with another name is not removed either."""
    (tmp_path / ".other.part").touch()
    with atomic_write(tmp_path / "jobs.csv") as file:
        remove_stale_files(tmp_path)
        file.write(b"complete")

    assert [".other.part", "jobs.csv"] == list_files(tmp_path)
    assert b"complete" == (tmp_path / "jobs.csv").read_bytes()


def test_an_error_names_the_target_file(tmp_path: Path):
    """It does not name the temporary file."""
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "none" / "jobs.csv"):
        pass

    assert str(tmp_path / "none" / "jobs.csv") == caught.value.filename
