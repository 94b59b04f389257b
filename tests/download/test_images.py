"""Bodies of image hosts: complete, truncated, compressed or of another kind."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import pytest
from download.conftest import DownloadContext, MiB
from support.origin import Origin, chunk, ok, picture, png, redirect, status, unsized

from ideogram_async._download.downloader import Downloads
from ideogram_async._transport.policy import Retry
from ideogram_async.errors import (
    DownloadError,
    HostRefusedError,
    ImageTooLargeError,
    NotAnImageError,
    TruncatedImageError,
)

IMAGE = picture("PNG", side=200)


async def test_stream(downloads: Downloads, origin: Origin) -> None:
    """A stream has the type and length of the image, and yields it in small chunks."""
    origin.answers = [ok(IMAGE, "Content-Type: text/plain")]
    async with downloads.stream(origin.url()) as stream:
        chunks = [part async for part in stream]

    assert ("image/png", len(IMAGE)) == (stream.content_type, stream.length)
    assert IMAGE == b"".join(chunks)
    assert all(0 < len(part) <= 65536 for part in chunks)


@pytest.mark.parametrize(("kind", "expected"), [("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_content_type(downloads: Downloads, origin: Origin, kind: str, expected: str) -> None:
    """The media type is detected from the first bytes, before any chunk is read."""
    origin.answers = [unsized(picture(kind))]
    async with downloads.stream(origin.url()) as stream:
        assert (expected, None) == (stream.content_type, stream.length)


async def test_tiny_pieces(downloads: Downloads, origin: Origin) -> None:
    """An image that arrives byte by byte is accepted."""
    image = picture("PNG", side=2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(ok(b"", length=len(image)))
        for byte in image:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    origin.answers = [drip]

    assert image == await downloads.fetch(origin.url())


async def test_stream_retries(downloads: Downloads, origin: Origin) -> None:
    """Opening a stream is retried."""
    origin.answers = [status(500), ok(b"<html>"), ok(IMAGE)]
    async with downloads.stream(origin.url()) as stream:
        assert IMAGE == b"".join([part async for part in stream])


async def test_stream_truncated(downloads: Downloads, origin: Origin) -> None:
    """After the first chunk nothing is retried: a truncation raises an error."""
    origin.answers = [unsized(IMAGE[:-1])]
    image = bytearray()
    async with downloads.stream(origin.url()) as stream:
        with pytest.raises(TruncatedImageError):
            async for part in stream:
                image += part

    assert IMAGE[:-1] == image
    assert 1 == len(origin.requests)


async def test_stream_left_early(downloads: Downloads, origin: Origin, context: DownloadContext) -> None:
    """Leaving a stream early closes the connection."""
    origin.answers = [origin.held(ok(IMAGE[:5000], length=len(IMAGE)))]
    async with downloads.stream(origin.url()) as stream:
        async for _ in stream:
            break

    with pytest.raises(DownloadError):
        await anext(stream)


async def test_error_of_the_reader(downloads: Downloads, origin: Origin) -> None:
    """An error raised in the block propagates unchanged, even one of aiohttp."""
    origin.answers = [ok(IMAGE)]

    async def read() -> None:
        async with downloads.stream(origin.url()):
            raise aiohttp.ClientPayloadError("mine")

    with pytest.raises(aiohttp.ClientPayloadError, match="mine"):
        await read()

    assert 1 == len(origin.requests)


async def test_connections_are_reused(context: DownloadContext, origin: Origin) -> None:
    """The connection of a completed image is reused for the next one."""
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.read(65536):
            writer.write(ok(IMAGE))

        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    link = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/fox.png"
    downloads = context.downloads()
    for _ in range(3):
        await downloads.fetch(link)

    await context.session.close()
    server.close()
    await server.wait_closed()
    await connections[0].wait_closed()

    assert 1 == len(connections)


async def test_bare_request(context: DownloadContext, origin: Origin, other: Origin) -> None:
    """No API key, cookie or credentials reach an image host, not even after a redirect."""
    origin.answers = [redirect(other.url("/there.png"))]
    other.answers = [ok(IMAGE, "Set-Cookie: a=b"), ok(IMAGE)]
    downloads = context.downloads()
    for _ in range(2):
        await downloads.fetch(origin.url())

    names = {name for request in origin.requests + other.requests for name in request.headers}

    assert {"host", "accept", "accept-encoding", "user-agent"} == names
    assert {"identity"} == {request.headers["accept-encoding"] for request in origin.requests}
    assert ["/there.png?exp=9999999999&sig=secret"] * 2 == [request.target for request in other.requests]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirect(downloads: Downloads, origin: Origin, other: Origin, code: int) -> None:
    """A redirect to an allowed host is followed."""
    origin.answers = [redirect(other.url(), code)]
    other.answers = [ok(IMAGE)]

    assert IMAGE == await downloads.fetch(origin.url())


async def test_relative_redirect(downloads: Downloads, origin: Origin) -> None:
    """A redirect may be relative, and stays unchanged byte for byte."""
    origin.answers = [redirect("../moved%2Fhere.png?sig=a%2Bb"), ok(IMAGE)]

    assert IMAGE == await downloads.fetch(origin.url("/a/b/fox.png"))
    assert "/a/moved%2Fhere.png?sig=a%2Bb" == origin.requests[1].target


async def test_three_redirects(downloads: Downloads, origin: Origin) -> None:
    """Three redirects are followed, the fourth is refused."""
    origin.answers = [redirect("/1"), redirect("/2"), redirect("/3"), ok(IMAGE)]

    assert IMAGE == await downloads.fetch(origin.url())

    origin.requests.clear()
    origin.answers = [redirect("/again")]
    with pytest.raises(HostRefusedError, match="more than 3"):
        await downloads.fetch(origin.url())

    assert 4 == len(origin.requests)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/x",
        "http://example.com/x.png",
        "https://user@example.com/x.png",
        "https://example.com:8443/x.png",
        "https://[::1",
        "https://h:99999/",
        "file:///etc/passwd",
        "//2130706433/x",
        "/x y",
        "\x80\x81",
    ],
)
async def test_refused_redirect(downloads: Downloads, origin: Origin, location: str) -> None:
    """Every redirect is checked like a link, and a refusal is final."""
    origin.answers = [redirect(location)]
    with pytest.raises(HostRefusedError):
        await downloads.fetch(origin.url())

    assert 1 == len(origin.requests)


async def test_redirect_to_nowhere(downloads: Downloads, origin: Origin) -> None:
    """A redirect without a target leads to itself, and is refused after three redirects."""
    origin.answers = [status(302)]
    with pytest.raises(HostRefusedError):
        await downloads.fetch(origin.url())


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_encoded(downloads: Downloads, origin: Origin, encoding: str) -> None:
    """A compressed response is decoded."""
    body = gzip.compress(IMAGE) if encoding == "gzip" else zlib.compress(IMAGE)
    origin.answers = [ok(body, f"Content-Encoding: {encoding}")]
    async with downloads.stream(origin.url()) as stream:
        image = b"".join([part async for part in stream])

    assert (IMAGE, None) == (image, stream.length)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_wrongly_labeled(downloads: Downloads, origin: Origin, encoding: str) -> None:
    """An image that is not compressed at all is an image, whatever its label says."""
    origin.answers = [ok(IMAGE, f"Content-Encoding: {encoding}")]

    assert IMAGE == await downloads.fetch(origin.url())


@pytest.mark.parametrize("headers", [f"X: {'x' * MiB}", "\r\n".join(f"X-{number}: x" for number in range(5_000))])
async def test_large_headers(downloads: Downloads, origin: Origin, headers: str) -> None:
    """Long headers and many headers do not lose an image."""
    origin.answers = [ok(IMAGE, headers)]

    assert IMAGE == await downloads.fetch(origin.url())


async def test_encoded_and_truncated(downloads: Downloads, origin: Origin) -> None:
    """A truncated image in a compressed response with the right length is detected."""
    origin.answers = [ok(gzip.compress(IMAGE)[:-2000], "Content-Encoding: gzip")]
    with pytest.raises(TruncatedImageError):
        await downloads.fetch(origin.url())


@pytest.mark.parametrize("encoding", ["br", "zstd", "rot13", "gzip"])
async def test_unreadable_encoding(context: DownloadContext, origin: Origin, encoding: str) -> None:
    """An encoding that cannot be decoded raises `DownloadError`."""
    origin.answers = [ok(b"\x1b" + IMAGE[:-1], f"Content-Encoding: {encoding}")]
    with pytest.raises(DownloadError):
        await context.downloads(retry=Retry(attempts=1)).fetch(origin.url())


async def test_bomb(context: DownloadContext, origin: Origin, folder: Path) -> None:
    """200 megabytes compressed to 200 kilobytes are aborted at the maximum size, with little memory."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = squeeze.compress(png()[:33] + (200 * MiB).to_bytes(4, "big") + b"IDAT" + zlib.compress(b""))
    for _ in range(200):
        bomb += squeeze.compress(bytes(MiB))

    origin.answers = [ok(bomb + squeeze.flush(), "Content-Encoding: gzip")]
    tracemalloc.start()
    with pytest.raises(ImageTooLargeError):
        await context.downloads(max_image_bytes=2 * MiB).download(origin.url(), folder)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert 1 == len(origin.requests)
    assert peak < 8 * MiB


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection in the middle of the image."""
    writer.write(ok(IMAGE[:5000], length=len(IMAGE)))
    await writer.drain()
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without a response."""


