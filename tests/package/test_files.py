"""Uploads of each kind of source, and the temporary copies of one-shot sources."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from support.clients import connected
from support.pictures import TOO_LARGE, archive, picture
from support.sandbox_process import SandboxProcess
from support.sources import JPEG, PNG, SOURCES, Broken, Upload, closed, written

from ideogram_async import Ideogram, ImageFile, InvalidRequestError
from ideogram_async.events import Event, Retrying
from ideogram_async.files import as_images
from ideogram_async.models import ImageGenerationObjectV3, ImageGenerationResponseV3
from ideogram_async.requests import Edit, Generate, Inpaint, Remix, RemoveBackground, UploadDatasetAssets
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.records import Part

pytestmark = pytest.mark.usefixtures("temporary")

# ---- sources


@pytest.mark.parametrize(("make", "name", "body"), SOURCES.values(), ids=SOURCES)
async def test_sources(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, make: Callable[[Path], Any], name: str, body: bytes
) -> None:
    """Each kind of source is uploaded completely, with its name and with the content type of its bytes."""
    source = make(tmp_path)
    await client.remove_background(source)
    kind = "image/png" if body is PNG else "image/jpeg"
    if hasattr(source, "close"):
        source.close()

    assert (Part("image", name, kind, body),) == sandbox.requests[-1].parts


async def test_caller_keeps_the_handle(client: Ideogram, tmp_path: Path) -> None:
    """An open file is read from its position to its end, and stays open."""
    with written(tmp_path / "x", b"head" + PNG).open("rb") as file:
        file.read(4)
        await client.remove_background(("x.png", file))

        assert (False, 4 + len(PNG)) == (file.closed, file.tell())


async def test_image_of_an_answer(client: Ideogram, sandbox: Sandbox) -> None:
    """An image of an earlier answer is downloaded without the key and uploaded; an answer is a list of its images."""
    answer = await client.generate("a fox", num_images=2)
    images = [await client.fetch(image) for image in answer]
    await client.edit("redder", images=answer)
    sent = sandbox.requests[-1].parts

    assert images == [part.body for part in sent if part.name == "images"]
    assert {"image/png"} == {part.content_type for part in sent if part.name == "images"}
    assert [] == sandbox.leaked_keys


async def test_size_is_checked_after_copying(client: Ideogram, sandbox: Sandbox) -> None:
    """Rules that need the bytes are checked after the copy."""
    with pytest.raises(InvalidRequestError) as caught:
        await client.inpaint(BytesIO(PNG), BytesIO(picture(size=(8, 8))), "x")

    assert (("mask", "must have the image's size, 64x48 pixels, not 8x8"),) == caught.value.problems
    assert [] == sandbox.requests


# ---- unreadable sources


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (StringIO("text"), "cannot be read: read() returned str; open the file in binary mode"),
        (TextIOWrapper(BytesIO(b"text")), "cannot be read: read() returned str; open the file in binary mode"),
        (closed(), "cannot be read: I/O operation on closed file."),
        (Broken(), "cannot be read: [Errno 5] Input/output error"),
        (BytesIO(b""), "is empty"),
        (BytesIO(b"GIF89a"), "is not a PNG, JPEG or WebP file"),
        (Upload(b"text", "x.png"), "is not a PNG, JPEG or WebP file"),
    ],
    ids=["text", "text mode", "closed", "broken", "empty", "gif", "async text"],
)
async def test_unreadable(client: Ideogram, sandbox: Sandbox, source: Any, message: str) -> None:
    """A source that cannot be read or is not an image makes the request invalid, and nothing is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        await client.remove_background(source)

    assert (("image", message),) == caught.value.problems
    assert [] == sandbox.requests


