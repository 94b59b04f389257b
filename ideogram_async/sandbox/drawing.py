"""Draw what a recipe says, always into the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from ideogram_async.sandbox.pixels import resized, shaded
from ideogram_async.sandbox.poster import DARKEST_HALF, background, caption, coloured, letter
from ideogram_async.sandbox.sketch import Sketch

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw", "suffix_of"]

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
