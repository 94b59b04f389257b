"""Look at uploaded images without decoding them."""

from __future__ import annotations

import io

from attrs import frozen

__all__ = ["MAX_BYTES", "Look", "look"]

MAX_BYTES = 10 * 2**20
"""The largest file the service takes."""

_FORMATS = ("JPEG", "PNG", "WEBP")
_MAX_PIXELS = 32 * 10**6


@frozen
class Look:
    """What the header of an image says."""

    format: str
    size: tuple[int, int]


def look(body: bytes) -> Look | None:
    """Read the header of a JPEG, PNG or WebP; anything else, and anything gigantic, is `None`."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(body), formats=_FORMATS) as image:
            found = Look(image.format or "", image.size)
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None

    return found if found.size[0] * found.size[1] <= _MAX_PIXELS else None
