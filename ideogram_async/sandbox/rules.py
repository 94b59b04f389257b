"""Rules of the first contract beyond its schemas: ranges, patterns, and fields that exclude each other.

Rules are keyed by field name. Fields that an operation does not have were rejected before, so each rule applies to
exactly the operations that have its field.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ideogram_async.sandbox.contract import Fields, Route
from ideogram_async.sandbox.records import Part
from ideogram_async.sandbox.validation import Problem

MAX_BYTES = 10 * 2**20  # of a file
MAX_PIXELS = 32 * 10**6
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
# A prompt that contains this word, or a file with this in its name, fails the safety check.
UNSAFE_PROMPT = "unsafe-prompt"
UNSAFE_FILE = "unsafe-image"

RANGES = {
    "seed": (0, 2**31 - 1),
    "num_images": (1, 8),
    "image_weight": (1, 100),
    "resemblance": (1, 100),
    "detail": (1, 100),
}
PATTERNS = {
    "style_codes": r"[0-9a-fA-F]{8}",
    "custom_model_uri": r"model/[^/]+/version/[^/]+",
    "model_name": r"[A-Za-z0-9 -]{5,30}",
}
COLOR = r"#([0-9a-fA-F]{3}){1,2}"
EXCLUSIVE = (
    ("resolution", "aspect_ratio"),
    ("style_codes", "style_reference_images"),
    ("style_codes", "style_type"),
    ("images", "image_urls"),
)
MAX_LENGTHS = {"images": 10, "image_urls": 10, "character_reference_images": 1}
# The files of each of these fields share the limit of one file.
GROUPS = ("style_reference_images", "character_reference_images", "character_reference_images_mask")
# The models of the legacy operations that support a field.
MODELS: dict[str, tuple[str, ...]] = {
    "negative_prompt": ("V_1", "V_1_TURBO", "V_2", "V_2_TURBO"),
    "color_palette": ("V_2", "V_2_TURBO", "AUTO"),
    "style_type": ("V_2", "V_2_TURBO", "V_2A", "V_2A_TURBO", "AUTO"),
    "resolution": ("V_2", "V_2_TURBO"),
}
EDIT_MODELS = ("V_2", "V_2_TURBO")


def violations(route: Route, fields: Fields) -> Iterator[Problem]:
    """Yield every rule that the fields of a request violate; the fields already fit the contract."""
    yield from _check_prompt(route, fields)
    yield from _check_values(fields)
    yield from _check_palette(fields)
    yield from _check_model(route, fields)
    yield from _check_sources(route, fields)
    yield from _check_files(route, fields)
    yield from _check_masks(fields)


def is_unsafe(fields: Fields) -> bool:
    """Return whether the safety check refuses the prompt or a file of a request."""
    # Uploads to a dataset are refused file by file.
    filenames = [part.filename or "" for name, part in _files_in(fields) if name != "files"]
    return UNSAFE_PROMPT in fields.get("prompt", "") or any(UNSAFE_FILE in filename for filename in filenames)


@frozen
class ImageInfo:
    """The format and size in the header of an image."""

    format: str
    size: tuple[int, int]


def read_image_info(
    body: bytes, formats: tuple[str, ...] = IMAGE_FORMATS, max_pixels: int = MAX_PIXELS
) -> ImageInfo | None:
    """Read the header of an image; return `None` for anything but these formats, and above `max_pixels`."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(body), formats=formats) as image:
            info = ImageInfo(image.format or "", image.size)
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None

    return info if info.size[0] * info.size[1] <= max_pixels else None


def _check_prompt(route: Route, fields: Fields) -> Iterator[Problem]:
    # `/upscale` and `layerize-text` need no prompt, so an empty one is allowed there.
    is_optional = route.path.endswith(("/upscale", "/layerize-text"))
    if "prompt" in fields and not is_optional and not fields["prompt"].strip():
        yield Problem("prompt", "must not be empty")


def _check_values(fields: Fields) -> Iterator[Problem]:
    """Check ranges, patterns, fields that exclude each other, and lengths of lists."""
    for name, (low, high) in RANGES.items():
        if name in fields and not low <= fields[name] <= high:
            yield Problem(name, f"must be between {low} and {high}")

    for name, pattern in PATTERNS.items():
        for value in as_list(fields.get(name, [])):
            if not re.fullmatch(pattern, value):
                yield Problem(name, f"{value!r} has an invalid form")

    for one, other in EXCLUSIVE:
        if one in fields and other in fields:
            yield Problem(one, f"cannot be used together with {other}")

    for name, maximum in MAX_LENGTHS.items():
        if len(fields.get(name, ())) > maximum:
            yield Problem(name, f"accepts at most {maximum}")


def _check_palette(fields: Fields) -> Iterator[Problem]:
    members = fields.get("color_palette", {}).get("members")
    if members is not None and not 1 <= len(members) <= 8:
        yield Problem("color_palette.members", "accepts 1 to 8 members")

    for member in members or ():
        if not re.fullmatch(COLOR, member["color_hex"]):
            yield Problem("color_palette.members.color_hex", f"{member['color_hex']!r} is not a color")
        if not 0.05 <= member.get("color_weight", 1.0) <= 1.0:
            yield Problem("color_palette.members.color_weight", "must be between 0.05 and 1.0")


def _check_model(route: Route, fields: Fields) -> Iterator[Problem]:
    model = fields.get("model", "V_2")
    if route.operation == "POST /edit" and model not in EDIT_MODELS:
        yield Problem("model", f"must be one of {', '.join(EDIT_MODELS)}")

    if route.has("model"):
        for name, models in MODELS.items():
            if name in fields and model not in models:
                yield Problem(name, f"is not available for {model}")


def _check_sources(route: Route, fields: Fields) -> Iterator[Problem]:
    # The contract requires neither of the two alternatives, but there is nothing to edit without one.
    if route.has("image_urls") and not fields.get("images") and not fields.get("image_urls"):
        yield Problem("images", "is required unless image_urls is given")


def _check_files(route: Route, fields: Fields) -> Iterator[Problem]:
    # Uploads to a dataset fail file by file, and never the whole request.
    if route.has("files"):
        return

    for name, part in _files_in(fields):
        if len(part.body) > MAX_BYTES:
            yield Problem(name, "is larger than 10 MB")
        elif read_image_info(part.body) is None:
            yield Problem(name, "is not a JPEG, PNG or WebP image")

    for name in GROUPS:
        if sum(len(part.body) for part in fields.get(name, ())) > MAX_BYTES:
            yield Problem(name, "are together larger than 10 MB")


def _check_masks(fields: Fields) -> Iterator[Problem]:
    image = fields.get("image") or fields.get("image_file")
    if "mask" in fields and image and not _have_same_size(image, fields["mask"]):
        yield Problem("mask", "must have the size of the image")

    name = "character_reference_images_mask"
    masks, references = fields.get(name), fields.get("character_reference_images", [])
    if masks is not None and len(masks) != len(references):
        yield Problem(name, "must have as many items as character_reference_images")
    elif masks is not None and not all(map(_have_same_size, references, masks)):
        yield Problem(name, "must have the size of its reference")


def _have_same_size(one: Part, other: Part) -> bool:
    infos = read_image_info(one.body), read_image_info(other.body)
    return infos[0] is None or infos[1] is None or infos[0].size == infos[1].size


def _files_in(fields: Fields) -> Iterator[tuple[str, Part]]:
    for name, value in fields.items():
        yield from ((name, item) for item in as_list(value) if isinstance(item, Part))


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and any other value as the only item of one."""
    return value if isinstance(value, list) else [value]
