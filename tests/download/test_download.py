"""Downloads to a file, to memory and as a stream."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import tracemalloc
from collections.abc import Callable, Generator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
from attrs import frozen
from download.conftest import DownloadContext, MiB, Stop, names, serve
from support.origin import Origin, chunk, ok, picture, png, status, unsized

from ideogram_async._download.downloader import Downloads
from ideogram_async._download.hosts import Hosts
from ideogram_async._download.target import DownloadTarget
from ideogram_async._sinks.folder import FolderSink
from ideogram_async._sinks.sink import Stored
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.policy import Retry
from ideogram_async._transport.tasks import Tasks
from ideogram_async.errors import (
    DownloadError,
    FileConflictError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    NotAnImageError,
    TruncatedImageError,
    WithheldImageError,
)
from ideogram_async.events import Downloaded, Retrying

IMAGE = picture("PNG")
OTHER = picture("PNG", side=50)
HALF = IMAGE[: len(IMAGE) // 2]
PAST = "exp=1&sig=secret"


@frozen
class Linked:
    """An image of an answer."""

    url: str | None


async def test_file(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A file path is used exactly, for any image format."""
    origin.answers = [ok(IMAGE)]
    target = folder / "my fox.jpeg"

    assert target == await downloads.download(origin.url(), target)
    assert IMAGE == target.read_bytes()


@pytest.mark.parametrize(
    ("name", "warns"),
    [("fox.jpg", True), ("fox.JPEG", True), ("fox.gif", True), ("fox.PNG", False), ("fox", False), ("fox.v2", False)],
)
async def test_file_named_as_another_format(
    downloads: Downloads, origin: Origin, folder: Path, caplog: pytest.LogCaptureFixture, name: str, warns: bool
) -> None:
    """The log has one warning for a file whose name states another format; the path is used all the same."""
    origin.answers = [ok(IMAGE)]
    target = folder / name
    paths = [await downloads.download(origin.url(), target) for _ in range(2)]
    message = (
        f"{target} is a PNG file, although its name ends in {target.suffix}; "
        "for a fitting name, download it to a folder"
    )

    assert [target, target] == paths
    assert [("ideogram_async", "WARNING", message)] * warns == [
        (record.name, record.levelname, record.getMessage()) for record in caplog.records
    ]


@pytest.mark.parametrize(
    ("image", "extension"),
    [(picture("PNG"), "png"), (picture("JPEG"), "jpg"), (picture("WEBP"), "webp")],
    ids=["png", "jpeg", "webp"],
)
async def test_folder(downloads: Downloads, origin: Origin, folder: Path, image: bytes, extension: str) -> None:
    """In a folder the file is named after the link, with the extension of its format."""
    origin.answers = [ok(image, "Content-Type: text/html")]
    path = await downloads.download(origin.url("/x/fox.png"), folder)

    assert folder / f"fox.{extension}" == path
    assert image == path.read_bytes()


