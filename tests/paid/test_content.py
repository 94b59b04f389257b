"""Answers with unusual headers, codings and character sets: what came is kept."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.batches import collect, run_batch
from support.clients import connected
from support.rawserver import GOOD, RawServer, Script, status

from ideogram_async import AmbiguousError, BadRequestError, Billed, DecodeError, Generate, Ideogram, JobState
from ideogram_async.sandbox import Fault, Sandbox

LINK = json.loads(GOOD)["data"][0]["url"]
BOUND = 8 * 2**20
HEADERS: dict[str, dict[str, str]] = {
    "12 KiB": {"Content-Security-Policy": "x" * 12 * 2**10},
    "1 MiB": {"X": "x" * 2**20},
    "almost 2 MiB": {"X": "x" * (2 * 2**20 - 10)},
    "150": {f"X-{number}": "x" for number in range(150)},
    "5,000": {f"X-{number}": "x" for number in range(5_000)},
}
TOO_MANY = {
    "3 MiB": {"X": "x" * 3 * 2**20},
    "10,001": {f"X-{number}": "x" for number in range(10_001)},
}


def deflate(data: bytes) -> bytes:
    """Compress without an envelope."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


HALF = len(GOOD) // 2
CODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(GOOD)),
    "another case": (" GZip", gzip.compress(GOOD)),
    "the old name": ("x-gzip", gzip.compress(GOOD)),
    "two members": ("gzip", gzip.compress(GOOD[:HALF]) + gzip.compress(GOOD[HALF:])),
    "something behind": ("gzip", gzip.compress(GOOD) + b"\0\0"),
    "zlib": ("deflate", zlib.compress(GOOD)),
    "bare deflate": ("deflate", deflate(GOOD)),
    "two codings": ("deflate, gzip", gzip.compress(zlib.compress(GOOD))),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(GOOD))),
    "identity": ("identity", GOOD),
    "identity, gzip": ("identity, gzip", gzip.compress(GOOD)),
    "gzip that is none": ("gzip", GOOD),
    "deflate that is none": ("deflate", GOOD),
    "br that is none": ("br", GOOD),
    "zlib as gzip": ("gzip", zlib.compress(GOOD)),
    "gzip as deflate": ("deflate", gzip.compress(GOOD)),
    "twice, but once": ("gzip, gzip", gzip.compress(GOOD)),
}
UNKNOWN: dict[str, tuple[str, bytes]] = {
    "br": ("br", b"\x8b\x02\x80" + GOOD),
    "zstd": ("zstd", b"\x28\xb5\x2f\xfd" + GOOD),
    "no label": ("", gzip.compress(GOOD)),
    "text": ("gzip", b"soon " + GOOD),
    "text as deflate": ("deflate", b"soon " + GOOD),
    "unknown, then gzip": ("gzip, br", b"\x8b\x02\x80" + gzip.compress(GOOD)),
}


def coded(coding: str, body: bytes) -> Script:
    return status(200, body, {"Content-Encoding": coding} if coding else None)


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_large_headers(headers: Mapping[str, str]) -> None:
    """An answer with long or many headers is read, and its headers are kept."""
    async with RawServer(status(200, GOOD, headers)) as server, connected(server.url) as client:
        images = await client.generate("a fox")

    assert [LINK] == [image.url for image in images]
    assert {name.lower() for name in headers} <= images.meta.headers.keys()


@pytest.mark.parametrize("headers", TOO_MANY.values(), ids=TOO_MANY)
async def test_too_large_headers(headers: Mapping[str, str]) -> None:
    """Headers beyond the limits hide the status, and the error says so."""
    async with RawServer(status(200, GOOD, headers)) as server, connected(server.url) as client:
        with pytest.raises(AmbiguousError, match=r"status is unknown.* 2097152 bytes a line or 10000") as caught:
            await client.generate("a fox")

    assert Billed.UNKNOWN == caught.value.billed


@pytest.mark.parametrize(("coding", "body"), CODED.values(), ids=CODED)
async def test_codings(coding: str, body: bytes) -> None:
    """A compressed answer is read by its label, and one whose label is wrong as it is."""
    async with RawServer(coded(coding, body)) as server, connected(server.url) as client:
        images = await client.generate("a fox")

    assert ([LINK], GOOD) == ([image.url for image in images], images.meta.raw)
    assert "gzip, deflate" == server.requests[0].headers["accept-encoding"]


@pytest.mark.parametrize(("coding", "body"), UNKNOWN.values(), ids=UNKNOWN)
async def test_unknown_codings(coding: str, body: bytes) -> None:
    """A body that cannot be decoded was billed, and all its bytes are kept."""
    async with RawServer(coded(coding, body)) as server, connected(server.url) as client:
        with pytest.raises(DecodeError) as caught:
            await client.generate("a fox")

    assert (body, Billed.YES) == (caught.value.raw, caught.value.billed)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, deflate])
