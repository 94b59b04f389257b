"""Sources of file fields: each supported kind, and broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from attrs import define, frozen

from ideogram_async import ImageFile
from support.pictures import picture

__all__ = ["JPEG", "PNG", "SOURCES", "Broken", "Upload", "closed", "written"]

PNG, JPEG = picture("PNG"), picture("JPEG")


@frozen
class PathLike:
    """A path-like object that is not a `Path`."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


@define(eq=False)
class Upload:
    """An async reader like Starlette's `UploadFile`."""

    body: bytes
    filename: str | None = None
    reads: int = 0

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        self.reads += 1
        chunk, self.body = self.body[:size], self.body[size:]
        return chunk


class PlainAsyncReader:
    """An async reader whose `read` is a plain function that returns a coroutine."""

    def __init__(self, body: bytes) -> None:
        self._file = BytesIO(body)

    def read(self, size: int = -1) -> Any:
        async def later() -> bytes:
            return self._file.read(size)

        return later()


def positioned(position: int, body: bytes) -> BytesIO:
    file = BytesIO(body)
    file.seek(position)
    return file


def opened(path: Path) -> Any:
    path.write_bytes(PNG)
    return path.open("rb")


def written(path: Path, body: bytes = PNG) -> Path:
    path.write_bytes(body)
    return path


SOURCES: dict[str, tuple[Callable[[Path], Any], str, bytes]] = {
    "string": (lambda folder: str(written(folder / "ein Fuchs.png")), "ein Fuchs.png", PNG),
    "path": (lambda folder: written(folder / '"q" 狐.png'), '"q" 狐.png', PNG),
    "path-like": (lambda folder: PathLike(written(folder / "x")), "x", PNG),
    "bytes": (lambda _: PNG, "image.png", PNG),
    "bytearray": (lambda _: bytearray(JPEG), "image.jpg", JPEG),
    "memoryview": (lambda _: memoryview(b"." + JPEG)[1:], "image.jpg", JPEG),
    "pair": (lambda _: ("a\\b %22 ü.png", PNG), "a\\b %22 ü.png", PNG),
    "pair with a file": (lambda _: ("fox.png", BytesIO(PNG)), "fox.png", PNG),
    "open file": (lambda folder: opened(folder / "fox 1.png"), "fox 1.png", PNG),
    "open file, not at its start": (lambda _: ("x.png", positioned(5, b"12345" + PNG)), "x.png", PNG),
    "async reader": (lambda _: Upload(JPEG, "größe.jpg"), "größe.jpg", JPEG),
    "async reader, path": (lambda _: Upload(JPEG, "C/a/fox.jpg"), "fox.jpg", JPEG),
    "async reader, pair": (lambda _: ("x.jpg", PlainAsyncReader(JPEG)), "x.jpg", JPEG),
    "image file": (lambda folder: ImageFile(written(folder / "x"), name="fox.png"), "fox.png", PNG),
    "image file of a reader": (lambda _: ImageFile(Upload(JPEG, "y.jpg"), name="x.jpg"), "x.jpg", JPEG),
    "line breaks in a name": (lambda _: ('a\r\nX-Evil: "1"', PNG), 'a%0D%0AX-Evil: "1"', PNG),
    "unpaired surrogate in a name": (lambda _: ("a\udcff.png", PNG), "a?.png", PNG),
}


class Broken:
    """A reader that fails after its first bytes."""

    def __init__(self) -> None:
        self._parts = iter([PNG])

    def read(self, size: int = -1) -> bytes:
        for part in self._parts:
            return part

        raise OSError(5, "Input/output error")


def closed() -> BytesIO:
    file = BytesIO(PNG)
    file.close()
    return file
