"""An image that was made, as the recipe to draw it."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from ideogram_async.sandbox.contract import enumerated

__all__ = ["Size", "Sketch", "asked_size", "named", "nearest"]

Size = tuple[int, int]

_SQUARE = (1024, 1024)


def _pair(name: str) -> Size:
    """Read two numbers: `16x9`, `ASPECT_16_9`, `1024x1024`, `RESOLUTION_1024_1024`."""
    width, height = re.findall(r"\d+", name)
    return int(width), int(height)


def named(size: Size) -> str:
    """Write a size as the answers do."""
    return f"{size[0]}x{size[1]}"


@lru_cache(maxsize=128)
def nearest(shape: Size) -> Size:
    """Give the largest resolution of the contract among those whose shape comes nearest."""
    ratio = math.log(shape[0] / shape[1])
    sizes = [_pair(name) for name in enumerated("ResolutionV3")]
    return min(sizes, key=lambda size: (round(abs(math.log(size[0] / size[1]) - ratio), 3), -size[0] * size[1]))


def asked_size(fields: dict[str, Any], source: Size | None) -> Size:
    """Give the size of the images that a request makes: as it says, or after its input image."""
    if "resolution" in fields:
        return _pair(fields["resolution"])
    if "aspect_ratio" in fields:
        return nearest(_pair(fields["aspect_ratio"]))

    return nearest(source) if source else _SQUARE


@frozen
class Sketch:
    """All that the drawing of an image depends on.

    A box keeps recipes and draws on demand, so that thousands of images take little memory.
    """

    verb: str
    """What was done, such as `generate` or `remix`."""
    prompt: str
    seed: int
    size: Size
    source: bytes | Sketch | None = field(default=None, repr=False)
    """The input image: uploaded, or made earlier by the same box."""
    mask: bytes | None = field(default=None, repr=False)
    is_transparent: bool = False
