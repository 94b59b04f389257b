"""Formats and sizes of images, from their first bytes."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.origin import picture, png

from ideogram_async._formats import JPEG, PNG, WEBP, Format, read_size, sniff

KINDS = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP}


@pytest.mark.parametrize("kind", KINDS)
def test_sniff(kind: str) -> None:
    """The format is detected from twelve bytes."""
    assert KINDS[kind] == sniff(picture(kind)[:12])


@pytest.mark.parametrize("head", [b"", b"GIF89a", b"RIFFxxxxWAVE", b"\x89PNG"])
def test_sniff_nothing(head: bytes) -> None:
    """Anything else has no format."""
    assert None is sniff(head)


def draw(kind: str, size: tuple[int, int], **options: bool) -> bytes:
    """Return an image of one color."""
    file = BytesIO()
    Image.new("RGB", size, "teal").save(file, kind, **options)
    return file.getvalue()


def draw_extended(size: tuple[int, int]) -> bytes:
    """Return a WebP file with the extended header."""
    file = BytesIO()
    frames = [Image.new("RGBA", size, color) for color in ("#ff000080", "#0000ff80")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (640, 480), (5000, 3)])
def test_read_size(size: tuple[int, int]) -> None:
    """Width and height are read from every kind of header."""
    images = [
        draw("PNG", size),
        draw("JPEG", size),
        draw("JPEG", size, progressive=True),
        draw("WEBP", size),
        draw("WEBP", size, lossless=True),
        draw_extended(size),
    ]

    assert [size] * 6 == [read_size(BytesIO(image)) for image in images]


def test_read_size_late_frame() -> None:
    """A JPEG's frame header may follow megabytes of profiles, thumbnails and padding."""
    whole = picture("JPEG")
    segment = b"\xff\xe2\xff\xff" + whole.ljust(65533, b"\xff")[:65533]

    assert (96, 96) == read_size(BytesIO(whole[:2] + segment * 40 + b"\xff\x01\xff\xff" + whole[2:]))


def test_read_size_in_the_middle() -> None:
    """Reading begins at the current position of the file."""
    file = BytesIO(b"header" + picture("JPEG"))
    file.seek(6)

    assert (96, 96) == read_size(file)


GARBAGE = {
    "empty": b"",
    "text": b"not an image at all, but long enough to be read",
    "png truncated": png()[:20],
    "png without a header": png()[:12] + b"IDAT" + bytes(20),
    "png of no width": png(0, 8),
    "jpeg truncated": picture("JPEG")[:30],
    "jpeg ends": b"\xff\xd8\xff\xe0\0\x02\xff\xd9" + bytes(30),
    "jpeg scan without a frame": b"\xff\xd8\xff\xda\0\x02" + bytes(30),
    "jpeg short length": b"\xff\xd8\xff\xe0\0\x01" + bytes(30),
    "jpeg lost marker": b"\xff\xd8\xff\xe0\0\x02xx" + bytes(30),
    "jpeg all padding": b"\xff\xd8" + b"\xff" * 30_000,
    "jpeg ends in padding": b"\xff\xd8" + b"\xff" * 30,
    "jpeg of empty segments": b"\xff\xd8" + b"\xff\xe0\0\x02" * 20_000,
    "webp truncated": picture("WEBP")[:20],
    "webp of an unknown kind": b"RIFF\x40\0\0\0WEBPXXXX" + bytes(60),
    "webp without a start code": b"RIFF\x40\0\0\0WEBPVP8 " + bytes(60),
    "webp lossless without a signature": b"RIFF\x40\0\0\0WEBPVP8L" + bytes(60),
}


@pytest.mark.parametrize("image", GARBAGE.values(), ids=GARBAGE.keys())
def test_read_size_garbage(image: bytes) -> None:
    """Invalid data has no size."""
    assert None is read_size(BytesIO(image))


@given(
    head=st.sampled_from([b"", picture("PNG")[:16], b"\xff\xd8\xff", b"RIFF1234WEBPVP8"]), rest=st.binary(max_size=300)
)
def test_read_size_never_raises(head: bytes, rest: bytes) -> None:
    """No content raises an error."""
    size = read_size(BytesIO(head + rest))

    assert size is None or min(size) > 0


def test_formats() -> None:
    """Each format has its extension and media type."""
    assert Format("WebP", "webp", "image/webp") == WEBP
