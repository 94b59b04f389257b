"""Reads a stream that comes in chunks, step by step, without gathering it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator
from typing import TypeAlias, TypeVar

__all__ = ["Chunks", "Walk"]

T = TypeVar("T")

Walk: TypeAlias = Generator[None, bytes, T]
"""A reader that asks for more with a bare `yield`, and is sent the next chunk."""


class Chunks:
    """The bytes at hand. It keeps one chunk, and what a step needs beyond it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0

    @property
    def at_hand(self) -> bytes:
        """What was not taken yet."""
        return self._buffer[self._at :]

    def peek(self, size: int) -> Walk[bytes]:
        """Return the next bytes, and leave them there."""
        while len(self._buffer) - self._at < size:
            yield from self._more()

        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> Walk[bytes]:
        """Return the next bytes."""
        taken = yield from self.peek(size)
        self._at += size
        return taken

    def skip(self, size: int, checksum: int = 0) -> Walk[int]:
        """Pass over so many bytes, and return their running checksum."""
        while True:
            passed = memoryview(self._buffer)[self._at : self._at + size]
            checksum = zlib.crc32(passed, checksum)
            self._at += len(passed)
            size -= len(passed)
            if not size:
                return checksum

            yield from self._more()

    def skip_to(self, pair: re.Pattern[bytes]) -> Walk[None]:
        """Pass over everything before the first two bytes that match, which begin with FF."""
        while (found := pair.search(self._buffer, self._at)) is None:
            # An FF at the end may be the first half of the pair.
            self._at = len(self._buffer) - self._buffer.endswith(b"\xff", self._at)
            yield from self._more()

        self._at = found.start()

    def _more(self) -> Walk[None]:
        rest = self.at_hand
        self._buffer = rest + (yield)
        self._at = 0
