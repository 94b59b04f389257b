"""Two things Pillow does, with types that can be checked: its own speak of numpy, which is not needed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["resized", "shaded"]


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Give an image in another size, smoothly."""
    return image.resize(size)  # pyright: ignore[reportUnknownMemberType]


def shaded(image: Image, shade: Callable[[int], float]) -> Image:
    """Give an image of greys with each of the 256 shades replaced."""
    return image.point([round(shade(grey)) for grey in range(256)])  # pyright: ignore[reportUnknownMemberType]
