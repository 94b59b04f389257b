"""HTTP request for one image: no API key, every redirect checked, size bounded.

No exception or response of aiohttp leaves this module: they contain the signed link.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import aiohttp
from attrs import frozen
from yarl import URL

from ideogram_async._download.hosts import Hosts, scrub
from ideogram_async._download.verify import ImageVerifier
from ideogram_async._formats import Format, sniff
from ideogram_async._wire.content import Inflater, codings_of, inflater_for
from ideogram_async._wire.headers import MAX_HEADER_BYTES, MAX_HEADERS, date_of, retry_after_of
from ideogram_async.errors import (
    DownloadError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    TruncatedImageError,
)

TOTAL, SOCK_CONNECT, SOCK_READ = 120.0, 10.0, 20.0
"""Timeouts in seconds: for an image, for a connection, and between two reads."""

MAX_CHUNK_BYTES = 65536
MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({403, 404, 410})

# Errors of aiohttp if the host or the network fails, or the session was closed meanwhile.
CONNECTION_ERRORS = (aiohttp.ClientError, OSError, RuntimeError)


class ImageStream:
    """An image as it arrives. Iterate over it once, inside the block that opened it.

    Chunks have at most 64 KiB. Iterating raises `TruncatedImageError` if the image is truncated or damaged,
    `ImageTooLargeError` if it is too large, and `DownloadError` if the connection fails. The bytes received before
    such an error are not an image.
    """

    def __init__(
        self, body: Body, *, first: bytes, image_format: Format, length: int | None, disconnect: Callable[[], None]
    ) -> None:
        self.format = image_format
        """Format, from the first bytes; the link and the host are not trusted."""
        self.length = length
        """Size in bytes, if the host declares it."""
        self._body = body
        self._first = first
        self._disconnect = disconnect
        self._is_closed = False

    @property
    def content_type(self) -> str:
        """Media type of `format`."""
        return self.format.content_type

    def __aiter__(self) -> ImageStream:
        return self

    def close(self) -> None:
        """Close the connection. Calling it twice is harmless."""
        self._is_closed = True
        self._disconnect()

    async def __anext__(self) -> bytes:
        if self._is_closed:
            raise DownloadError("the image stream is closed")

        chunk, self._first = self._first, b""
        chunk = chunk or await self._body.next()
        if not chunk:
            raise StopAsyncIteration

        return chunk


class StreamContext:
    """An async context manager that opens an image stream and closes it.

    Not a generator, which a closing event loop would have to finalize.
    """

    def __init__(self, opening: Callable[[], Awaitable[ImageStream]]) -> None:
        self._open = opening
        self._stream: ImageStream | None = None

    async def __aenter__(self) -> ImageStream:
        self._stream = await self._open()
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


@frozen
class HttpFailure:
    """A response whose status is not 200."""

    error: DownloadError
    retry_after: float | None
    """Seconds to wait, if the host states them."""
    date: datetime | None
    """Time of the response by the host's clock, if it states it."""


async def open_image(
    session: aiohttp.ClientSession,
    url: str,
    *,
    hosts: Hosts,
    max_bytes: int,
    rejected: list[bytes],
    seconds: float | None = None,
) -> ImageStream | HttpFailure:
    """Request an image and read its first bytes. The caller closes the stream; a cancellation leaves nothing open.

    Args:
        session: The session for images, which never carries the API key.
        url: The image's link.
        hosts: Hosts that the link and each redirect may lead to.
        max_bytes: Maximum size of the image, decompressed.
        rejected: Receives bytes that were read and not returned, because they are not those of an image.
        seconds: Timeout, if it is shorter than `TOTAL`.

    Raises:
        HostRefusedError: If the link or a redirect leads to a host that is not allowed.
        ImageTooLargeError: If the host declares more than `max_bytes`.
        NotAnImageError: If the first bytes are not those of an image.
        DownloadError: If there is no response.
    """
    # aiohttp treats 0 as no timeout.
    total = TOTAL if seconds is None else max(min(TOTAL, seconds), 0.001)
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=SOCK_CONNECT, sock_read=SOCK_READ)
    response = await _follow(session, url, hosts, timeout)
    disconnect = response.close
    try:
        result = await _to_stream(response, max_bytes, rejected, disconnect)
    except BaseException:
        disconnect()
        raise
    finally:
        del response

    if isinstance(result, HttpFailure):
        disconnect()

    return result


async def _follow(
    session: aiohttp.ClientSession, url: str, hosts: Hosts, timeout: aiohttp.ClientTimeout
) -> aiohttp.ClientResponse:
    link = hosts.check(url)
    for _ in range(MAX_REDIRECTS + 1):
        response = await _get(session, link, timeout)
        if response.status not in REDIRECTS:
            return response

        location = response.headers.get("Location", "")
        response.close()
        del response
        link = hosts.check(_join(link, location))

    raise HostRefusedError(f"more than {MAX_REDIRECTS} redirects: {scrub(url)}", url=scrub(url))


