"""Draw what a recipe says, always into the same bytes."""

from __future__ import annotations

import colorsys
import io
import random
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from ideogram_async.sandbox.recipe import Size, Sketch, named

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = [
    "DARKEST_HALF",
    "Lines",
    "background",
    "caption",
    "coloured",
    "draw",
    "font_of",
    "letter",
    "ramp",
    "resized",
    "set_text",
    "shaded",
    "suffix_of",
]


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Give an image in another size, smoothly."""
    return image.resize(size)  # pyright: ignore[reportUnknownMemberType]


def shaded(image: Image, shade: Callable[[int], float]) -> Image:
    """Give an image of greys with each of the 256 shades replaced."""
    return image.point([round(shade(grey)) for grey in range(256)])  # pyright: ignore[reportUnknownMemberType]


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


DARKEST_HALF = 140

"""Shades up to here belong to the background, so that letters stay readable on it."""

_LETTERS = 255

_DISCS = 7

# The background is drawn small and enlarged, which is quick and smooths the edges of the discs.
_COARSE = 4


def _random(sketch: Sketch) -> random.Random:
    return random.Random(f"{sketch.verb}:{sketch.seed}")


def ramp(sketch: Sketch) -> list[int]:
    """Give the colours of the 256 shades: dark, then vivid, then cream; flat, as a palette wants them."""
    hue = _random(sketch).random()
    stops = (
        (0, colorsys.hls_to_rgb(hue, 0.13, 0.55)),
        (DARKEST_HALF, colorsys.hls_to_rgb((hue + 0.12) % 1.0, 0.46, 0.62)),
        (_LETTERS, (1.0, 0.976, 0.925)),
    )
    return [channel for shade in range(256) for channel in _between(stops, shade)]


def _between(stops: tuple[tuple[int, tuple[float, ...]], ...], shade: int) -> tuple[int, ...]:
    low, high = (stops[0], stops[1]) if shade <= stops[1][0] else (stops[1], stops[2])
    share = (shade - low[0]) / (high[0] - low[0])
    return tuple(round(255 * (a + (b - a) * share)) for a, b in zip(low[1], high[1], strict=True))


def background(sketch: Sketch, size: Size) -> Image:
    """Draw the discs on a gradient, in shades of grey."""
    from PIL import Image, ImageDraw, ImageFilter

    dice = _random(sketch)
    width, height = max(size[0] // _COARSE, 1), max(size[1] // _COARSE, 1)
    coarse = shaded(resized(Image.linear_gradient("L"), (width, height)), lambda grey: grey * 0.3)
    pen = ImageDraw.Draw(coarse)

    for index in range(_DISCS):
        radius = dice.uniform(0.12, 0.42) * min(width, height)
        x, y = dice.uniform(0, width), dice.uniform(0, height)
        shade = 25 + index * (DARKEST_HALF - 35) // _DISCS
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade)

    return resized(coarse.filter(ImageFilter.GaussianBlur(1.2)), size)


def letter(canvas: Image, sketch: Sketch) -> None:
    """Write the prompt large, from the left, in the middle of the canvas."""
    from PIL import ImageDraw

    width, height = canvas.size
    margin = width // 12
    lines, size = set_text(sketch.prompt, width - 2 * margin, int(height * 0.68))
    leading = size * 1.25
    top = (height * 0.94 - leading * len(lines)) / 2
    pen = ImageDraw.Draw(canvas)

    for index, line in enumerate(lines):
        pen.text((margin, top + index * leading), line, fill=_LETTERS, font=font_of(size))


def caption(canvas: Image, sketch: Sketch) -> None:
    """Write what was done, in which size and with which seed, along the lower edge."""
    from PIL import ImageDraw

    width, height = canvas.size
    size = max(min(width, height) // 30, 8)
    text = f"{sketch.verb}  ·  {named(sketch.size)}  ·  seed {sketch.seed}"
    pen = ImageDraw.Draw(canvas)
    pen.text((width // 12, height - 2.4 * size), text, fill=200, font=font_of(size))


def coloured(canvas: Image, sketch: Sketch) -> Image:
    """Put the ramp on shades of grey; the canvas itself is changed and returned."""
    canvas.putpalette(ramp(sketch))
    return canvas


# Quick settings: the images are looked at and thrown away.
_ENCODING: dict[str, dict[str, int]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 88},
    "WEBP": {"quality": 82, "method": 1},
}


def _format_of(sketch: Sketch, image_format: str) -> str:
    """Give the format an image is really in: JPEG has no transparency."""
    return "PNG" if sketch.is_transparent and image_format == "JPEG" else image_format


def suffix_of(sketch: Sketch, image_format: str) -> str:
    """Give the end of the image's file name."""
    return _format_of(sketch, image_format).lower()