async def test_withheld_image(client: Ideogram, sandbox: Sandbox) -> None:
    """An image without a link, or with an expired one, makes the request invalid."""
    sandbox.fail(fault=Fault.unsafe())
    withheld = (await client.generate("a fox")).data[0]
    alive = (await client.generate("a fox")).data[0]
    sandbox.advance(90_000)
    sent = len(sandbox.requests)
    problems = []
    for image in (withheld, alive):
        with pytest.raises(InvalidRequestError) as caught:
            await client.with_options(retry=None).remove_background(image)

        problems += caught.value.problems

    assert ("image", "is an image without a link: the service withheld it") == problems[0]
    assert problems[1][1].startswith("cannot be read: ")
    assert sent == len(sandbox.requests)


@pytest.mark.parametrize("source", [BytesIO, Upload], ids=["open file", "async reader"])
async def test_limit_while_copying(sandbox: Sandbox, source: Callable[[bytes], Any]) -> None:
    """Copying stops at the size limit, so that an endless source does not fill the disk."""
    upload = source(picture(length=2**21))
    async with connected(sandbox.url, max_upload_bytes=2**20) as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.remove_background(upload)

    assert (("image", "has more than 1048576 bytes (max_upload_bytes)"),) == caught.value.problems
    assert [] == sandbox.requests
    assert not isinstance(upload, Upload) or 5 == upload.reads


# ---- attempts and copies


@pytest.mark.parametrize("make", [BytesIO, Upload], ids=["open file", "async reader"])
async def test_copy_serves_every_attempt(
    sandbox: Sandbox, client: Ideogram, temporary: Path, make: Callable[[bytes], Any]
) -> None:
    """The copy of a one-shot source is sent in every attempt."""
    sandbox.fail(fault=Fault.status(429), times=2)
    await client.remove_background(make(PNG))

    assert [429, 429, 200] == [request.status for request in sandbox.requests]
    assert {PNG} == {request.parts[0].body for request in sandbox.requests}


async def test_copy_serves_after_refused_connection(sandbox: Sandbox) -> None:
    """The copy of a one-shot source is sent after a refused connection."""

    def listen(event: Event) -> None:
        if isinstance(event, Retrying):
            sandbox.release()

    sandbox.fail(fault=Fault.refuse)
    async with connected(sandbox.url, on_event=listen) as client:
        await client.remove_background(BytesIO(PNG))

    assert [(200, PNG)] == [(request.status, request.parts[0].body) for request in sandbox.requests]


async def test_copies_live_as_long_as_the_call(sandbox: Sandbox, client: Ideogram, temporary: Path) -> None:
    """Copies exist while the call is in flight, only their owner can read them, and a cancellation deletes them."""
    sandbox.hold()
    call = asyncio.create_task(client.inpaint(BytesIO(PNG), Upload(PNG), "x"))
    await sandbox.wait_for_requests(1)
    copies = [path.stat() for path in temporary.iterdir()]
    call.cancel()
    await asyncio.wait([call])
    sandbox.release()
    await sandbox.wait_idle()

    assert [(len(PNG), 0o600)] * 2 == [(copy.st_size, copy.st_mode & 0o777) for copy in copies]
    assert [] == list(temporary.iterdir())


async def test_one_shot_sources_are_copied(sandbox: Sandbox, client: Ideogram, temporary: Path, tmp_path: Path) -> None:
    """Paths and bytes are not copied. In a list, only the one-shot sources are."""
    sandbox.hold()
    images = [written(tmp_path / "a.png"), ("b.png", BytesIO(JPEG)), PNG]
    call = asyncio.create_task(client.edit("x", images=images))
    await sandbox.wait_for_requests(1)
    copied = [path.read_bytes() for path in temporary.iterdir()]
    sandbox.release()
    await call

    assert [JPEG] == copied
    assert ["a.png", "b.png", "image.png"] == [p.filename for p in sandbox.requests[0].parts if p.name == "images"]


# ---- archives


