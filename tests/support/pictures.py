"""Small images, made once."""

from __future__ import annotations

import zipfile
from functools import cache
from io import BytesIO

from PIL import Image

__all__ = ["TOO_LARGE", "archive", "picture"]

TOO_LARGE = 10 * 2**20 + 1


@cache
def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB", *, length: int = 0) -> bytes:
    """Make an image of one colour, padded at its end to a length."""
    file = BytesIO()
    Image.new(mode, size, "grey").save(file, kind)
    return file.getvalue().ljust(length, b"\0")


def archive(**files: bytes) -> bytes:
    """Make a zip archive."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, body in files.items():
            made.writestr(name, body)

    return file.getvalue()
