"""Bytes that are not accepted as an image are kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from download.conftest import DownloadContext, names
from support.origin import Origin, ok, picture, status, unsized

from ideogram_async._download import rejected
from ideogram_async._download.downloader import Downloads, UnknownSizeError
from ideogram_async._download.rejected import REJECTED, RejectedFile
from ideogram_async._download.target import DownloadTarget
from ideogram_async._sinks import folder as sink
from ideogram_async._sinks.folder import FolderSink
from ideogram_async.errors import DownloadError, FileConflictError, NotAnImageError, TruncatedImageError

IMAGE = picture("PNG")
HALF = IMAGE[: len(IMAGE) // 2]
PAGE = b"<html>" + b"back soon " * 30_000


@pytest.fixture
def kept(tmp_path: Path) -> RejectedFile:
    return RejectedFile(tmp_path, "key-0")


@pytest.mark.parametrize("block_bytes", [1, sink.WRITE_BYTES])
@pytest.mark.parametrize(
    ("answer", "error", "content"),
    [(ok(PAGE), NotAnImageError, PAGE[:100]), (unsized(HALF), TruncatedImageError, HALF)],
    ids=["page", "half"],
)
async def test_the_last_bytes_are_kept(
    downloads: Downloads,
    origin: Origin,
    folder: Path,
    kept: RejectedFile,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    error: type[DownloadError],
    content: bytes,
    block_bytes: int,
) -> None:
    """Those of the last attempt, readable by their owner only. Nothing is left in the folder of the images."""
    monkeypatch.setattr(sink, "WRITE_BYTES", block_bytes)
    origin.answers = [answer]
    with pytest.raises(error):
        await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=kept)

    path = (kept.hidden / REJECTED) / kept.name

    assert path.read_bytes().startswith(content)
    assert len(path.read_bytes()) <= max(len(content), 2**16)
    assert (0o600, 0o700) == (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE((kept.hidden / REJECTED).stat().st_mode))
    assert [] == names(folder)


async def test_an_image_whose_name_is_taken_is_kept(
    downloads: Downloads, origin: Origin, folder: Path, kept: RejectedFile
) -> None:
    """Its link may expire before the name is free."""
    origin.answers = [ok(IMAGE)]
    (folder / "fox.png").write_bytes(b"mine")
    with pytest.raises(FileConflictError):
        await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=kept)

    path = (kept.hidden / REJECTED) / kept.name

    assert (IMAGE, 0o600) == (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
    assert ["fox.png"] == names(folder)


async def test_without_bytes_nothing_is_kept(
    downloads: Downloads, origin: Origin, folder: Path, kept: RejectedFile
) -> None:
    """A refused link has none."""
    origin.answers = [status(404)]
    with pytest.raises(DownloadError):
        await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=kept)

    assert not (kept.hidden / REJECTED).exists()


async def test_a_large_image_without_a_size(
    context: DownloadContext, origin: Origin, folder: Path, kept: RejectedFile
) -> None:
    """A response that exceeds the maximum, and did not declare its size, may have been endless."""
    origin.answers = [unsized(IMAGE), ok(IMAGE)]
    downloads = context.downloads(max_image_bytes=100)
    errors: list[type[Exception]] = []
    for _ in range(2):
        with pytest.raises(DownloadError) as caught:
            await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=kept)

        errors.append(caught.type)

    assert [True, False] == [error is UnknownSizeError for error in errors]


async def test_only_the_newest_are_kept(
    downloads: Downloads, origin: Origin, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are removed beyond the limit, and a file that exceeds it alone is not kept."""
    monkeypatch.setattr(rejected, "MAX_KEPT_BYTES", 25)
    origin.answers = [ok(b"x" * 10)] * 9 + [ok(b"x" * 26)]
    for number in range(3):
        kept = RejectedFile(tmp_path, f"key-{number}")
        with pytest.raises(NotAnImageError):
            await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=kept)

        os.utime((kept.hidden / REJECTED) / kept.name, (number, number))

    assert ["key-1", "key-2"] == names(tmp_path / "rejected")

    with pytest.raises(NotAnImageError):
        await downloads.store(
            origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=RejectedFile(tmp_path, "big")
        )

    assert "big" not in names(tmp_path / "rejected")


@pytest.mark.parametrize("place", ["file", "link"])
async def test_a_failure_to_keep_is_ignored(
    downloads: Downloads, origin: Origin, folder: Path, kept: RejectedFile, tmp_path: Path, place: str
) -> None:
    """The error of the download is raised, and no symbolic link is followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (kept.hidden / REJECTED).touch() if place == "file" else (kept.hidden / REJECTED).symlink_to(elsewhere)
    origin.answers = [ok(PAGE)]
    with pytest.raises(NotAnImageError):
        await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), rejected=kept)

    assert ([], []) == (names(folder), names(elsewhere))