@pytest.mark.parametrize(
    "make",
    [
        lambda body, folder: written(folder / "foxes.zip", body),
        lambda body, folder: ("foxes.ZIP", body),
        lambda body, folder: ("foxes.zip", BytesIO(body)),
        lambda body, folder: Upload(body, "foxes.zip"),
    ],
    ids=["path", "bytes", "open file", "async reader"],
)
async def test_archives_have_no_limit(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, make: Callable[[bytes, Path], Any]
) -> None:
    """An archive for a dataset goes up whatever its size: the limit is one of images."""
    body = archive(**{"fox.png": PNG, "fox.txt": b"a fox", "rest.txt": bytes(TOO_LARGE)})
    dataset = await client.datasets.create("foxes")
    answer = await client.datasets.upload_assets(dataset.dataset_id, [make(body, tmp_path)])

    assert [body] == [part.body for part in sandbox.requests[-1].parts]
    assert 1 == answer.success_count


async def test_archives_are_streamed(tmp_path: Path) -> None:
    """An archive of 64 MiB is sent with less than 4 MiB of memory."""
    path = written(tmp_path / "foxes.zip", archive())
    os.truncate(path, 2**26)
    with SandboxProcess() as process:
        async with connected(process.url) as client:
            dataset = await client.datasets.create("foxes")
            tracemalloc.start()
            answer = await client.datasets.upload_assets(dataset.dataset_id, [path])
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    assert 1 == answer.total_count
    assert peak < 2**22


async def test_only_archives_are_unlimited(client: Ideogram, sandbox: Sandbox) -> None:
    """A file that is only named like an archive, or is one but not for a dataset, has the limit of an image."""
    problems = []
    for call in (
        client.datasets.upload_assets("d", [Upload(bytes(TOO_LARGE), "foxes.zip")]),
        client.remove_background(Upload(archive().ljust(TOO_LARGE), "foxes.zip")),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            await call

        problems += caught.value.problems

    message = "has more than 10485760 bytes (max_upload_bytes)"
    assert [("files", message), ("image", message)] == problems
    assert [] == sandbox.requests


# ---- values


def test_single_source_for_a_list() -> None:
    """A single source in a field of several files is a list of one; a pair of a name and bytes is one source."""
    for source in ("a.png", Path("a.png"), PNG, bytearray(PNG), BytesIO(PNG), ("a.png", PNG), ImageFile(PNG)):
        assert (ImageFile.of(source),) == as_images(source)  # type: ignore[arg-type]

    assert (ImageFile("a.png"), ImageFile("b.png")) == as_images(("a.png", "b.png"))


def test_image_file() -> None:
    """A file has a size and a path, can be opened repeatedly, and its repr hides the bytes."""
    file = ImageFile(b"abc")
    first, second = file.open(), file.open()

    assert (3, None, b"abc", b"abc") == (file.size(), file.path, first.read(), second.read())
    assert "ImageFile(source=<3 bytes>, name=None, content_type=None)" == repr(file)
    assert "a.png" in repr(ImageFile("a.png"))
    assert file == ImageFile.of(file)


def test_one_shot_files_cannot_be_opened() -> None:
    """A one-shot source has no size and cannot be opened again; it has a name."""
    file = ImageFile(Upload(PNG, "a/b.png"))
    with pytest.raises(TypeError, match="can be read only once"):
        file.size()

    assert (False, True, "b.png") == (file.is_reopenable, file.is_readable, file.file_name(b""))
    assert "file.bin" == ImageFile(b"").file_name(b"")


def test_images_of_an_answer_are_values() -> None:
    """An answer is a valid value for a field of several files."""
    image = ImageGenerationObjectV3(url="https://x", prompt="", seed=1, resolution="1x1", is_image_safe=True)
    answer = ImageGenerationResponseV3(created=None, data=(image,))  # type: ignore[arg-type]

    assert (ImageFile(image),) == Edit("x", images=answer).images
    assert (ImageFile(image),) == UploadDatasetAssets("d", answer).files
    assert (ImageFile(image),) == Generate("x", style_reference_images=answer).style_reference_images
    assert ImageFile(image) == RemoveBackground(image).image == Inpaint(image, PNG, "x").image


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe without a writer is refused as unreadable immediately."""
    path = tmp_path / "fox.png"
    os.mkfifo(path)

    assert [("image", f"cannot be read: Not a regular file: {path}")] == Remix(path, "a fox").problems()
