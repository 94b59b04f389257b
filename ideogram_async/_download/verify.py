"""Tells a whole image from one that was cut or damaged, while it arrives and without decoding it.

A connection that is cut can look like a regular end: a body without a declared length, or a compressed one, reads as
complete. So the image itself has to say where it ends. PNG carries a checksum for each chunk, so every flipped bit
shows; JPEG and WebP have only their verifier.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator
from typing import TypeAlias, TypeVar

from ideogram_async._formats import (
    JPEG,
    JPEG_END,
    JPEG_FRAMES,
    JPEG_SCAN,
    JPEG_SIGNATURE,
    JPEG_STANDALONE,
    PNG,
    PNG_SIGNATURE,
    Format,
    Size,
    jpeg_size,
    png_size,
    sniff,
    webp_size,
)
from ideogram_async.errors import ImageTooLargeError, NotAnImageError, TruncatedImageError

T = TypeVar("T")

Parser: TypeAlias = Generator[None, bytes, T]

"""A reader that asks for more with a bare `yield`, and is sent the next chunk."""


class ByteCursor:
    """The bytes at hand. It keeps one chunk, and what a step needs beyond it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0

    @property
    def at_hand(self) -> bytes:
        """What was not taken yet."""
        return self._buffer[self._at :]

    def peek(self, size: int) -> Parser[bytes]:
        """Return the next bytes, and leave them there."""
        while len(self._buffer) - self._at < size:
            yield from self._more()

        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> Parser[bytes]:
        """Return the next bytes."""
        taken = yield from self.peek(size)
        self._at += size
        return taken

    def skip(self, size: int, checksum: int = 0) -> Parser[int]:
        """Pass over so many bytes, and return their running checksum."""
        while True:
            passed = memoryview(self._buffer)[self._at : self._at + size]
            checksum = zlib.crc32(passed, checksum)
            self._at += len(passed)
            size -= len(passed)
            if not size:
                return checksum

            yield from self._more()

    def skip_to(self, pair: re.Pattern[bytes]) -> Parser[None]:
        """Pass over everything before the first two bytes that match, which begin with FF."""
        while (found := pair.search(self._buffer, self._at)) is None:
            # An FF at the end may be the first half of the pair.
            self._at = len(self._buffer) - self._buffer.endswith(b"\xff", self._at)
            yield from self._more()

        self._at = found.start()

    def _more(self) -> Parser[None]:
        rest = self.at_hand
        self._buffer = rest + (yield)
        self._at = 0


MAX_PIXELS = 100_000_000

"""An image with more is refused: whoever opened it would need gigabytes."""

# In compressed data FF is followed by 00, by a restart marker, or by another FF; anything else is a marker.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)

# A stuffed zero outside compressed data, and a second beginning.
_MISPLACED = frozenset({0x00, 0xD8})

# Real images have some thousand chunks or segments; a file of empty ones would keep the event loop busy.
_MOST_PARTS = 100_000


