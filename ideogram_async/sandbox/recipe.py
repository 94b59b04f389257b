"""Recipes of images: the few values from which an image is drawn."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TypeAlias

from attrs import field, frozen

from ideogram_async.sandbox.contract import Fields, find_schema

Size: TypeAlias = tuple[int, int]


@frozen
class Recipe:
    """The values that determine an image.

    A sandbox stores recipes and draws on demand, so that thousands of images take little memory.
    """

    action: str
    """The operation that made the image, such as `generate` or `remix`."""
    prompt: str
    seed: int
    size: Size
    source: bytes | Recipe | None = field(default=None, repr=False)
    """The input image: uploaded, or made earlier by the same sandbox."""
    mask: bytes | None = field(default=None, repr=False)
    is_transparent: bool = False


def requested_size(fields: Fields, source: Size | None) -> Size:
    """Return the size of the images that a request makes: as requested, or close to the shape of its input image."""
    size = parse_size(fields.get("size") or "")
    if size or fields.get("size") == "source":
        return size or source or (1024, 1024)
    if "resolution" in fields:
        return _parse_pair(fields["resolution"])
    if fields.get("aspect_ratio", "auto") != "auto":
        return nearest_resolution(_parse_pair(fields["aspect_ratio"]))

    return nearest_resolution(source or (1, 1))


def parse_size(text: str) -> Size | None:
    """Parse a size such as `1024x768`; return `None` for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    return (int(match[1]), int(match[2])) if match else None


@lru_cache(maxsize=128)
def nearest_resolution(shape: Size) -> Size:
    """Return the largest resolution of the contract among those with the nearest aspect ratio."""
    ratio = math.log(shape[0] / shape[1])
    sizes = map(_parse_pair, find_schema("ResolutionV3")["enum"])
    return min(sizes, key=lambda size: (round(abs(math.log(size[0] / size[1]) - ratio), 3), -size[0] * size[1]))


def _parse_pair(text: str) -> Size:
    """Parse two numbers: `16x9`, `ASPECT_16_9`, `1024x1024`, `RESOLUTION_1024_1024`."""
    width, height = re.findall(r"\d+", text)
    return int(width), int(height)


def format_size(size: Size) -> str:
    """Format a size as the replies do."""
    return f"{size[0]}x{size[1]}"