async def _get(session: aiohttp.ClientSession, link: URL, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
    error: DownloadError
    try:
        return await session.get(
            link,
            headers={"Accept-Encoding": "identity"},
            allow_redirects=False,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            timeout=timeout,
        )
    except HostRefusedError as refused:
        error = HostRefusedError(str(refused), url=scrub(str(link)))
    except CONNECTION_ERRORS as fault:
        error = _connection_error(fault, scrub(str(link)))

    raise error


def _join(link: URL, location: str) -> str:
    """Return the target of a redirect. One that cannot be parsed is returned unchanged, and refused later."""
    try:
        return str(link.join(URL(location, encoded=True)))
    except ValueError:
        return location


async def _to_stream(
    response: aiohttp.ClientResponse, max_bytes: int, rejected: list[bytes], disconnect: Callable[[], None]
) -> ImageStream | HttpFailure:
    link, length, status = scrub(str(response.url)), response.content_length, response.status
    headers, reader = response.headers, response.content
    # A traceback must not hold the response.
    del response
    error = _status_error(status, link)
    if error is not None:
        return HttpFailure(error, retry_after_of(headers), date_of(headers))

    if length is not None and length > max_bytes:
        raise _too_large(link, max_bytes)

    codings = codings_of(headers.getall("Content-Encoding", []))
    if codings:
        # The declared length is that of the compressed bytes.
        length = None

    body = Body(reader, codings, link=link, max_bytes=max_bytes, rejected=rejected)
    first, image_format = await body.begin()
    return ImageStream(body, first=first, image_format=image_format, length=length, disconnect=disconnect)


class Body:
    """The bytes of a response, counted and verified, with errors that never contain the signed link."""

    def __init__(
        self,
        reader: aiohttp.StreamReader,
        codings: Sequence[str],
        *,
        link: str,
        max_bytes: int,
        rejected: list[bytes],
    ) -> None:
        self._reader = reader
        self._codings = codings
        self._inflater: Inflater | None = None
        self._link = link
        self._max_bytes = max_bytes
        self._received = 0
        self._rejected = rejected
        self._verifier = ImageVerifier(link)

    async def begin(self) -> tuple[bytes, Format]:
        """Read until the format is known."""
        first = b""
        try:
            while (image_format := self._verifier.format) is None:
                first += await self.next()
        except DownloadError:
            self._rejected.insert(0, first)
            raise

        return first, image_format

    async def next(self) -> bytes:
        """Read a chunk. It is empty at the end of a complete image."""
        chunk = await self._read()
        try:
            self._check(chunk)
        except DownloadError:
            self._rejected.append(chunk)
            raise

        return chunk

    def _check(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise _too_large(self._link, self._max_bytes)

        if chunk:
            self._verifier.feed(chunk)
        else:
            self._verifier.finish()

    async def _read(self) -> bytes:
        """Read a chunk, decompressed if the host compresses anyway and the body has the format of its label."""
        while True:
            if self._inflater is not None and ((step := self._inflate(self._inflater)) or self._inflater.is_complete):
                return step

            chunk = await self._receive()
            if self._codings:
                self._inflater = None if sniff(chunk) else inflater_for(self._codings, chunk)
                self._codings = ()

            if self._inflater is None or not chunk:
                return chunk

            self._inflater.feed(chunk)

    def _inflate(self, inflater: Inflater) -> bytes:
        try:
            return inflater.step()
        except zlib.error:
            error = TruncatedImageError(f"the image is damaged: {self._link}", url=self._link)

        raise error

    async def _receive(self) -> bytes:
        try:
            return await self._reader.read(MAX_CHUNK_BYTES)
        except CONNECTION_ERRORS as fault:
            error = _connection_error(fault, self._link)

        # Raised outside the handler, whose frames hold the response.
        raise error


def _status_error(status: int, link: str) -> DownloadError | None:
    if status == 200:
        return None

    if status in GONE:
        message = f"the image is no longer available, its host returned {status}: {link}"
        return LinkExpiredError(message, url=link, status=status)

    return DownloadError(f"the image host returned {status}: {link}", url=link, status=status)


def _connection_error(fault: BaseException, link: str) -> DownloadError:
    """Convert an error of aiohttp, whose own message may contain the signed link."""
    if isinstance(fault, aiohttp.ClientPayloadError):
        return TruncatedImageError(f"the image is truncated: {link}", url=link)

    if isinstance(fault, TimeoutError):
        return DownloadError(f"the image host timed out: {link}", url=link)

    reason = getattr(fault, "strerror", None) or type(fault).__name__
    return DownloadError(f"the connection to the image host failed, {reason}: {link}", url=link)


def _too_large(link: str, max_bytes: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"the image has more than {max_bytes:,} bytes: {link}", url=link)
