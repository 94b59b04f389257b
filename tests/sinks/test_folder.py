"""Folders as sinks, and images of an answer that are kept in one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
from support.pictures import picture

from ideogram_async import DownloadError, FileConflictError, Ideogram, NotAnImageError, WithheldImageError
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sinks import Facts, FolderSink, Sink, Stored

IMAGE = picture("PNG")
FACTS = Facts(content_type="image/png")


async def chunks(*parts: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part

    if error is not None:
        raise error


class Memory:
    """A sink of a caller's own."""

    uri = "memory:"

    def __init__(self) -> None:
        self.images: dict[str, bytes] = {}

    async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
        content = b"".join([chunk async for chunk in image])
        if name in self.images:
            raise PermissionError(name)

        self.images[name] = content
        return Stored(name=name, uri=f"{self.uri}{name}", sha256=sha256(content).hexdigest(), size=len(content))

    async def head(self, name: str, /) -> Stored | None:
        return None

    def open(self, name: str, /) -> AsyncIterator[bytes]:
        return chunks(self.images[name])

    async def link(self, name: str, lifetime: float, /) -> str:
        return f"{self.uri}{name}"


@pytest.fixture
def sink(tmp_path: Path) -> FolderSink:
    return FolderSink(tmp_path / "new" / "images")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_a_sink(sink: FolderSink) -> None:
    """It has all that the protocol names."""
    assert isinstance(sink, Sink)
    assert sink.path.absolute().as_uri() == sink.uri


@pytest.mark.parametrize("name", ["fox.png", "orders/4711/a fox.png"])
async def test_an_image_is_stored_and_found(sink: FolderSink, name: str) -> None:
    """`put` creates the folders and returns the facts of the file; `head` and `open` read it again."""
    stored = await sink.put(name, chunks(IMAGE[:9], IMAGE[9:]), FACTS)
    uri = (sink.path / name).as_uri()
    digest = sha256(IMAGE).hexdigest()

    assert stored == Stored(name=name, uri=uri, sha256=digest, size=len(IMAGE), content_type="image/png")
    assert stored == await sink.head(name)
    assert IMAGE == b"".join([chunk async for chunk in sink.open(name)])
    assert uri == await sink.link(name, 60.0)
    assert [name] == files(sink.path)


async def test_what_is_missing(sink: FolderSink) -> None:
    """`head` returns `None` for a missing image; reading it raises an error."""
    assert None is await sink.head("fox.png")
    with pytest.raises(FileNotFoundError):
        await anext(aiter(sink.open("fox.png")))


async def test_nothing_is_overwritten(sink: FolderSink) -> None:
    """The same bytes are adopted; others raise an error and change nothing."""
    first = await sink.put("fox.png", chunks(IMAGE), FACTS)

    assert first == await sink.put("fox.png", chunks(IMAGE), FACTS)
    with pytest.raises(FileConflictError):
        await sink.put("fox.png", chunks(b"other"), FACTS)

    assert IMAGE == (sink.path / "fox.png").read_bytes()
    assert ["fox.png"] == files(sink.path)


@pytest.mark.parametrize("error", [NotAnImageError("a page"), RuntimeError("another error")])
async def test_an_incomplete_image_leaves_nothing(sink: FolderSink, error: Exception) -> None:
    """The error of the iteration is raised, and no file is left."""
    with pytest.raises(type(error), match=str(error)):
        await sink.put("fox.png", chunks(IMAGE, error=error), FACTS)

    assert [] == files(sink.path.parent.parent)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../fox.png", "/fox.png", "a//b.png", "a/../../fox.png", "a/", "..\\fox.png"]
)
async def test_a_name_never_leads_elsewhere(sink: FolderSink, client: Ideogram, name: str) -> None:
    """A name with such parts is refused before anything is requested or written."""
    with pytest.raises(ValueError, match="name must be"):
        await sink.put(name, chunks(IMAGE), FACTS)

    with pytest.raises(ValueError, match="name must be"):
        await client.keep("http://127.0.0.1:1/fox.png", sink, name=name)

    assert [] == files(sink.path.parent.parent)


async def test_the_images_of_an_answer_are_kept(client: Ideogram, sink: FolderSink) -> None:
    """Each has its index in its name. Keeping them again changes nothing."""
    answer = await client.generate("a fox", num_images=3)
    kept = await client.keep(answer, sink, name="order-4711")

    assert ["order-4711-0.png", "order-4711-1.png", "order-4711-2.png"] == [each.name for each in kept]
    assert [each.sha256 for each in kept] == [sha256((sink.path / each.name).read_bytes()).hexdigest() for each in kept]
    assert kept == await client.keep(answer, sink, name="order-4711")
    assert 3 == len(files(sink.path))


async def test_one_image_is_kept_under_its_name(client: Ideogram, sink: FolderSink) -> None:
    """An image of an answer, or a link, has no index."""
    answer = await client.generate("a fox")
    [kept] = await client.keep(answer[0], sink, name="fox")

    assert "fox.png" == kept.name
    assert (kept,) == await client.keep(str(answer[0].url), sink, name="fox")


async def test_withheld_images_are_left_out(client: Ideogram, sandbox: Sandbox, sink: FolderSink) -> None:
    """Those of an answer are left out; one that is passed itself raises an error."""
    sandbox.fail(fault=Fault.unsafe(1))
    answer = await client.generate("a fox", num_images=2)
    withheld = next(image for image in answer if not image.url)

    assert 1 == len(await client.keep(answer, sink, name="fox"))
    with pytest.raises(WithheldImageError):
        await client.keep(withheld, sink, name="fox")


async def test_an_error_of_one_image_keeps_the_others(client: Ideogram, sink: FolderSink) -> None:
    """The error is raised once the other images are stored."""
    answer = await client.generate("a fox", num_images=3)
    (sink.path).mkdir(parents=True)
    (sink.path / "fox-1.png").write_bytes(b"mine")
    with pytest.raises(FileConflictError):
        await client.keep(answer, sink, name="fox")

    assert ["fox-0.png", "fox-1.png", "fox-2.png"] == files(sink.path)


async def test_a_sink_of_the_callers_own(client: Ideogram, sandbox: Sandbox) -> None:
    """Any class with the methods of the protocol is a sink. Its image is retried, and its errors are its own."""
    sink = Memory()
    answer = await client.generate("a fox")
    sandbox.fail(fault=Fault.cut)
    [kept] = await client.keep(answer, sink, name="fox")

    assert isinstance(sink, Sink)
    assert kept.sha256 == sha256(sink.images["fox-0.png"]).hexdigest()
    with pytest.raises(PermissionError):
        await client.keep(answer, sink, name="fox")


async def test_closing_the_client_ends_it(client: Ideogram) -> None:
    """Closing the client cancels a sink that takes long, although the image is complete."""
    reached = asyncio.Event()

    class Slow(Memory):
        async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
            await super().put(name, image, facts)
            reached.set()
            return await asyncio.Future()

    keeping = asyncio.create_task(client.keep(await client.generate("a fox"), Slow(), name="fox"))
    await reached.wait()
    await client.aclose()
    with pytest.raises(DownloadError, match="closed"):
        await keeping
