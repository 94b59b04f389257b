"""Files to upload."""

import errno
import io
import os
import re
import stat
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, TypeAlias, runtime_checkable

from attrs import field, frozen

from ideogram_async._formats import sniff
from ideogram_async._names import NamedArguments
from ideogram_async._scalars import as_index

__all__ = ["AsyncReader", "FromJob", "HasUrl", "ImageFile", "ImageSource"]

# `Path` makes one slash of two.
URL = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)
MAX_SHOWN = 300
"""Characters of a path in a message or `repr`: the content of a file may be passed as its path."""

BASE64_IMAGE = re.compile(r"iVBORw0KGgo|/9j/[A-Za-z0-9+/]{60}|UklGR[A-Za-z0-9+/]{60}")


@runtime_checkable
class AsyncReader(Protocol):
    """An object with an async `read(size)`: a Starlette `UploadFile`, an anyio or aiofiles handle."""

    def read(self, size: int = -1, /) -> Awaitable[bytes]:
        """Read up to `size` bytes; return `b""` at the end."""
        ...


@runtime_checkable
class HasUrl(Protocol):
    """An image of an earlier answer."""

    @property
    def url(self) -> str | None:
        """The link to the image; `None` if it was withheld."""
        ...


@runtime_checkable
class PillowImage(Protocol):
    """A Pillow image, `PIL.Image.Image`."""

    @property
    def mode(self) -> str:
        """The mode of its pixels, such as `RGB`."""
        ...

    def convert(self, mode: str, /) -> "PillowImage":
        """Return the image in another mode."""
        ...

    def save(self, fp: BinaryIO, format: str, /) -> object:  # noqa: A002
        """Write the image in a format."""
        ...


@frozen
class FromJob:
    """An image of an earlier job of the same batch: `Upscale(image=FromJob("fox"))`."""

    id: str
    """Id of the earlier job."""
    index: int = field(default=0, converter=as_index)
    """Index of the image, from 0."""


@frozen
class Link:
    """An image on another server."""

    url: str = field(repr=lambda url: repr(url.partition("?")[0]))

    @property
    def is_web(self) -> bool:
        """Return whether it can be downloaded at all."""
        return self.url.lower().startswith(("https://", "http://"))


