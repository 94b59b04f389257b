"""Fetches one image over HTTP: no key, every hop checked, never more bytes than allowed, cut images noticed.

No exception and no response of aiohttp leaves this module: they hold the signed link.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from attrs import frozen
from yarl import URL

from ideogram_async.errors import (
    DownloadError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    TruncatedImageError,
)
from ideogram_async.formats import Format
from ideogram_async.transport.links import Hosts, scrub
from ideogram_async.transport.structure import Structure
from ideogram_async.wire.headers import retry_after_of

__all__ = ["ImageStream", "Refusal", "open_image"]

TOTAL, SOCK_CONNECT, SOCK_READ = 120.0, 10.0, 20.0
"""Seconds for a whole image, for a connection, and for silence."""

CHUNK = 65536
"""The most bytes in one chunk."""

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({403, 404, 410})


@frozen
class Refusal:
    """A status that is no success."""

    error: DownloadError
    retry_after: float | None
    """Seconds that the host asks to wait."""


class ImageStream:
    """An image as it arrives: iterate over it once, inside the block that opened it.

    The chunks have at most 64 KiB. Iterating raises `TruncatedImageError` if the image is cut or damaged,
    `ImageTooLargeError` if it is too large, and `DownloadError` if the connection fails; then what came so far is no
    image.
    """

    def __init__(self, body: _Body, *, first: bytes, kind: Format, length: int | None) -> None:
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


class _Body:
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
            raise _too_large(self._link, self._max_bytes)

        if chunk:
            self._structure.feed(chunk)
        else:
            self._structure.finish()

        return chunk

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK)
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            error = _failure(fault, self._link)

        # Raised outside the handler: its frames hold the response.
        raise error


@asynccontextmanager
async def open_image(
    session: aiohttp.ClientSession, url: str, *, hosts: Hosts, max_bytes: int, seconds: float | None = None
) -> AsyncGenerator[ImageStream | Refusal]:
    """Ask for an image, and read its first bytes. Leaving the block, also by a cancellation, ends the connection.

    Args:
        session: The one for images; nothing of it may carry the key.
        url: Where the image is.
        hosts: Where it may be, after every redirect.
        max_bytes: The most that may come, once decompressed.
        seconds: Time for everything, if that is less than `TOTAL`.

    Raises:
        HostRefusedError: If the link or a redirect leads where `hosts` does not allow.
        ImageTooLargeError: If the host announces more than `max_bytes`.
        NotAnImageError: If the first bytes are those of no image.
        DownloadError: If there is no answer.
    """
    # aiohttp takes 0 for no limit at all.
    total = TOTAL if seconds is None else max(min(TOTAL, seconds), 0.001)
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=SOCK_CONNECT, sock_read=SOCK_READ)
    response = await _follow(session, url, hosts, timeout)
    try:
        yield await _answer(response, max_bytes)
    finally:
        response.close()
        del response


async def _follow(
    session: aiohttp.ClientSession, url: str, hosts: Hosts, timeout: aiohttp.ClientTimeout
) -> aiohttp.ClientResponse:
    link = hosts.check(url)
    for _ in range(_MOST_REDIRECTS + 1):
        response = await _get(session, link, timeout)
        if response.status not in _REDIRECTS:
            return response

        location = response.headers.get("Location", "")
        response.close()
        del response
        link = hosts.check(_join(link, location))

    raise HostRefusedError(f"more than {_MOST_REDIRECTS} redirects: {scrub(url)}", url=scrub(url))


async def _get(session: aiohttp.ClientSession, link: URL, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
    error: DownloadError
    try:
        # A host that compresses all the same is decoded by aiohttp, in pieces no larger than a chunk.
        return await session.get(
            link,
            headers={"Accept-Encoding": "identity"},
            allow_redirects=False,
            auto_decompress=True,
            timeout=timeout,
        )
    except HostRefusedError as refused:
        error = HostRefusedError(str(refused), url=scrub(str(link)))
    except (aiohttp.ClientError, TimeoutError, OSError) as fault:
        error = _failure(fault, scrub(str(link)))

    raise error


async def _answer(response: aiohttp.ClientResponse, max_bytes: int) -> ImageStream | Refusal:
    link, length, status = scrub(str(response.url)), response.content_length, response.status
    headers, reader = response.headers, response.content
    # So that no traceback holds it.
    del response
    error = _error_of(status, link)
    if error is not None:
        return Refusal(error, retry_after_of(headers))

    if length is not None and length > max_bytes:
        raise _too_large(link, max_bytes)

    if "Content-Encoding" in headers:
        length = None

    body = _Body(reader, link=link, max_bytes=max_bytes)
    first, kind = await body.begin()
    return ImageStream(body, first=first, kind=kind, length=length)


def _error_of(status: int, link: str) -> DownloadError | None:
    """Say what a status means for an image."""
    if status == 200:
        return None

    if status in _GONE:
        return LinkExpiredError(f"the image is gone, the host answered {status}: {link}", url=link, status=status)

    return DownloadError(f"the image host answered {status}: {link}", url=link, status=status)


def _failure(fault: BaseException, link: str) -> DownloadError:
    """Put what went wrong into our own words: those of aiohttp may contain the signed link."""
    if isinstance(fault, aiohttp.ClientPayloadError):
        return TruncatedImageError(f"the image was cut: {link}", url=link)

    if isinstance(fault, TimeoutError):
        return DownloadError(f"the image host was silent for too long: {link}", url=link)

    reason = getattr(fault, "strerror", None) or type(fault).__name__
    return DownloadError(f"the image host cannot be reached or hung up, {reason}: {link}", url=link)


def _too_large(link: str, max_bytes: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"the image has more than {max_bytes:,} bytes: {link}", url=link)


def _join(link: URL, location: str) -> str:
    """Return where a redirect leads; what cannot be read is returned as it is, to be refused."""
    try:
        return str(link.join(URL(location, encoded=True)))
    except ValueError:
        return location
