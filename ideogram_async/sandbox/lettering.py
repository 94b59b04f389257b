"""Set a text as large as its frame allows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["Lines", "font_of", "set_text"]

Lines = tuple[str, ...]

_LEADING = 1.25
_SHRINK = 0.88


@lru_cache(maxsize=64)
def font_of(size: int) -> FreeTypeFont | ImageFont:
    """Give the typeface that comes with Pillow, in a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def set_text(text: str, width: int, height: int) -> tuple[Lines, int]:
    """Break a text into lines and find the largest size in which they fit; what never fits is cut.

    Returns:
        The lines, and the size of the letters in pixels.
    """
    size, smallest = max(width // 6, 8), max(min(width, height) // 28, 8)

    while True:
        lines = _broken(text, size, width)
        room = max(int(height / (size * _LEADING)), 1)

        if len(lines) <= room:
            return lines, size
        if size <= smallest:
            return (*lines[: room - 1], lines[room - 1][:-1] + "…"), size

        size = max(int(size * _SHRINK), smallest)


def _broken(text: str, size: int, width: int) -> Lines:
    lines: list[str] = []
    line = ""

    for word in _words(text, size, width):
        longer = f"{line} {word}" if line else word

        if line and _length(longer, size) > width:
            lines.append(line)
            line = word
        else:
            line = longer

    return (*lines, line)


def _words(text: str, size: int, width: int) -> list[str]:
    """Split a text into words, and words wider than the frame into pieces."""
    per_line = max(int(width / size), 1)
    return [
        word[start : start + per_line] if _length(word, size) > width else word
        for word in text.split()
        for start in (range(0, len(word), per_line) if _length(word, size) > width else (0,))
    ]


def _length(text: str, size: int) -> float:
    return font_of(size).getlength(text)
