"""Small images."""

from __future__ import annotations

import zipfile
from functools import cache
from io import BytesIO

from PIL import Image

__all__ = ["TOO_LARGE", "archive", "mask", "picture"]

TOO_LARGE = 10 * 2**20 + 1


@cache
def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB", *, length: int = 0) -> bytes:
    """Return an image of one color, padded at its end to a length."""
    file = BytesIO()
    Image.new(mode, size, "gray").save(file, kind)
    return file.getvalue().ljust(length, b"\0")


@cache
def mask(size: tuple[int, int] = (64, 48), *, is_white: bool = False) -> bytes:
    """Return a mask, black on its left half, or white everywhere."""
    image = Image.new("L", size, 255)
    if not is_white:
        image.paste(0, (0, 0, size[0] // 2, size[1]))

    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def archive(**files: bytes) -> bytes:
    """Return a zip archive."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, body in files.items():
            zipped.writestr(name, body)

    return file.getvalue()
