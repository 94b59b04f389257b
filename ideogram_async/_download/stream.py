"""Asks for one image: no key, every hop checked, nothing begun that is too large.

No exception and no response of aiohttp leaves this module: they hold the signed link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
from attrs import frozen
from yarl import URL

from ideogram_async._download.hosts import Hosts, scrub
from ideogram_async._download.verify import ImageVerifier
from ideogram_async._formats import Format
from ideogram_async._wire.decode import retry_after_of
from ideogram_async.errors import (
    DownloadError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    TruncatedImageError,
)

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


class StreamContext:
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
        self._verifier = ImageVerifier(link)

    async def begin(self) -> tuple[bytes, Format]:
        """Read until the format is known."""
        first = b""
        while (kind := self._verifier.format) is None:
            first += await self.next()

        return first, kind

    async def next(self) -> bytes:
        """Read a chunk; it is empty at the end of a whole image."""
        chunk = await self._read()
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise too_large(self._link, self._max_bytes)

        if chunk:
            self._verifier.feed(chunk)
        else:
            self._verifier.finish()

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


TOTAL, SOCK_CONNECT, SOCK_READ = 120.0, 10.0, 20.0

"""Seconds for a whole image, for a connection, and for silence."""

_MOST_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_GONE = frozenset({403, 404, 410})


@frozen
class HttpFailure:
    """A status that is no success."""

    error: DownloadError
    retry_after: float | None
    """Seconds that the host asks to wait."""


async def open_image(
    session: aiohttp.ClientSession, url: str, *, hosts: Hosts, max_bytes: int, seconds: float | None = None
) -> ImageStream | HttpFailure:
    """Ask for an image, and read its first bytes. The stream has to be closed; a cancellation leaves nothing open.

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
    hang_up = response.close
    try:
        answer = await _to_stream(response, max_bytes, hang_up)
    except BaseException:
        hang_up()
        raise
    finally:
        del response

    if isinstance(answer, HttpFailure):
        hang_up()

    return answer


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
    except FAULTS as fault:
        error = failure(fault, scrub(str(link)))

    raise error


async def _to_stream(
    response: aiohttp.ClientResponse, max_bytes: int, hang_up: Callable[[], None]
) -> ImageStream | HttpFailure:
    link, length, status = scrub(str(response.url)), response.content_length, response.status
    headers, reader = response.headers, response.content
    # So that no traceback holds it.
    del response
    error = _error_of(status, link)
    if error is not None:
        return HttpFailure(error, retry_after_of(headers))

    if length is not None and length > max_bytes:
        raise too_large(link, max_bytes)

    if headers.get("Content-Encoding", "identity") != "identity":
        # The length is that of the compressed bytes.
        length = None

    body = Body(reader, link=link, max_bytes=max_bytes)
    first, kind = await body.begin()
    return ImageStream(body, first=first, kind=kind, length=length, hang_up=hang_up)


def _error_of(status: int, link: str) -> DownloadError | None:
    """Say what a status means for an image."""
    if status == 200:
        return None

    if status in _GONE:
        return LinkExpiredError(f"the image is gone, the host answered {status}: {link}", url=link, status=status)

    return DownloadError(f"the image host answered {status}: {link}", url=link, status=status)


def _join(link: URL, location: str) -> str:
    """Return where a redirect leads; what cannot be read is returned as it is, to be refused."""
    try:
        return str(link.join(URL(location, encoded=True)))
    except ValueError:
        return location