async def test_new_folder(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A string that ends in a slash is a folder and is created."""
    origin.answers = [ok(IMAGE)]
    path = await downloads.download(origin.url("/x/fox"), f"{folder}/a/b/")

    assert folder / "a" / "b" / "fox.png" == path
    assert path.exists()


async def test_relative_target(
    downloads: Downloads, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare name is a file in the working directory."""
    monkeypatch.chdir(folder)
    origin.answers = [ok(IMAGE)]

    assert Path("fox.png") == await downloads.download(origin.url(), "fox.png")
    assert IMAGE == (folder / "fox.png").read_bytes()


async def test_image_of_an_answer(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """An image of an answer is accepted instead of its link."""
    origin.answers = [ok(IMAGE)]

    assert IMAGE == await downloads.fetch(Linked(origin.url()))


@pytest.mark.parametrize("url", [None, ""])
async def test_withheld(downloads: Downloads, origin: Origin, folder: Path, url: str | None) -> None:
    """An image without a link raises `WithheldImageError`."""
    with pytest.raises(WithheldImageError):
        await downloads.download(Linked(url), folder)

    with pytest.raises(WithheldImageError):
        await downloads.fetch(Linked(url))

    with pytest.raises(WithheldImageError):
        async with downloads.stream(Linked(url)):
            pass

    assert [] == origin.requests


async def test_refused_before_the_disk(downloads: Downloads, folder: Path) -> None:
    """A refused link creates nothing, not even the folder."""
    with pytest.raises(HostRefusedError):
        await downloads.download("http://10.0.0.1/fox.png", f"{folder}/new/")

    assert [] == names(folder)


async def test_same_bytes(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A file with the same bytes at the target is kept."""
    origin.answers = [ok(IMAGE)]
    (folder / "fox.png").write_bytes(IMAGE)
    before = (folder / "fox.png").stat().st_ino

    assert before == (await downloads.download(origin.url(), folder)).stat().st_ino


async def test_other_bytes(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """Other bytes are never overwritten, and the download is not retried."""
    origin.answers = [ok(IMAGE)]
    (folder / "fox.png").write_bytes(b"mine")
    with pytest.raises(FileConflictError) as caught:
        await downloads.download(origin.url(), folder)

    assert folder / "fox.png" == caught.value.path
    assert b"mine" == (folder / "fox.png").read_bytes()
    assert 1 == len(origin.requests)


async def test_a_folder_without_a_slash(downloads: Downloads, origin: Origin, tmp_path: Path) -> None:
    """A second image to a target that was meant as a folder says how a folder is written."""
    origin.answers = [ok(IMAGE), ok(picture("WEBP"))]
    await downloads.download(origin.url(), tmp_path / "foxes")
    with pytest.raises(FileConflictError, match=r"not overwritten; a target that is a folder ends in /$"):
        await downloads.download(origin.url(), tmp_path / "foxes")


async def test_store(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """`store` returns name, size and hash, and takes a name without the extension."""
    origin.answers = [ok(picture("WEBP"))]
    stored = await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "row-7-0"))

    image = picture("WEBP")

    assert image == (folder / "row-7-0.webp").read_bytes()
    assert stored == Stored(
        name="row-7-0.webp",
        uri=(folder / "row-7-0.webp").as_uri(),
        sha256=sha256(image).hexdigest(),
        size=len(image),
        content_type="image/webp",
    )


@pytest.mark.parametrize("failure", [status(code) for code in (500, 502, 503, 408, 425, 429, 520)])
async def test_transient_failures(downloads: Downloads, origin: Origin, folder: Path, failure: bytes) -> None:
    """Transient failures are retried, with GETs only."""
    origin.answers = [failure, failure, ok(IMAGE)]
    path = await downloads.download(origin.url(), folder)

    assert IMAGE == path.read_bytes()
    assert ["GET"] * 3 == [request.method for request in origin.requests]


TRUNCATED = {
    "shorter than its length": ok(HALF, length=len(IMAGE)),
    "without a length": unsized(HALF),
    "in the first bytes": unsized(IMAGE[:5]),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + f"{len(HALF):x}\r\n".encode()
    + HALF
    + b"\r\n",
}


@pytest.mark.parametrize("body", TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_truncated(downloads: Downloads, origin: Origin, folder: Path, body: bytes) -> None:
    """An image that is truncated three times is stored at the fourth attempt."""
    origin.answers = [body, body, body, ok(IMAGE)]
    path = await downloads.download(origin.url(), folder)

    assert IMAGE == path.read_bytes()
    assert 4 == len(origin.requests)


@pytest.mark.parametrize("body", TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_always_truncated(downloads: Downloads, origin: Origin, folder: Path, body: bytes) -> None:
    """An image that is truncated every time leaves nothing behind."""
    origin.answers = [body]
    with pytest.raises(TruncatedImageError) as caught:
        await downloads.download(origin.url(), folder)

    assert caught.value.retryable
    assert (5, []) == (len(origin.requests), names(folder))


@pytest.mark.parametrize("code", [403, 404, 410])
async def test_gone(downloads: Downloads, origin: Origin, folder: Path, code: int) -> None:
    """A refused link that has not expired is retried twice."""
    origin.answers = [status(code)]
    with pytest.raises(LinkExpiredError) as caught:
        await downloads.download(origin.url(), folder)

    assert (code, 3) == (caught.value.status, len(origin.requests))


async def test_gone_for_a_moment(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """An image that is missing twice is stored at the third attempt."""
    origin.answers = [status(403), status(404), ok(IMAGE)]

    assert IMAGE == (await downloads.download(origin.url(), folder)).read_bytes()


async def test_expired(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A refused link that has expired is requested once."""
    origin.answers = [status(403)]
    with pytest.raises(LinkExpiredError):
        await downloads.download(origin.url(query=PAST), folder)

    assert 1 == len(origin.requests)


async def test_expired_by_a_wrong_clock(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A link whose `exp` has passed is still requested."""
    origin.answers = [ok(IMAGE)]

    assert IMAGE == (await downloads.download(origin.url(query=PAST), folder)).read_bytes()


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b""])
async def test_not_an_image(downloads: Downloads, origin: Origin, folder: Path, body: bytes) -> None:
    """A page with the media type of an image is requested three times."""
    origin.answers = [ok(body, "Content-Type: image/png")]
    with pytest.raises(NotAnImageError):
        await downloads.download(origin.url(), folder)

    assert (3, []) == (len(origin.requests), names(folder))


async def test_jpeg_named_png(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A JPEG behind `.png`, sent as text, is stored as `.jpg`."""
    origin.answers = [ok(picture("JPEG"), "Content-Type: text/html")]

    assert folder / "fox.jpg" == await downloads.download(origin.url("/fox.png"), folder)


async def test_declared_too_large(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A declared length of ten gigabytes is refused without a retry."""
    origin.answers = [ok(IMAGE, length=10 * 10**9)]
    with pytest.raises(ImageTooLargeError):
        await downloads.download(origin.url(), folder)

    assert (1, []) == (len(origin.requests), names(folder))


async def test_endless(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """An endless image is aborted at the maximum size."""
    sent = []

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(unsized(png()[:-12]))
        while True:
            writer.write(chunk(b"IDAT", bytes(65536)))
            await writer.drain()
            sent.append(65536)

    origin.answers = [endless]
    with pytest.raises(ImageTooLargeError):
        await context.downloads(max_image_bytes=2 * MiB).download(origin.url(), folder)

    assert (1, []) == (len(origin.requests), names(folder))
    assert sum(sent) < 16 * MiB


async def test_exactly_the_maximum(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """An image may have exactly the maximum size, and not one byte more."""
    origin.answers = [unsized(IMAGE)]

    assert IMAGE == await context.downloads(max_image_bytes=len(IMAGE)).fetch(origin.url())
    with pytest.raises(ImageTooLargeError):
        await context.downloads(max_image_bytes=len(IMAGE) - 1).fetch(origin.url())


async def test_too_many_pixels(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """A header that declares 400 million pixels is refused."""
    origin.answers = [ok(png(20_000, 20_000))]
    with pytest.raises(ImageTooLargeError):
        await downloads.download(origin.url(), folder)

    assert (1, []) == (len(origin.requests), names(folder))


async def test_stall(downloads: Downloads, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that stalls after the headers, or in the middle, is retried."""
    monkeypatch.setattr("ideogram_async._download.stream.SOCK_READ", 0.05)
    origin.answers = [origin.held(ok(b"", length=len(IMAGE))), origin.held(ok(HALF, length=len(IMAGE))), ok(IMAGE)]

    assert IMAGE == (await downloads.download(origin.url(), folder)).read_bytes()
    assert 3 == len(origin.requests)


async def test_always_stalled(
    context: DownloadContext, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that always stalls raises a timeout."""
    monkeypatch.setattr("ideogram_async._download.stream.SOCK_READ", 0.02)
    origin.answers = [origin.held(b"")]
    with pytest.raises(DownloadError, match="timed out"):
        await context.downloads(retry=Retry(attempts=2, base=0.0)).download(origin.url(), folder)


async def test_deadline(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """The policy's deadline ends an attempt in progress."""
    origin.answers = [origin.held(ok(HALF, length=len(IMAGE)))]
    with pytest.raises(DownloadError, match="timed out"):
        await context.downloads(retry=Retry(deadline=0.5, base=0.0)).download(origin.url(), folder)

    assert 1 == len(origin.requests)


async def test_unreachable(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """An unreachable host is retried as often as the policy allows."""
    with pytest.raises(DownloadError, match="connection to the image host failed"):
        await context.downloads().download("http://127.0.0.1:1/fox.png", folder)

    assert 4 == sum(isinstance(event, Retrying) for event in context.events)


async def test_other_status(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """An unexpected status is final."""
    origin.answers = [status(418)]
    with pytest.raises(DownloadError) as caught:
        await downloads.download(origin.url(), folder)

    assert (DownloadError, 418, 1) == (type(caught.value), caught.value.status, len(origin.requests))


async def test_events(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """Events are emitted, without the link's signature."""
    origin.answers = [status(500), ok(IMAGE)]
    path = await context.downloads().download(origin.url(), folder)
    retrying, downloaded = context.events

    assert isinstance(retrying, Retrying)
    assert (1, 0.0) == (retrying.attempt, retrying.pause)
    assert "500" in retrying.reason
    assert isinstance(downloaded, Downloaded)
    assert (path, len(IMAGE), sha256(IMAGE).hexdigest(), False) == (
        downloaded.path,
        downloaded.size,
        downloaded.sha256,
        downloaded.adopted,
    )
    assert {"download"} == {event.operation for event in context.events}
    assert 1 == len({event.call_id for event in context.events})
    assert "secret" not in repr(context.events)


@pytest.mark.parametrize("target", ["missing/fox.png", "file/fox.png", "file/"])
async def test_bad_target(downloads: Downloads, origin: Origin, folder: Path, target: str) -> None:
    """A target that cannot be written raises `OSError` before any GET."""
    (folder / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"No such|Not a directory|exists"):
        await downloads.download(origin.url(), f"{folder}/{target}")

    assert [] == origin.requests


@pytest.fixture
def mount(folder: Path) -> Generator[Callable[[str], Path]]:
    """A function that mounts a small disk in memory."""
    path = folder.parent / "disk"
    path.mkdir()

    def on(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("mounting needs root")

        return path

    yield on
    subprocess.run(["umount", str(path)], capture_output=True)


async def test_read_only(downloads: Downloads, origin: Origin, folder: Path, mount: Callable[[str], Path]) -> None:
    """A read-only folder raises `OSError` before any GET."""
    disk = mount("size=1m,ro")
    with pytest.raises(OSError, match="Read-only") as caught:
        await downloads.download(origin.url(), disk)

    assert (errno.EROFS, []) == (caught.value.errno, origin.requests)


async def test_full_disk(downloads: Downloads, origin: Origin, folder: Path, mount: Callable[[str], Path]) -> None:
    """A full disk raises `OSError`, leaves no part file, and is not retried. Once freed, the image is stored."""
    disk = mount("size=2m")
    (disk / "ballast").write_bytes(bytes(1_500_000))
    image = picture("PNG", side=640)
    origin.answers = [ok(image)]
    with pytest.raises(OSError, match="No space") as caught:
        await downloads.download(origin.url(), disk)

    assert (errno.ENOSPC, 1, ["ballast"]) == (caught.value.errno, len(origin.requests), names(disk))

    (disk / "ballast").unlink()

    assert image == (await downloads.download(origin.url(), disk)).read_bytes()


async def test_failed_fsync(
    downloads: Downloads, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync, neither the fsync nor the GET is retried."""
    calls: list[int] = []

    def failing(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    origin.answers = [ok(IMAGE)]
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        await downloads.download(origin.url(), folder)

    assert (1, 1, []) == (len(calls), len(origin.requests), names(folder))


async def test_slow_disk(downloads: Downloads, origin: Origin, folder: Path, hold: Callable[[str], Stop]) -> None:
    """During a slow fsync, the event loop runs other downloads."""
    origin.answers = [ok(IMAGE)]
    stop = hold("fsync")
    slow = asyncio.create_task(downloads.download(origin.url(), folder))
    await stop.reached.wait()

    assert [IMAGE] * 20 == await asyncio.gather(*(downloads.fetch(origin.url()) for _ in range(20)))
    assert not slow.done()

    stop.release()

    assert IMAGE == (await slow).read_bytes()


@pytest.mark.parametrize("count", [2, 20])
async def test_same_target(downloads: Downloads, origin: Origin, folder: Path, count: int) -> None:
    """Concurrent downloads of one image to one target all return that file."""
    origin.answers = [ok(IMAGE)]
    paths = await asyncio.gather(*(downloads.download(origin.url(), folder) for _ in range(count)))

    assert {folder / "fox.png"} == set(paths)
    assert ["fox.png"] == names(folder)


async def test_same_target_other_bytes(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """Of two different images with one target, one is stored and the other conflicts."""
    origin.answers = [ok(IMAGE), ok(OTHER)]
    outcomes = await asyncio.gather(
        *(downloads.download(origin.url(), folder / "x.png") for _ in range(2)), return_exceptions=True
    )

    assert 1 == sum(isinstance(outcome, FileConflictError) for outcome in outcomes)
    assert (folder / "x.png").read_bytes() in (IMAGE, OTHER)


async def test_flat_memory(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """Forty megabytes are stored with less than eight megabytes of memory."""
    image = png(body=bytes(MiB), blocks=40)

    async def slowly(writer: asyncio.StreamWriter) -> None:
        writer.write(ok(b"", length=len(image)))
        for start in range(0, len(image), 65536):
            writer.write(image[start : start + 65536])
            await writer.drain()

    origin.answers = [slowly]
    tracemalloc.start()
    path = await downloads.download(origin.url(), folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(image) == path.stat().st_size
    assert peak < 8 * MiB


async def test_fetch(downloads: Downloads, origin: Origin) -> None:
    """`fetch` retries like a download."""
    origin.answers = [status(503, "Retry-After: 0"), unsized(HALF), ok(IMAGE)]

    assert IMAGE == await downloads.fetch(origin.url())


async def test_retry_after(context: DownloadContext, origin: Origin) -> None:
    """A Retry-After beyond the deadline ends the attempts."""
    origin.answers = [status(429, "Retry-After: 60")]
    with pytest.raises(DownloadError) as caught:
        await context.downloads(retry=Retry(base=0.0, deadline=30.0)).fetch(origin.url())

    assert (429, 1) == (caught.value.status, len(origin.requests))


async def test_many_at_once(downloads: Downloads, origin: Origin) -> None:
    """Concurrent downloads count their attempts separately."""
    origin.answers = [*[status(500)] * 10, ok(IMAGE)]

    assert [IMAGE] * 5 == await asyncio.gather(*(downloads.fetch(origin.url()) for _ in range(5)))


async def test_client_closed(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """The part file is removed even if the closed client has no more tasks."""
    tasks = [context.tasks, context.tasks]
    reached = asyncio.Event()
    origin.answers = [origin.held(ok(HALF, length=len(IMAGE)), reached=reached)]
    downloads = Downloads(
        lambda: context.session,
        hosts=Hosts(loopback=True),
        max_image_bytes=MiB,
        retry=Retry(),
        emit=Emitter(None, lambda: context.tasks),
        tasks=tasks.pop,
        slots=lambda: context.slots,
    )
    task = asyncio.create_task(downloads.download(origin.url(), folder))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ([], []) == (tasks, names(folder))


def test_loop_after_loop(folder: Path) -> None:
    """Downloads work in one event loop after another, each with its own thread limit."""

    async def once(number: int) -> Path:
        async with serve() as origin, aiohttp.ClientSession() as session:
            origin.answers = [ok(IMAGE)]
            return await DownloadContext(session, Tasks()).downloads().download(origin.url(), folder / f"{number}.png")

    assert [folder / f"{number}.png" for number in range(3)] == [asyncio.run(once(number)) for number in range(3)]
