"""Detection of truncated and damaged images while they arrive, without decoding them.

A broken connection can look like a regular end: a body without a declared length, or a compressed one, reads as
complete. So the end must be found in the image itself, and a picture before it. PNG has a checksum for each chunk, so
every flipped bit is detected; JPEG and WebP have only their structure.
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
    is_webp_picture,
    jpeg_size,
    png_size,
    sniff,
    webp_size,
)
from ideogram_async.errors import ImageTooLargeError, NotAnImageError, TruncatedImageError

T = TypeVar("T")
Parser: TypeAlias = Generator[None, bytes, T]
"""A parser pauses with a bare `yield`, and is sent the next chunk."""

MAX_PIXELS = 100_000_000
"""Decoding a larger image would take gigabytes of memory."""

# Real images have some thousand chunks or segments; a file of empty ones would keep the event loop busy.
MAX_PARTS = 100_000

# What follows FF in a marker: neither a stuffed zero nor another FF, of which any number may precede the code.
MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)

# In compressed data FF is followed by 00, by a restart marker, or by another FF; anything else is a marker.
MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
JPEG_START = 0xD8

# Deflate compresses at most 258 bytes to 2 bits.
MAX_DEFLATE_RATIO = 1032
DEFLATE_HEAD = 64
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

# Position, size and duration of an animation frame, before its chunks.
WEBP_FRAME_BYTES = 16


class ImageVerifier:
    """An incremental check of one image, in constant memory.

    Bytes after the end of the image are ignored. Errors contain `link`.
    """

    def __init__(self, link: str) -> None:
        self.format: Format | None = None
        """Format of the image, once its first twelve bytes were fed."""
        self._link = link
        self._cursor = ByteCursor()
        self._is_complete = False
        self._parts = 0
        self._parser = self._image()
        next(self._parser)

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes.

        Raises:
            NotAnImageError: If the first bytes are not those of a known format.
            TruncatedImageError: If the image is damaged.
            ImageTooLargeError: If its header declares more than `MAX_PIXELS`.
        """
        if not self._is_complete and chunk:
            try:
                self._parser.send(chunk)
            except StopIteration:
                self._is_complete = True

    def finish(self) -> None:
        """Check that the image is complete, after its last byte.

        Raises:
            NotAnImageError: If the bytes do not begin like an image.
            TruncatedImageError: If the end of the image is missing.
        """
        if self._is_complete:
            return

        if self.format is None and not _is_start_of_image(self._cursor.remaining):
            raise self._not_an_image()

        raise TruncatedImageError(f"the image is truncated: {self._link}", url=self._link)

    def _image(self) -> Parser[None]:
        self.format = sniff((yield from self._cursor.peek(12)))
        if self.format is None:
            raise self._not_an_image()

        if self.format is PNG:
            yield from self._png()
        elif self.format is JPEG:
            yield from self._jpeg()
        else:
            yield from self._webp()

    def _png(self) -> Parser[None]:
        head = yield from self._cursor.peek(26)
        width, height = self._check_size(png_size(head))
        pixel_bytes = width * height * head[24] * PNG_CHANNELS.get(head[25], 1) // 8
        data_bytes = 0
        yield from self._cursor.skip(len(PNG_SIGNATURE))
        chunk_type = b""
        while chunk_type != b"IEND":
            self._count_part()
            head = yield from self._cursor.read(8)
            length, chunk_type = int.from_bytes(head[:4], "big"), head[4:]
            if chunk_type == b"IDAT" and length:
                if not data_bytes:
                    self._check_deflate((yield from self._cursor.peek(min(length, DEFLATE_HEAD))))

                data_bytes += length

            checksum = yield from self._cursor.skip(length, zlib.crc32(chunk_type))
            if checksum != int.from_bytes((yield from self._cursor.read(4)), "big"):
                raise self._damaged(f"wrong checksum of its {chunk_type!r} chunk")

        if data_bytes * MAX_DEFLATE_RATIO < max(pixel_bytes, 1):
            raise self._damaged("too little image data")

    def _check_deflate(self, data: bytes) -> None:
        """Check the start of the pixels of a PNG: most damage shows in the first bytes of compressed data."""
        try:
            zlib.decompressobj().decompress(data, DEFLATE_HEAD)
        except zlib.error:
            raise self._damaged("invalid image data") from None

    def _jpeg(self) -> Parser[None]:
        yield from self._cursor.skip(2)
        has_frame = False
        data_bytes = 0
        while (marker := (yield from self._marker())) != JPEG_END:
            self._count_part()
            if marker in JPEG_STANDALONE:
                continue

            if marker == JPEG_START or (marker == JPEG_SCAN and not has_frame):
                raise self._damaged(f"misplaced marker {marker:#x}")

            length = int.from_bytes((yield from self._cursor.read(2)), "big") - 2
            if length < (6 if marker in JPEG_FRAMES else 0):
                raise self._damaged(f"invalid length of segment {marker:#x}")

            if marker in JPEG_FRAMES:
                has_frame = True
                self._check_size(jpeg_size((yield from self._cursor.peek(5))))

            yield from self._cursor.skip(length)
            if marker == JPEG_SCAN:
                data_bytes += yield from self._cursor.skip_to(MARKER_IN_SCAN)

        if not data_bytes:
            raise self._damaged("no image data")

    def _webp(self) -> Parser[None]:
        head = yield from self._cursor.peek(12)
        # The declared length excludes the first eight bytes.
        length = 8 + int.from_bytes(head[4:8], "little")
        self._check_size(webp_size((yield from self._cursor.peek(min(length, 30)))))
        yield from self._cursor.skip(12)
        if not (yield from self._webp_chunks(length - 12)):
            raise self._damaged("no image data")

    def _webp_chunks(self, remaining: int, *, is_frame: bool = False) -> Parser[bool]:
        """Read the chunks of a file or of an animation frame; return whether one of them is a picture."""
        has_picture = False
        while remaining >= 8:
            self._count_part()
            head = yield from self._cursor.read(8)
            chunk_type, length = head[:4], int.from_bytes(head[4:], "little")
            remaining -= 8
            if length > remaining:
                raise self._damaged(f"its {chunk_type!r} chunk is longer than the space for it")

            if chunk_type == b"ANMF" and not is_frame and length >= WEBP_FRAME_BYTES:
                yield from self._cursor.skip(WEBP_FRAME_BYTES)
                has_picture |= yield from self._webp_chunks(length - WEBP_FRAME_BYTES, is_frame=True)
            else:
                has_picture |= is_webp_picture(chunk_type, (yield from self._cursor.peek(min(length, 10))), length)
                yield from self._cursor.skip(length)

            # A chunk of odd length is padded, except by some writers at the end.
            remaining -= length
            padding = min(length & 1, remaining)
            yield from self._cursor.skip(padding)
            remaining -= padding

        yield from self._cursor.skip(remaining)
        return has_picture

    def _marker(self) -> Parser[int]:
        # Decoders ignore stray bytes between segments, and real files contain them.
        yield from self._cursor.skip_to(MARKER)
        return (yield from self._cursor.read(2))[1]

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise self._damaged(f"more than {MAX_PARTS:,} parts")

    def _check_size(self, size: Size | None) -> Size:
        if size is None:
            raise self._damaged("no size in its header")

        width, height = size
        if width * height > MAX_PIXELS:
            message = f"the image has {width} x {height} pixels, more than {MAX_PIXELS:,}: {self._link}"
            raise ImageTooLargeError(message, url=self._link)

        return size

    def _damaged(self, reason: str) -> TruncatedImageError:
        return TruncatedImageError(f"the image is damaged, {reason}: {self._link}", url=self._link)

    def _not_an_image(self) -> NotAnImageError:
        return NotAnImageError(f"not a PNG, JPEG or WebP file: {self._link}", url=self._link)