FAULTS: dict[str, tuple[Any, type[DownloadError]]] = {
    "closed": (hang_up, DownloadError),
    "reset": (reset, DownloadError),
    "no http": (b"nonsense\r\n\r\n", DownloadError),
    "truncated": (ok(IMAGE[:5000], length=len(IMAGE)), TruncatedImageError),
    "truncated without length": (unsized(IMAGE[:5000]), TruncatedImageError),
    "bad chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", DownloadError),
    "bad encoding": (ok(gzip.compress(IMAGE)[:500] + IMAGE, "Content-Encoding: gzip"), TruncatedImageError),
    "status": (status(500), DownloadError),
    "gone": (status(404), DownloadError),
    "page": (ok(b"<html></html>"), NotAnImageError),
    "damaged": (ok(IMAGE[:5000] + b"x" + IMAGE[5001:]), TruncatedImageError),
    "large": (ok(IMAGE, length=10**10), ImageTooLargeError),
    "pixels": (ok(png(20_000, 20_000)), ImageTooLargeError),
    "redirect": (redirect("https://10.0.0.1/x?sig=secret"), HostRefusedError),
    "header too long": (ok(IMAGE, f"X: {'x' * 3 * MiB}"), DownloadError),
    "late garbage": (unsized(png()[:33] + chunk(b"IDAT", b"x") + b"garbage" * 9), TruncatedImageError),
}


@pytest.mark.parametrize(("answer", "kind"), FAULTS.values(), ids=FAULTS.keys())
async def test_no_foreign_errors(
    context: DownloadContext, origin: Origin, answer: Any, kind: type[DownloadError]
) -> None:
    """Every failure raises `DownloadError`, without objects of aiohttp and without the link's signature."""
    origin.answers = [answer]
    with pytest.raises(kind) as caught:
        await context.downloads(retry=Retry(attempts=1)).fetch(origin.url())

    error = caught.value

    assert (None, None) == (error.__cause__, error.__context__)
    assert "secret" not in f"{error!s} {error!r} {error.url} {error.args}"
    assert [] == foreign(error.__traceback__)


def foreign(traceback: TracebackType | None) -> list[object]:
    """Return the frames, responses and errors of aiohttp in a traceback."""
    values: list[object] = []
    while traceback is not None:
        frame = traceback.tb_frame
        if "/aiohttp/" in frame.f_code.co_filename:
            values.append(frame)

        kinds = (aiohttp.ClientResponse, aiohttp.ClientError, aiohttp.RequestInfo)
        values += [value for value in frame.f_locals.values() if isinstance(value, kinds)]
        traceback = traceback.tb_next

    return values
