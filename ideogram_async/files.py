"""An image file that can be opened again, however it was given."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from ideogram_async._formats import sniff

__all__ = ["AsyncReader", "FromJob", "HasUrl", "ImageFile", "ImageSource"]


@runtime_checkable
class AsyncReader(Protocol):
    """Anything whose `read(size)` is awaited: a Starlette `UploadFile`, an anyio or aiofiles handle."""

    def read(self, size: int = -1, /) -> Awaitable[bytes]:
        """Read up to `size` bytes; none at the end."""
        ...


@runtime_checkable
class HasUrl(Protocol):
    """An image of an earlier answer."""

    @property
    def url(self) -> str | None:
        """Where it lies; `None` if it was withheld."""
        ...


@frozen
class FromJob:
    """An image that an earlier job of the same batch makes: `Upscale(image=FromJob("fox"))`."""

    id: str
    """The earlier job's id."""
    index: int = 0
    """Which of its images, counted from 0."""


@frozen
class ImageFile:
    """A file to upload.

    Args:
        source: A path, bytes, an open binary file, an async reader, or an image of an earlier answer. The last three
            can be read once only, so they are copied to a temporary file before the call takes its place; a handle
            is read from where it stands, and never closed.
        name: The file name that the service sees. Taken from the source where it has one.
        content_type: Told by the file's first bytes where not given.
    """

    source: str | os.PathLike[str] | bytes | BinaryIO | AsyncReader | HasUrl | FromJob = field(
        repr=lambda s: _describe(s)
    )
    name: str | None = None
    content_type: str | None = None

    @classmethod
    def of(cls, value: Any) -> ImageFile:
        """Wrap whatever a file field was given; what makes no sense is reported by `problem`."""
        if isinstance(value, cls):
            return value

        if _is_pair(value):
            return cls(value[1], name=value[0])

        return cls(value)

    @property
    def path(self) -> Path | None:
        """The file's path, where it was given as one."""
        return Path(self.source) if isinstance(self.source, str | os.PathLike) else None

    @property
    def is_reopenable(self) -> bool:
        """Whether it can be read more than once."""
        return isinstance(self.source, str | os.PathLike | bytes | bytearray | memoryview)

    @property
    def is_readable(self) -> bool:
        """Whether it is of a kind that can be read at all."""
        is_image = isinstance(self.source, HasUrl | FromJob)
        return self.is_reopenable or is_image or callable(getattr(self.source, "read", None))

    def open(self) -> BinaryIO:
        """Open it anew.

        Raises `OSError` if a path cannot be opened.
        """
        path = self.path
        if path is not None:
            # Without waiting: opening a pipe that nobody writes to would never end, nor would the process.
            opened = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
            return _only_regular(opened)

        return io.BytesIO(self._bytes())

    def size(self) -> int:
        """Return its length in bytes.

        Raises `OSError` if a path cannot be read.
        """
        path = self.path
        if path is not None:
            return path.stat().st_size

        return len(self._bytes())

    def _bytes(self) -> bytes:
        if not isinstance(self.source, bytes | bytearray | memoryview):
            raise TypeError(f"{self!r} can be read once only")

        return bytes(self.source)

    def file_name(self, head: bytes) -> str:
        """Return the name to send, given the file's first bytes."""
        given = self.name or _name_of(self.source)
        if given:
            # A path may hold bytes that are no text; they have no form in which they could travel.
            return given.encode(errors="replace").decode()

        kind = sniff(head)
        return f"image.{kind.extension}" if kind else "file.bin"


ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | tuple[str, bytes] | BinaryIO | AsyncReader | HasUrl | FromJob | ImageFile
)

"""Everything that a file field takes. A plain string is a path."""


def as_image(value: ImageSource) -> ImageFile:
    """Convert a file field; never refuses."""
    return ImageFile.of(value)


def as_images(value: Iterable[ImageSource]) -> tuple[ImageFile, ...]:
    """Convert a field of several files; what is no list becomes one file, which the field's rule then judges."""
    is_bytes = isinstance(value, bytes | bytearray | memoryview)
    if is_bytes or isinstance(value, str | os.PathLike | ImageFile | AsyncReader) or not isinstance(value, Iterable):
        return (ImageFile.of(value),)

    # Two paths are two files; a name and bytes are one.
    items = tuple(value)
    return (
        (ImageFile.of(items),) if _is_pair(items) and isinstance(items[1], bytes) else tuple(map(ImageFile.of, items))
    )


def as_optional_images(value: Iterable[ImageSource] | None) -> tuple[ImageFile, ...] | None:
    """Convert a field of several files that may be left out."""
    return None if value is None else as_images(value)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return what a field holds, one thing or several, as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def is_one_shot(value: Any) -> bool:
    """Whether it is a file that can be read only once, or has to be found first."""
    return isinstance(value, ImageFile) and not value.is_reopenable


def _only_regular(opened: BinaryIO) -> BinaryIO:
    if stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        return opened

    opened.close()
    raise OSError(errno.EINVAL, "Not a regular file")


def _name_of(source: object) -> str | None:
    if isinstance(source, str | os.PathLike):
        return Path(source).name

    for attribute in ("filename", "name"):
        name = getattr(source, attribute, None)
        if isinstance(name, str) and name:
            return Path(name).name

    return None


def _describe(source: object) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"

    return repr(source)