class ImageVerifier:
    """Checks one image chunk by chunk, in constant memory.

    Bytes after the image's end are tolerated. The errors carry `link`.
    """

    def __init__(self, link: str | None = None) -> None:
        self._link = link
        self._cursor = ByteCursor()
        self._format: Format | None = None
        self._is_whole = False
        self._parts = 0
        self._parser = self._image()
        next(self._parser)

    @property
    def format(self) -> Format | None:
        """The image's format, once its first twelve bytes have come."""
        return self._format

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            NotAnImageError: If the first bytes are those of no known format.
            TruncatedImageError: If the image is damaged.
            ImageTooLargeError: If its header tells more than `MAX_PIXELS`.
        """
        if not self._is_whole and chunk:
            try:
                self._parser.send(chunk)
            except StopIteration:
                self._is_whole = True

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            NotAnImageError: If nothing came, or too little to tell, and it does not begin like an image.
            TruncatedImageError: If the image has not come to its end.
        """
        if self._is_whole:
            return

        if self._format is None and not _may_begin(self._cursor.at_hand):
            raise self._not_an_image()

        raise TruncatedImageError(f"the image ends early{self._source}", url=self._link)

    def _image(self) -> Parser[None]:
        head = yield from self._cursor.peek(12)
        self._format = sniff(head)
        if self._format is None:
            raise self._not_an_image()

        if self._format is PNG:
            yield from self._png()
        elif self._format is JPEG:
            yield from self._jpeg()
        else:
            yield from self._webp()

    def _png(self) -> Parser[None]:
        self._judge(png_size((yield from self._cursor.peek(24))))
        yield from self._cursor.take(len(PNG_SIGNATURE))
        kind = b""
        while kind != b"IEND":
            self._count()
            head = yield from self._cursor.take(8)
            kind = head[4:]
            checksum = yield from self._cursor.skip(int.from_bytes(head[:4], "big"), zlib.crc32(kind))
            if checksum != int.from_bytes((yield from self._cursor.take(4)), "big"):
                raise self._damaged(f"the checksum of its {kind!r} chunk is wrong")

    def _jpeg(self) -> Parser[None]:
        yield from self._cursor.take(2)
        has_scan = False
        while (marker := (yield from self._marker())) != JPEG_END:
            self._count()
            if marker in JPEG_STANDALONE:
                continue

            if marker in _MISPLACED:
                raise self._damaged(f"marker {marker:#x} stands where it cannot")

            length = int.from_bytes((yield from self._cursor.take(2)), "big") - 2
            if length < (6 if marker in JPEG_FRAMES else 0):
                raise self._damaged(f"segment {marker:#x} has an impossible length")

            if marker in JPEG_FRAMES:
                self._judge(jpeg_size((yield from self._cursor.peek(5))))

            yield from self._cursor.skip(length)
            if marker == JPEG_SCAN:
                has_scan = True
                yield from self._cursor.skip_to(_MARKER_IN_SCAN)

        if not has_scan:
            raise self._damaged("it holds no picture")

    def _webp(self) -> Parser[None]:
        head = yield from self._cursor.peek(12)
        # The length does not count itself and what stands before it.
        length = 8 + int.from_bytes(head[4:8], "little")
        self._judge(webp_size((yield from self._cursor.peek(min(length, 30)))))
        yield from self._cursor.skip(length)

    def _marker(self) -> Parser[int]:
        if (yield from self._cursor.take(1)) != b"\xff":
            raise self._damaged("a marker is missing")

        code = 0xFF
        while code == 0xFF:
            code = (yield from self._cursor.take(1))[0]

        return code

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise self._damaged(f"it has more than {_MOST_PARTS:,} parts")

    def _judge(self, size: Size | None) -> None:
        if size is None:
            raise self._damaged("its header tells no size")

        width, height = size
        if width * height > MAX_PIXELS:
            raise ImageTooLargeError(
                f"the image has {width} x {height} pixels, more than {MAX_PIXELS:,}{self._source}", url=self._link
            )

    def _damaged(self, reason: str) -> TruncatedImageError:
        return TruncatedImageError(f"the image is damaged, {reason}{self._source}", url=self._link)

    def _not_an_image(self) -> NotAnImageError:
        return NotAnImageError(f"this is no PNG, JPEG or WebP file{self._source}", url=self._link)

    @property
    def _source(self) -> str:
        return f": {self._link}" if self._link else ""


def _may_begin(head: bytes) -> bool:
    """Tell whether an image can begin with so few bytes."""
    if not head:
        return False

    riff = head[:4] == b"RIFF"[: len(head)] and head[8:] == b"WEBP"[: max(0, len(head) - 8)]
    return riff or any(mark.startswith(head[: len(mark)]) for mark in (PNG_SIGNATURE, JPEG_SIGNATURE))
