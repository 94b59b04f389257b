"""An image as it arrives: never more bytes than allowed, and cut ones noticed."""

from __future__ import annotations

import aiohttp

from ideogram_async.download.structure import Structure
from ideogram_async.errors import DownloadError, ImageTooLargeError, TruncatedImageError
from ideogram_async.formats import Format

__all__ = ["Body", "ImageStream", "failure", "too_large"]

CHUNK = 65536
"""The most bytes in one chunk."""


class ImageStream:
    """An image as it arrives: iterate over it once, inside the block that opened it.

    The chunks have at most 64 KiB. Iterating raises `TruncatedImageError` if the image is cut or damaged,
    `ImageTooLargeError` if it is too large, and `DownloadError` if the connection fails; then what came so far is no
    image.
    """

    def __init__(self, body: Body, *, first: bytes, kind: Format, length: int | None) -> None:
        self.format = kind
        """What the first bytes tell, whatever the link or the host call it."""
        self.length = length
        """Bytes, where the host tells."""

        self._body = body
        self._first = first

    @property
    def content_type(self) -> str:
        """The media type of `format`."""
        return self.format.content_type

    def __aiter__(self) -> ImageStream:
        return self

    async def __anext__(self) -> bytes:
        chunk, self._first = self._first, b""
        chunk = chunk or await self._body.next()
        if not chunk:
            raise StopAsyncIteration

        return chunk


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
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
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
