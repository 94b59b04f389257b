"""Drawing of placeholder images: the same recipe always yields the same bytes."""

from __future__ import annotations

import io
import math
import random
import textwrap
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from ideogram_async.sandbox.recipe import Recipe, Size, format_size

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

# Actions whose result is the input image without added text.
UNCAPTIONED = ("upscale", "remove-background", "original", "base")
# Quick settings: the images are placeholders.
ENCODING: dict[str, dict[str, int]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 88},
    "WEBP": {"quality": 82, "method": 1},
}


def draw(recipe: Recipe, image_format: str) -> bytes:
    """Draw an image and encode it."""
    file_format = _format_of(recipe, image_format)
    buffer = io.BytesIO()
    _draw(recipe).save(buffer, file_format, **ENCODING[file_format])
    return buffer.getvalue()


def suffix_of(recipe: Recipe, image_format: str) -> str:
    """Return the extension of the image's file name."""
    return _format_of(recipe, image_format).lower()


def _format_of(recipe: Recipe, image_format: str) -> str:
    # JPEG has no transparency.
    return "PNG" if recipe.is_transparent and image_format == "JPEG" else image_format


def _draw(recipe: Recipe) -> Image:
    from PIL import Image, ImageDraw

    source = _open(recipe.source, recipe.size)
    image = source or _background(recipe)
    if recipe.action not in UNCAPTIONED:
        _draw_text(image := _dimmed(source) if source else image, recipe)
    if source and (mask := _open(recipe.mask, recipe.size)):
        image = Image.composite(source, image, mask.convert("L").convert("1", dither=Image.Dither.NONE))
    if recipe.is_transparent:
        alpha = Image.new("L", image.size)
        ImageDraw.Draw(alpha).rounded_rectangle((0, 0, *image.size), radius=min(image.size) // 8, fill=255)
        image.putalpha(alpha)

    return image


def _open(source: bytes | Recipe | None, size: Size) -> Image | None:
    """Return an input image in the given size, or `None` if there is none that can be read."""
    from PIL import Image, ImageOps

    if isinstance(source, Recipe):
        return ImageOps.fit(_draw(source).convert("RGB"), size)

    try:
        with Image.open(io.BytesIO(source or b"")) as image:
            return ImageOps.fit(image.convert("RGB"), size)
    except (OSError, SyntaxError, ValueError):
        return None


def _dimmed(image: Image) -> Image:
    """Blur and darken an image, so that text on it is readable."""
    from PIL import Image

    return Image.blend(image.resize((12, 12)).resize(image.size), Image.new("RGB", image.size), 0.4)


def _background(recipe: Recipe) -> Image:
    """Draw discs on a gradient, in colors that follow from the seed."""
    from PIL import Image, ImageDraw, ImageOps

    rng = random.Random(f"{recipe.action}:{recipe.seed}")
    shades = Image.linear_gradient("L").resize(recipe.size)
    pen = ImageDraw.Draw(shades)
    for _ in range(5):
        x, y = (rng.randrange(side) for side in recipe.size)
        radius = rng.randrange(min(recipe.size)) // 3
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.randrange(256))

    hue = rng.randrange(360)
    return ImageOps.colorize(shades, f"hsl({hue}, 60%, 15%)", f"hsl({hue + 40}, 60%, 40%)")


def _draw_text(image: Image, recipe: Recipe) -> None:
    """Write the prompt in large letters, and a caption with the action, the size and the seed below."""
    from PIL import ImageDraw

    left, width, height = image.width // 12, image.width * 5 // 6, image.height * 2 // 3
    # Letters are about half as wide as high, so this size fills the frame.
    size = math.sqrt(width * height / (len(recipe.prompt) + 1))
    size = int(max(min(size, width / 7), min(image.size) / 28, 8))
    columns, rows = max(int(width / size / 0.55), 1), max(int(height / size / 1.3), 1)
    lines = textwrap.wrap(_without_accents(recipe.prompt), columns, max_lines=rows, placeholder="…")
    caption = f"{recipe.action}  ·  {format_size(recipe.size)}  ·  seed {recipe.seed}"

    pen = ImageDraw.Draw(image)
    pen.text((left, image.height // 12), "\n".join(lines), "white", _font(size), spacing=size // 4)
    pen.text((left, image.height * 11 // 12), caption, "white", _font(max(min(image.size) // 30, 8)))


def _without_accents(text: str) -> str:
    """Return text with the letters that Pillow's own font has: it shows others, such as é, as boxes."""
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


@lru_cache(maxsize=64)
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
