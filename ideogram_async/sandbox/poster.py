"""Draw a prompt as a poster of two colours: soft discs in the dark half, letters in the light one.

The poster is drawn in shades of grey, from 0 to 255, and coloured by a ramp at the end. That is fast, and the letters
keep their smooth edges.
"""

from __future__ import annotations

import colorsys
import random
from typing import TYPE_CHECKING

from ideogram_async.sandbox.lettering import font_of, set_text
from ideogram_async.sandbox.pixels import resized, shaded
from ideogram_async.sandbox.sizes import Size, named
from ideogram_async.sandbox.sketch import Sketch

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DARKEST_HALF", "background", "caption", "coloured", "letter", "ramp"]

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