def draw(sketch: Sketch, image_format: str) -> bytes:
    """Draw an image and encode it."""
    file_format = _format_of(sketch, image_format)
    image = _drawn(sketch)

    if file_format != "PNG" and image.mode == "P":
        image = image.convert("RGB")

    buffer = io.BytesIO()
    image.save(buffer, file_format, **_ENCODING[file_format])
    return buffer.getvalue()


def _drawn(sketch: Sketch) -> Image:
    return _VERBS.get(sketch.verb, _poster)(sketch)


def _poster(sketch: Sketch) -> Image:
    canvas = background(sketch, sketch.size)
    letter(canvas, sketch)
    caption(canvas, sketch)
    return coloured(canvas, sketch)


def _sticker(sketch: Sketch) -> Image:
    """Draw the poster with round corners on nothing."""
    from PIL import Image, ImageDraw

    image = _poster(sketch).convert("RGBA")
    alpha = Image.new("L", image.size, 0)
    edge = image.width // 32
    frame = (edge, edge, image.width - 1 - edge, image.height - 1 - edge)
    ImageDraw.Draw(alpha).rounded_rectangle(frame, radius=image.width // 10, fill=255)
    image.putalpha(alpha)
    return image


def _remix(sketch: Sketch) -> Image:
    """Draw the prompt over the input image, whose shades become the background's."""
    from PIL import ImageOps

    greys = ImageOps.fit(_source(sketch).convert("L"), sketch.size)
    canvas = shaded(greys, lambda grey: grey * DARKEST_HALF / 255)
    letter(canvas, sketch)
    caption(canvas, sketch)
    return coloured(canvas, sketch)


def _inpaint(sketch: Sketch) -> Image:
    """Keep the input image where the mask is white, and draw the prompt where it is black."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(sketch.mask or b"")) as mask:
        kept = shaded(ImageOps.fit(mask.convert("L"), sketch.size), lambda grey: 255 if grey > 127 else 0)

    source = ImageOps.fit(_source(sketch).convert("RGB"), sketch.size)
    return Image.composite(source, _poster(sketch).convert("RGB"), kept)


def _reframe(sketch: Sketch) -> Image:
    """Set the whole input image on a new background."""
    from PIL import ImageOps

    image = _scenery(sketch)
    inset = ImageOps.contain(_source(sketch).convert("RGB"), (image.width * 4 // 5, image.height * 4 // 5))
    image.paste(inset, ((image.width - inset.width) // 2, (image.height - inset.height) // 2))
    return image


def _replace_background(sketch: Sketch) -> Image:
    """Keep an oval of the input image in front of the drawn prompt."""
    from PIL import ImageOps

    image = _poster(sketch).convert("RGB")
    subject = ImageOps.fit(_source(sketch).convert("RGB"), (image.width * 2 // 5, image.height * 2 // 5))
    image.paste(subject, (image.width * 4 // 7, image.height * 4 // 7), _oval(subject.size))
    return image


def _remove_background(sketch: Sketch) -> Image:
    image = _source(sketch).convert("RGBA")
    image.putalpha(_oval(image.size))
    return image


def _edit(sketch: Sketch) -> Image:
    """Draw the prompt over the input image; on nothing, if that was asked for."""
    image = _remix(sketch)

    if not sketch.is_transparent:
        return image

    image = image.convert("RGBA")
    image.putalpha(_oval(image.size))
    return image


def _upscale(sketch: Sketch) -> Image:
    return resized(_source(sketch).convert("RGB"), sketch.size)


def _original(sketch: Sketch) -> Image:
    return _source(sketch).convert("RGB")


def _base(sketch: Sketch) -> Image:
    """Blur the middle of the input image, as if a text had been there."""
    from PIL import ImageFilter

    image = _source(sketch).convert("RGB")
    box = (0, image.height // 4, image.width, max(image.height * 3 // 4, 1))
    image.paste(image.crop(box).filter(ImageFilter.GaussianBlur(max(image.width // 24, 2))), box)
    return image


def _scenery(sketch: Sketch) -> Image:
    canvas = background(sketch, sketch.size)
    caption(canvas, sketch)
    return coloured(canvas, sketch).convert("RGB")


def _source(sketch: Sketch) -> Image:
    """Open the input image; where there is none, or only half of one, a background stands for it."""
    from PIL import Image

    if isinstance(sketch.source, Sketch):
        return _drawn(sketch.source)

    try:
        with Image.open(io.BytesIO(sketch.source or b"")) as image:
            image.load()
            return image.copy()
    except (OSError, SyntaxError, ValueError):
        return background(sketch, sketch.size)


def _oval(size: tuple[int, int]) -> Image:
    from PIL import Image, ImageDraw

    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
    return mask


_VERBS: dict[str, Callable[[Sketch], Image]] = {
    "generate-transparent": _sticker,
    "remix": _remix,
    "inpaint": _inpaint,
    "reframe": _reframe,
    "replace-background": _replace_background,
    "remove-background": _remove_background,
    "edit": _edit,
    "upscale": _upscale,
    "original": _original,
    "base": _base,
}