class ByteCursor:
    """A position in a sequence of chunks. It keeps the last chunk and what a step needs before it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0

    @property
    def remaining(self) -> bytes:
        """The bytes after the position that have arrived."""
        return self._buffer[self._position :]

    def peek(self, size: int) -> Parser[bytes]:
        """Return the next bytes without moving."""
        while len(self._buffer) - self._position < size:
            yield from self._receive()

        return self._buffer[self._position : self._position + size]

    def read(self, size: int) -> Parser[bytes]:
        block = yield from self.peek(size)
        self._position += size
        return block

    def skip(self, size: int, checksum: int = 0) -> Parser[int]:
        """Move forward and return the running checksum of the skipped bytes."""
        while True:
            block = memoryview(self._buffer)[self._position : self._position + size]
            checksum = zlib.crc32(block, checksum)
            self._position += len(block)
            size -= len(block)
            if not size:
                return checksum

            yield from self._receive()

    def skip_to(self, pair: re.Pattern[bytes]) -> Parser[int]:
        """Move to the first two bytes that match, which begin with FF, and return how many were skipped."""
        skipped = 0
        while (match := pair.search(self._buffer, self._position)) is None:
            # An FF at the end may be the first half of the pair.
            end = len(self._buffer) - self._buffer.endswith(b"\xff", self._position)
            skipped += end - self._position
            self._position = end
            yield from self._receive()

        skipped += match.start() - self._position
        self._position = match.start()
        return skipped

    def _receive(self) -> Parser[None]:
        remaining = self.remaining
        self._buffer = remaining + (yield)
        self._position = 0


def _is_start_of_image(head: bytes) -> bool:
    """Return whether an image can begin with these bytes, fewer than twelve."""
    if not head:
        return False

    is_webp = head[:4] == b"RIFF"[: len(head)] and head[8:] == b"WEBP"[: max(0, len(head) - 8)]
    return is_webp or any(mark.startswith(head[: len(mark)]) for mark in (PNG_SIGNATURE, JPEG_SIGNATURE))
