"""Small pictures of the images, made once and kept beside the page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import attrs
from PIL import Image, ImageOps

from ideogram_async.batch.atomic import clear_away, replacing
from ideogram_async.gallery.cards import Card

__all__ = ["FOLDER", "illustrated", "make"]

T = TypeVar("T")
FOLDER = "thumbnails"
SIDE = 320
"""Pixels, at most, either way."""
CHUNK = 256
"""Images at a time: what waits for its thumbnail is in memory."""
FORMATS = ("JPEG", "PNG", "WEBP")


def illustrated(cards: Iterable[Card], folder: Path) -> Iterator[Card]:
    """Give each card its thumbnail, making those that are missing or older than their image. Blocks.

    Pillow lets go of the interpreter while it works, so threads share the processors.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    clear_away(folder / FOLDER)
    root = folder.resolve()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="ideogram_async thumbnails") as pool:
        for chunk in _chunks(cards):
            yield from list(pool.map(lambda card: _illustrated(card, folder, root), chunk))


def make(image: Path, target: Path) -> bool:
    """Make a thumbnail, unless there is one that is up to date. `False` if the image cannot be shown."""
    try:
        made_at = image.stat().st_mtime_ns
        if target.exists() and target.stat().st_mtime_ns >= made_at:
            return True

        small = _shrunk(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False

    with replacing(target) as file:
        small.save(file, "WEBP", quality=80, method=2)

    return True


def _illustrated(card: Card, folder: Path, root: Path) -> Card:
    path = None if card.href is None or card.image is None else card.image.path
    # The key names a file here: a journal that was tampered with must not choose where.
    if path is None or not re.fullmatch(r"\w{1,64}", card.key) or not path.resolve().is_relative_to(root):
        return card

    name = f"{FOLDER}/{card.key}-{card.number}.webp"
    if make(path, folder / name):
        return attrs.evolve(card, thumbnail=f"./{name}")

    return card if path.is_file() else attrs.evolve(card, href=None)


def _shrunk(path: Path) -> Image.Image:
    with Image.open(path, formats=FORMATS) as image:
        # A JPEG is decoded at a fraction of its size where that is enough.
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        image.thumbnail((SIDE, SIDE), reducing_gap=2.0)
        upright = ImageOps.exif_transpose(image)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, CHUNK)):
        yield chunk
