"""Atomic creation of files: complete or absent, at every failure."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from download.conftest import names

from ideogram_async._batch.workspace import Workspace
from ideogram_async._download.atomic import PartFile, atomic_write, remove_stale_files
from ideogram_async._download.disk import make_folder
from ideogram_async.errors import FileConflictError
from ideogram_async.files import ImageFile

DATA = b"an image"


def stored_part(folder: Path, data: bytes = DATA) -> PartFile:
    """Return a part file with content."""
    part = PartFile(folder, "fox")
    part.open()
    part.write([data])
    return part


def fail(monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, on: int = 1) -> list[int]:
    """Make the n-th call of an `os` function fail. Return a list that grows with each call."""
    real, calls = getattr(os, name), list[int]()

    def failing(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == on:
            raise OSError(code, os.strerror(code))

        return real(*args, **options)

    monkeypatch.setattr(os, name, failing)
    return calls


def test_commit(folder: Path) -> None:
    """A commit creates the complete file and returns its size and hash."""
    stored = stored_part(folder).commit("fox.png")

    assert (folder / "fox.png", len(DATA), sha256(DATA).hexdigest(), False) == (
        stored.path,
        stored.size,
        stored.sha256,
        stored.already_present,
    )
    assert DATA == stored.path.read_bytes()
    assert 1 == stored.path.stat().st_nlink


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_mode(folder: Path, umask: int, expected: int) -> None:
    """A part file is private; a committed file has the mode of any new file."""
    before = os.umask(umask)
    try:
        part = stored_part(folder)
        growing = stat.S_IMODE(next(folder.iterdir()).stat().st_mode)
        path = part.commit("fox.png").path
    finally:
        os.umask(before)

    assert (0o600, expected) == (growing, stat.S_IMODE(path.stat().st_mode))


def test_short_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial write is continued."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))

    assert DATA == stored_part(folder).commit("fox.png").path.read_bytes()


def test_stale_files(folder: Path) -> None:
    """Only the unlocked part file of a dead process is removed."""
    part = stored_part(folder)
    kept = [*names(folder), "fox.png", ".fox.part", "fox.0123456789abcdef.part"]
    for name in (*kept[1:], ".fox.0123456789abcdef.part"):
        (folder / name).touch()

    remove_stale_files(folder)

    assert sorted(kept) == sorted(names(folder))

    part.discard()
    for name in kept[1:]:
        (folder / name).unlink()


def test_discard(folder: Path) -> None:
    """A discarded file leaves nothing. Discarding it again does nothing."""
    part = stored_part(folder)
    part.discard()
    part.discard()

    assert [] == list(folder.iterdir())
    assert part.is_over


def test_discard_unopened(folder: Path) -> None:
    """A file that was discarded before it was created is never created."""
    part = PartFile(folder, "fox")
    part.discard()
    with pytest.raises(ValueError, match="closed"):
        part.open()

    assert [] == list(folder.iterdir())


def test_late_write(folder: Path) -> None:
    """A call after `discard` raises an error and writes nothing."""
    part = stored_part(folder)
    part.discard()
    for step in (lambda: part.write([DATA]), lambda: part.commit("fox.png")):
        with pytest.raises(ValueError, match="closed"):
            step()

    assert [] == list(folder.iterdir())


def test_discard_of_removed(folder: Path) -> None:
    """Discarding a part file that is already gone raises nothing."""
    part = stored_part(folder)
    next(folder.iterdir()).unlink()
    part.discard()

    assert part.is_over


def test_long_name(folder: Path) -> None:
    """The longest name that a file may have can be stored."""
    name = "ü" * 125 + ".png"
    part = PartFile(folder, name)
    part.open()
    part.write([DATA])

    assert DATA == part.commit(name).path.read_bytes()


def test_missing_folder(folder: Path) -> None:
    """A missing folder raises `FileNotFoundError`."""
    part = PartFile(folder / "missing", "fox")
    with pytest.raises(FileNotFoundError):
        part.open()

    part.discard()


@pytest.fixture(params=["link", "rename"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way to publish a file: on a file system with hard links, or without."""
    if request.param == "rename":

        def refused(*args: Any, **options: Any) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", refused)

    return str(request.param)


def test_already_present(folder: Path, way: str) -> None:
    """A file with the same bytes at the target is kept."""
    (folder / "fox.png").write_bytes(DATA)
    before = (folder / "fox.png").stat().st_ino
    stored = stored_part(folder).commit("fox.png")

    assert stored.already_present
    assert before == stored.path.stat().st_ino
    assert ["fox.png"] == names(folder)


def test_rename(folder: Path, way: str) -> None:
    """A file is committed with and without hard links."""
    stored = stored_part(folder).commit("fox.png")

    assert not stored.already_present
    assert ["fox.png"] == names(folder)


@pytest.mark.parametrize("there", [b"another!", b"other bytes", b""], ids=["same size", "longer", "empty"])
def test_conflict(folder: Path, way: str, there: bytes) -> None:
    """A file with other bytes at the target is never overwritten."""
    (folder / "fox.png").write_bytes(there)
    part = stored_part(folder)
    with pytest.raises(FileConflictError) as caught:
        part.commit("fox.png")

    part.discard()

    assert folder / "fox.png" == caught.value.path
    assert there == (folder / "fox.png").read_bytes()
    assert ["fox.png"] == names(folder)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_conflict_with_anything(folder: Path, way: str, kind: str) -> None:
    """A folder, a pipe or a symbolic link at the target is a conflict. It is not followed or read."""
    target, elsewhere = folder / "fox.png", folder / "elsewhere"
    match kind:
        case "folder":
            target.mkdir()
        case "pipe":
            os.mkfifo(target)
        case "link":
            elsewhere.write_bytes(DATA)
            target.symlink_to(elsewhere)
        case _:
            target.symlink_to(elsewhere)

    part = stored_part(folder)
    with pytest.raises(FileConflictError):
        part.commit("fox.png")

    part.discard()

    assert elsewhere.exists() == (kind == "link")