async def test_cut_while_compressed(pack: object) -> None:
    """A compressed body that ends early is truncated, and the links in its beginning are kept."""
    assert callable(pack)
    body = pack(GOOD + bytes(range(256)) * 20)[:-30]
    coding = "gzip" if pack is gzip.compress else "deflate"
    async with RawServer(coded(coding, body)) as server, connected(server.url) as client:
        with pytest.raises(DecodeError, match="ends early") as caught:
            await client.generate("a fox")

    assert caught.value.raw.startswith(GOOD[:HALF])
    assert ((LINK,), Billed.YES) == (caught.value.links, caught.value.billed)


async def test_accept_encoding_is_ours() -> None:
    """A caller's own Accept-Encoding does not ask for a coding that cannot be decoded."""
    async with RawServer(status(200, GOOD)) as server:
        async with connected(server.url, extra_headers={"accept-encoding": "br"}) as client:
            await client.generate("a fox")

        assert "gzip, deflate" == server.requests[0].headers["accept-encoding"]


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_largest_body(coding: str) -> None:
    """A body of 8 MiB is read, decompressed too; one with a byte more is truncated."""
    padded = GOOD + b" " * (BOUND - len(GOOD))
    bodies = [gzip.compress(body, 1) if coding else body for body in (padded, padded + b" ")]
    async with RawServer(*(coded(coding, body) for body in bodies)) as server, connected(server.url) as client:
        images = await client.generate("a fox")
        with pytest.raises(DecodeError, match="more than 8388608 bytes") as caught:
            await client.generate("a fox")

    assert [LINK] == [image.url for image in images]
    assert (padded, (LINK,)) == (caught.value.raw, caught.value.links)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
async def test_unicode(encoding: str) -> None:
    """JSON in any encoding of Unicode is read, and so are the links of a truncated one."""
    body = GOOD.decode().replace("a fox", "ein Füchslein").encode(encoding)
    async with RawServer(status(200, body), status(200, body[:-40])) as server, connected(server.url) as client:
        images = await client.generate("a fox")
        with pytest.raises(DecodeError) as caught:
            await client.generate("a fox")

    assert ["ein Füchslein"] == [image.prompt for image in images]
    assert ((LINK,), Billed.YES) == (caught.value.links, caught.value.billed)


@pytest.mark.parametrize("charset", ["iso-8859-1", '"latin-1"', "windows-1252"])
async def test_declared_character_set(charset: str) -> None:
    """JSON in an older encoding is read by the character set that is declared."""
    body = GOOD.decode().replace("a fox", "ein Füchslein").encode("latin-1")
    script = status(200, body, {"Content-Type": f"application/json; Charset={charset}"})
    async with RawServer(script) as server, connected(server.url) as client:
        images = await client.generate("a fox")

    assert ["ein Füchslein"] == [image.prompt for image in images]


@pytest.mark.parametrize("charset", ["klingon", "hex", "utf-8", "a" * 200, "utf-16"])
async def test_unknown_character_set(charset: str) -> None:
    """An encoding that is not known does not hide the bytes and the links."""
    body = GOOD.replace(b"a fox", b"\xff\xfe\xfd")
    script = status(200, body, {"Content-Type": f"application/json; charset={charset}"})
    async with RawServer(script) as server, connected(server.url) as client:
        with pytest.raises(DecodeError) as caught:
            await client.generate("a fox")

    assert (body, (LINK,), Billed.YES) == (caught.value.raw, caught.value.links, caught.value.billed)


async def test_a_compressed_refusal() -> None:
    """The body of a refusal is decompressed like that of an answer."""
    body = gzip.compress(b'{"error": "no such seed"}')
    async with RawServer(status(400, body, {"Content-Encoding": "gzip"})) as server, connected(server.url) as client:
        with pytest.raises(BadRequestError, match="400 no such seed"):
            await client.generate("a fox")


@pytest.mark.parametrize("body", [b"", b"<h1>Sign in</h1>"])
async def test_no_content_in_a_batch(
    body: bytes, ideogram_client: Ideogram, ideogram_sandbox: Sandbox, tmp_path: Path
) -> None:
    """A job whose answer has no content is in doubt, and resent only if that is asked for."""
    ideogram_sandbox.fail(fault=Fault.status(200, body))
    (result,) = await collect(ideogram_client, [Generate("a fox")], tmp_path)

    assert (JobState.AMBIGUOUS, DecodeError) == (result.state, type(result.error))
    assert result.error is not None
    assert Billed.UNKNOWN == result.error.billed

    (again,) = await collect(ideogram_client, [Generate("a fox")], tmp_path)

    assert (JobState.AMBIGUOUS, 1) == (again.state, len(ideogram_sandbox.requests))
    assert "may come from a proxy" in str(again.error)

    report = await run_batch(ideogram_client, [Generate("a fox")], tmp_path, retry_ambiguous=True)

    assert {JobState.DONE: 1} == report.by_state
