"""An image as it arrives: never more bytes than allowed, and cut ones noticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp

from ideogram_async.download.structure import Structure
from ideogram_async.errors import DownloadError, ImageTooLargeError, TruncatedImageError
from ideogram_async.formats import Format

__all__ = ["FAULTS", "Body", "ImageStream", "Opening", "failure", "too_large"]

FAULTS = (aiohttp.ClientError, OSError, RuntimeError)
"""What aiohttp raises when the host, the network, or a session that was closed meanwhile fails a download."""

CHUNK = 65536
"""The most bytes in one chunk."""


class ImageStream:
    """An image as it arrives: iterate over it once, inside the block that opened it.

    The chunks have at most 64 KiB. Iterating raises `TruncatedImageError` if the image is cut or damaged,
    `ImageTooLargeError` if it is too large, and `DownloadError` if the connection fails; then what came so far is no
    image.
    """

    def __init__(
        self, body: Body, *, first: bytes, kind: Format, length: int | None, hang_up: Callable[[], None]
    ) -> None:
        self.format = kind
        """What the first bytes tell, whatever the link or the host call it."""
        self.length = length
        """Bytes, where the host tells."""

        self._body = body
        self._first = first
        self._hang_up = hang_up
        self._is_closed = False

    @property
    def content_type(self) -> str:
        """The media type of `format`."""
        return self.format.content_type

    def __aiter__(self) -> ImageStream:
        return self

    def close(self) -> None:
        """End the connection. Twice is fine."""
        self._is_closed = True
        self._hang_up()

    async def __anext__(self) -> bytes:
        if self._is_closed:
            raise DownloadError("the stream of this image was closed")

        chunk, self._first = self._first, b""
        chunk = chunk or await self._body.next()
        if not chunk:
            raise StopAsyncIteration

        return chunk


class Opening:
    """What `async with` opens, and closes by itself: no generator, which the end of a loop would have to unwind."""

    def __init__(self, opening: Callable[[], Awaitable[ImageStream]]) -> None:
        self._open = opening
        self._stream: ImageStream | None = None

    async def __aenter__(self) -> ImageStream:
        self._stream = await self._open()
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


class Body:
    """The bytes of a response: counted, checked, and with errors of our own."""

    def __init__(self, reader: aiohttp.StreamReader, *, link: str, max_bytes: int) -> None:
        self._reader = reader
        self._link = link
        self._max_bytes = max_bytes
        self._received = 0
        self._structure = Structure(link)

    async def begin(self) -> tuple[bytes, Format]:
        """Read until the format is known."""
        first = b""
        while (kind := self._structure.format) is None:
            first += await self.next()

        return first, kind

    async def next(self) -> bytes:
        """Read a chunk; it is empty at the end of a whole image."""
        chunk = await self._read()
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise too_large(self._link, self._max_bytes)

        if chunk:
            self._structure.feed(chunk)
        else:
            self._structure.finish()

        return chunk

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK)
        except FAULTS as fault:
            error = failure(fault, self._link)

        # Raised outside the handler: its frames hold the response.
        raise error


def failure(fault: BaseException, link: str) -> DownloadError:
    """Put what went wrong into our own words: those of aiohttp may contain the signed link."""
    if isinstance(fault, aiohttp.ClientPayloadError):
        return TruncatedImageError(f"the image was cut: {link}", url=link)

    if isinstance(fault, TimeoutError):
        return DownloadError(f"the image host took too long: {link}", url=link)

    reason = getattr(fault, "strerror", None) or type(fault).__name__
    return DownloadError(f"the image host cannot be reached or hung up, {reason}: {link}", url=link)


def too_large(link: str, max_bytes: int) -> ImageTooLargeError:
    """Say that an image is larger than allowed."""
    return ImageTooLargeError(f"the image has more than {max_bytes:,} bytes: {link}", url=link)
