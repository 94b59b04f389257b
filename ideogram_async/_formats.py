"""Format and size in pixels of an image, read from its first bytes without decoding it."""

from __future__ import annotations

from typing import BinaryIO, TypeAlias

from attrs import frozen

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

HEADER_BYTES = 64
"""First bytes of a file that show its format."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

# C0 to CF begin a frame, except DHT, JPG and DAC.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# Markers without a length: TEM, RST0 to RST7.
JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
JPEG_END, JPEG_SCAN = 0xD9, 0xDA

# Real files have a few hundred segments. Without a bound, a file of empty segments would take seconds.
MAX_SEGMENTS = 10_000


@frozen
class Format:
    """An image format that the service accepts and returns."""

    name: str
    extension: str
    content_type: str


PNG = Format("PNG", "png", "image/png")
JPEG = Format("JPEG", "jpg", "image/jpeg")
WEBP = Format("WebP", "webp", "image/webp")
FORMATS = (PNG, JPEG, WEBP)
SUFFIXES = frozenset({".jpeg", *(f".{each.extension}" for each in FORMATS)})
"""Ends of the names of image files, in lower case."""


def sniff(head: bytes) -> Format | None:
    """Return the format of a file from its first 12 bytes; `None` if it is not PNG, JPEG or WebP."""
    if head.startswith(PNG_SIGNATURE):
        return PNG

    if head.startswith(JPEG_SIGNATURE):
        return JPEG

    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP

    return None


def read_size(file: BinaryIO) -> Size | None:
    """Return width and height from the header of a PNG, JPEG or WebP file; `None` if it contains none.

    Reads a few bytes at a time from the current position, which is undefined afterwards. The file must be seekable.

    Raises:
        OSError: If the file cannot be read. Invalid content never raises.
    """
    head = file.read(30)
    match sniff(head):
        case Format("PNG"):
            return png_size(head)
        case Format("JPEG"):
            file.seek(2 - len(head), 1)
            return _search_jpeg(file)
        case Format("WebP"):
            return webp_size(head)
        case _:
            return None


def png_size(head: bytes) -> Size | None:
    """Return the size from a PNG file's first 24 bytes."""
    if len(head) < 24 or head[12:16] != b"IHDR":
        return None

    return _size(int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))


def jpeg_size(frame: bytes) -> Size | None:
    """Return the size from the first five bytes of a JPEG frame header, after its length."""
    return _size(int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big"))


def webp_size(head: bytes) -> Size | None:
    """Return the size from a WebP file's first 30 bytes, or 25 if it is lossless."""
    if len(head) >= 30 and head[12:16] == b"VP8X":
        return _size(1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little"))

    if len(head) >= 25 and head[12:16] == b"VP8L" and head[20] == 0x2F:
        packed = int.from_bytes(head[21:25], "little")
        return _size(1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF))

    if len(head) >= 30 and head[12:16] == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        # The upper two bits of each are the scale.
        width, height = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
        return _size(width & 0x3FFF, height & 0x3FFF)

    return None


def is_webp_picture(chunk_type: bytes, head: bytes, length: int) -> bool:
    """Return whether a chunk of a WebP file, with its first 10 bytes, contains a picture."""
    if chunk_type == b"VP8L":
        return length > 5 and head[0] == 0x2F

    # The first three bytes of a lossy picture contain the length of its first part.
    part = int.from_bytes(head[:3], "little") >> 5
    return chunk_type == b"VP8 " and head[3:6] == b"\x9d\x01\x2a" and 10 + part <= length


def _search_jpeg(file: BinaryIO) -> Size | None:
    """Read the segments after the first marker up to the frame header, which may come late."""
    for _ in range(MAX_SEGMENTS):
        marker = _next_marker(file)
        if marker is None or marker in (JPEG_END, JPEG_SCAN):
            return None

        if marker in JPEG_STANDALONE:
            continue

        length = int.from_bytes(file.read(2), "big")
        if length < 2:
            return None

        if marker in JPEG_FRAMES:
            return jpeg_size(file.read(5))

        file.seek(length - 2, 1)

    return None


def _next_marker(file: BinaryIO) -> int | None:
    """Read a marker. Any number of FF bytes may precede its code."""
    if file.read(1) != b"\xff":
        return None

    for _ in range(MAX_SEGMENTS):
        code = file.read(1)
        if code != b"\xff":
            return code[0] if code else None

    return None


def _size(width: int, height: int) -> Size | None:
    return (width, height) if width and height else None
