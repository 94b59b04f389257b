"""Asks for one image: no key, every hop checked, nothing begun that is too large.

No exception and no response of aiohttp leaves this module: they hold the signed link.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
from attrs import frozen
from yarl import URL

from ideogram_async.download.images import FAULTS, Body, ImageStream, failure, too_large
from ideogram_async.download.links import Hosts, scrub
from ideogram_async.errors import DownloadError, HostRefusedError, LinkExpiredError
from ideogram_async.wire.headers import retry_after_of

__all__ = ["Refusal", "open_image"]

TOTAL, SOCK_CONNECT, SOCK_READ = 120.0, 10.0, 20.0
"""Seconds for a whole image, for a connection, and for silence."""

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({403, 404, 410})


@frozen
class Refusal:
    """A status that is no success."""

    error: DownloadError
    retry_after: float | None
    """Seconds that the host asks to wait."""


async def open_image(
    session: aiohttp.ClientSession, url: str, *, hosts: Hosts, max_bytes: int, seconds: float | None = None
) -> ImageStream | Refusal:
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
        answer = await _answer(response, max_bytes, hang_up)
    except BaseException:
        hang_up()
        raise
    finally:
        del response

    if isinstance(answer, Refusal):
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


async def _answer(
    response: aiohttp.ClientResponse, max_bytes: int, hang_up: Callable[[], None]
) -> ImageStream | Refusal:
    link, length, status = scrub(str(response.url)), response.content_length, response.status
    headers, reader = response.headers, response.content
    # So that no traceback holds it.
    del response
    error = _error_of(status, link)
    if error is not None:
        return Refusal(error, retry_after_of(headers))

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