@frozen
class ImageFile(NamedArguments):
    """A file to upload.

    Args:
        source: A path, bytes, an open binary file, an async reader, a Pillow image, or an image of an earlier
            answer. All but a path and bytes can be read only once, so they are copied to a temporary file before the
            call is queued. An open file is read from its current position and never closed. A Pillow image is
            sent as PNG.
        name: The file name to send. Defaults to the name of the source.
        content_type: The media type to send. Defaults to the type of the file's first bytes.
    """

    source: str | os.PathLike[str] | bytes | BinaryIO | AsyncReader | PillowImage | HasUrl | FromJob = field(
        repr=lambda s: _describe(s)
    )
    name: str | None = None
    content_type: str | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """Convert the value of a file field. The field's rule reports a value of the wrong type."""
        if isinstance(value, cls):
            return value

        if _is_pair(value):
            return cls(value[1], name=value[0])

        return cls(value)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return a file that the client downloads before the call is queued: `client.upscale(ImageFile.from_url(url))`.

        The download has the checks of `client.download`: https, a public host, also after each redirect, no API key,
        and a PNG, JPEG or WebP image of at most `max_upload_bytes`. If it fails, `InvalidRequestError` states why, and
        nothing is sent. Its `__cause__` is the `DownloadError`.
        """
        return cls(Link(str(url)))

    @property
    def path(self) -> Path | None:
        """The path of the file, if the source is a path."""
        return Path(self.source) if isinstance(self.source, str | os.PathLike) else None

    @property
    def is_reopenable(self) -> bool:
        """Return whether the file can be read more than once."""
        return isinstance(self.source, str | os.PathLike | bytes | bytearray | memoryview)

    @property
    def is_readable(self) -> bool:
        """Return whether the source has a type that can be read."""
        is_image = isinstance(self.source, HasUrl | FromJob | PillowImage)
        return self.is_reopenable or is_image or callable(getattr(self.source, "read", None))

    def open(self) -> BinaryIO:
        """Open the file again, from the start.

        Raises:
            OSError: If a path cannot be opened.
            TypeError: If the source can be read only once.
        """
        path = self.path
        if path is not None:
            # Non-blocking: opening a pipe without a writer would block forever.
            return _regular(os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"))

        return io.BytesIO(self._bytes())

    def size(self) -> int:
        """Return the size in bytes.

        Raises:
            OSError: If a path cannot be read.
            TypeError: If the source can be read only once.
        """
        path = self.path
        return len(self._bytes()) if path is None else path.stat().st_size

    def _bytes(self) -> bytes:
        if not isinstance(self.source, bytes | bytearray | memoryview):
            raise TypeError(f"{self!r} can be read only once")

        return bytes(self.source)

    def file_name(self, head: bytes) -> str:
        """Return the file name to send. If neither the file nor its source has one, the first bytes determine it."""
        name = self.name or _name_of(self.source)
        if name:
            # A path may contain bytes that are not text; they cannot be encoded.
            return name.encode(errors="replace").decode()

        image_format = sniff(head)
        return f"image.{image_format.extension}" if image_format else "file.bin"


ImageSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | tuple[str, bytes]
    | BinaryIO
    | AsyncReader
    | PillowImage
    | HasUrl
    | FromJob
    | ImageFile
)
"""Values that a file field accepts. A string is a path."""


def path_error(path: str) -> str | None:
    """Return what a string is if it is not a path, and what to use instead; `None` if it may be a path."""
    url = URL.match(path)
    if url and url[1].lower() == "file":
        error = f"is a file URL; use Path({'/' + path[url.end() :].lstrip('/')!r})"
    elif url:
        is_web = url[1].lower() in ("http", "https")
        error = f"is a URL, not a path; use {'ImageFile.from_url(url)' if is_web else 'the bytes of the file'}"
    elif path[:5].lower() == "data:":
        error = "is a data URL, not a path; use base64.b64decode(url.partition(',')[2])"
    elif path.startswith("~"):
        error = f"begins with ~, which is not expanded; use Path({path!r}).expanduser()"
    elif BASE64_IMAGE.match(path):
        error = "is base64 text, not a path; use base64.b64decode(text)"
    else:
        return None

    # `Path.exists` raises for a text that is too long.
    return None if os.path.exists(path) else error  # noqa: PTH110


def as_image(value: ImageSource) -> ImageFile:
    """Convert the value of a file field; never rejects one."""
    return ImageFile.of(value)


def as_images(value: Iterable[ImageSource]) -> tuple[ImageFile, ...]:
    """Convert the value of a field of several files. A value that is not a list becomes one file."""
    is_bytes = isinstance(value, bytes | bytearray | memoryview)
    if is_bytes or isinstance(value, str | os.PathLike | ImageFile | AsyncReader) or not isinstance(value, Iterable):
        return (ImageFile.of(value),)

    items = tuple(value)
    if _is_pair(items) and isinstance(items[1], bytes):
        # Two paths are two files; a name and bytes are one.
        return (ImageFile.of(items),)

    return tuple(map(ImageFile.of, items))


def as_optional_images(value: Iterable[ImageSource] | None) -> tuple[ImageFile, ...] | None:
    """Convert the value of an optional field of several files."""
    return None if value is None else as_images(value)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return the value of a field, one item or several, as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def _regular(file: BinaryIO) -> BinaryIO:
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file

    file.close()
    raise OSError(errno.EINVAL, "Not a regular file")


def _name_of(source: object) -> str | None:
    if isinstance(source, str | os.PathLike):
        return Path(source).name

    if isinstance(source, PillowImage):
        # It has the name of the file that it was read from, and is sent as PNG.
        name = getattr(source, "filename", "")
        return f"{Path(name).stem}.png" if isinstance(name, str) and name else None

    for attribute in ("filename", "name"):
        name = getattr(source, attribute, None)
        if isinstance(name, str) and name:
            return Path(name).name

    return None


def _describe(source: object) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"

    text = repr(source)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
