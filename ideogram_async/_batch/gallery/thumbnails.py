"""Thumbnails of the stored images of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from ideogram_async._download.atomic import atomic_write

THUMBNAILS = "thumbnails"
THUMBNAIL_SIZE = 480
"""Maximum width and height in pixels."""

FORMATS = ("JPEG", "PNG", "WEBP")
NOT_SHOWN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Errors of Pillow for an image that cannot be shown."""


def make_thumbnail(image: Path, name: str, folder: Path) -> tuple[int, int] | None:
    """Write `thumbnails/<name>.webp` unless it is up to date. Blocks; Pillow releases the interpreter's lock.

    Returns:
        The size of the thumbnail, or `None` if the image cannot be shown.
    """
    # A manipulated journal must not read an image elsewhere.
    if not image.resolve().is_relative_to(folder.resolve()):
        return None

    try:
        since = image.stat().st_mtime_ns
    except OSError:
        return None

    return shrink(lambda: image, name, folder, since=since)


def shrink(read: Callable[[], Path | BytesIO], name: str, folder: Path, *, since: int = 0) -> tuple[int, int] | None:
    """Write a thumbnail like `make_thumbnail`.

    Args:
        read: Returns the image. Called if there is no thumbnail, or only one from before `since`.
        name: The name of the thumbnail.
        folder: The folder of the page.
        since: The time of the image in nanoseconds.
    """
    # The name becomes a path: a manipulated journal must not choose its folder.
    if not re.fullmatch(r"\w{1,64}-\d+", name):
        return None

    target = folder / THUMBNAILS / f"{name}.webp"
    try:
        if target.exists() and target.stat().st_mtime_ns >= since:
            with Image.open(target, formats=("WEBP",)) as existing:
                return existing.size

        thumbnail = _shrink(read())
    except NOT_SHOWN:
        return None

    with atomic_write(target) as file:
        thumbnail.save(file, "WEBP", quality=80, method=2)

    return thumbnail.size


def _shrink(source: Path | BytesIO) -> Image.Image:
    with Image.open(source, formats=FORMATS) as image:
        # A JPEG is decoded at a fraction of its size if that is enough.
        image.draft("RGB", (2 * THUMBNAIL_SIZE, 2 * THUMBNAIL_SIZE))
        image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), reducing_gap=2.0)
        upright = ImageOps.exif_transpose(image)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