def test_racing_commits(folder: Path, way: str) -> None:
    """Of many files with one target exactly one is committed. The others are already present or conflict."""
    parts = [stored_part(folder, data) for data in [DATA] * 4 + [b"othersof"] * 4]
    begin = threading.Barrier(len(parts))
    outcomes: list[bool | None] = []

    def commit(part: PartFile) -> None:
        begin.wait()
        try:
            outcomes.append(part.commit("fox.png").already_present)
        except FileConflictError:
            outcomes.append(None)
            part.discard()

    threads = [threading.Thread(target=commit, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert (1, 3, 4) == (outcomes.count(False), outcomes.count(True), outcomes.count(None))
    assert ["fox.png"] == names(folder)


def test_fsync_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed fsync is not repeated, and nothing appears at the target."""
    part = stored_part(folder)
    calls = fail(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(OSError, match="Input/output") as caught:
        part.commit("fox.png")

    part.discard()

    assert (errno.EIO, 1) == (caught.value.errno, len(calls))
    assert [] == names(folder)


def test_folder_fsync_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only the sync of the folder fails, the error is raised and the complete file stays."""
    part = stored_part(folder)
    fail(monkeypatch, "fsync", errno.EIO, on=2)
    with pytest.raises(OSError, match="Input/output"):
        part.commit("fox.png")

    part.discard()

    assert DATA == (folder / "fox.png").read_bytes()


def test_folder_cannot_sync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot sync folders raises no error."""
    part = stored_part(folder)
    fail(monkeypatch, "fsync", errno.EINVAL, on=2)

    assert DATA == part.commit("fox.png").path.read_bytes()


def test_link_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error of `link` is raised."""
    part = stored_part(folder)
    fail(monkeypatch, "link", errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        part.commit("fox.png")

    part.discard()

    assert [] == names(folder)


@pytest.fixture
def full_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The commands given to `fcntl` on a system whose fsync stops at the drive's cache."""
    commands: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, command: commands.append(command))
    return commands


def test_full_sync_of_part(folder: Path, full_syncs: list[int]) -> None:
    """A part file is committed with one full sync."""
    stored_part(folder).commit("fox.png")

    assert [51] == full_syncs


def test_full_sync_of_atomic_write(folder: Path, full_syncs: list[int]) -> None:
    """An atomic write makes one full sync."""
    with atomic_write(folder / "fox.json") as file:
        file.write(DATA)

    assert [51] == full_syncs


def test_full_sync_of_workspace(folder: Path, full_syncs: list[int]) -> None:
    """A batch folder is probed, and its counter and a stored input are written, with one full sync each."""
    workspace = Workspace.open(folder / "out", origin="https://api.ideogram.ai")
    workspace.inputs.describe(ImageFile(DATA))
    workspace.journal.close()

    assert [51, 51, 51] == full_syncs


def test_synced_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of a batch folder, its journal and a stored input are durable, with all folders above them."""
    synced: set[str] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(Path(f"/proc/self/fd/{fd}").readlink().name))
    workspace = Workspace.open(folder / "out", origin="https://api.ideogram.ai")
    workspace.inputs.describe(ImageFile(DATA))
    workspace.journal.close()

    assert {folder.name, "out", ".ideogram", "inputs"} <= synced


@pytest.mark.parametrize(("code", "is_fatal"), [(errno.ENOTSUP, False), (errno.EIO, True)])
def test_full_sync_unsupported(
    folder: Path, full_syncs: list[int], monkeypatch: pytest.MonkeyPatch, code: int, is_fatal: bool
) -> None:
    """On a volume without full sync an ordinary one is made; any other error is raised."""

    def refuse(fd: int, command: int) -> None:
        full_syncs.append(command)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    part = stored_part(folder)
    with pytest.raises(OSError, match="Input/output") if is_fatal else nullcontext():
        part.commit("fox.png")

    part.discard()

    assert ([51], not is_fatal) == (full_syncs, (folder / "fox.png").exists())


def test_part_is_never_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbolic link with the name of the part file is not followed."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    victim = folder / "victim"
    victim.write_bytes(b"untouched")
    (folder / ".fox.guessed.part").symlink_to(victim)
    part = PartFile(folder, "fox")
    with pytest.raises(FileExistsError):
        part.open()

    part.discard()
    (folder / ".fox.guessed.part").unlink()

    assert b"untouched" == victim.read_bytes()


def test_make_folder(folder: Path) -> None:
    """A folder is created with its parents. An existing folder raises no error."""
    deep = folder / "a" / "b"
    make_folder(deep)
    make_folder(deep)

    assert deep.is_dir()


def test_make_folder_over_file(folder: Path) -> None:
    """A file with the name of the folder raises `OSError`."""
    (folder / "a").write_bytes(b"")
    with pytest.raises(OSError, match="exists"):
        make_folder(folder / "a")
