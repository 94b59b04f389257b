"""The rules of the service that the schemas do not tell: ranges, patterns, and what excludes what.

They are written by field name. A field reaches them only if the contract knows it for the operation, so each rule
concerns exactly the operations that have the field.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from ideogram_async.sandbox.contract import Problem, Route, is_list
from ideogram_async.sandbox.records import Part

__all__ = ["MAX_BYTES", "UNSAFE_FILE", "UNSAFE_PROMPT", "Look", "is_unsafe", "look", "violations"]

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


UNSAFE_PROMPT = "unsafe-prompt"

"""A prompt with this word fails the safety check."""

UNSAFE_FILE = "unsafe-image"

"""A file with this in its name fails the safety check."""

Fields = dict[str, Any]

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
    "color_hex": r"#([0-9a-fA-F]{3}){1,2}",
}

EXCLUSIVE = (
    ("resolution", "aspect_ratio"),
    ("style_codes", "style_reference_images"),
    ("style_codes", "style_type"),
)

LENGTHS = {"images": 10, "image_urls": 10, "character_reference_images": 1}

GROUPS = ("style_reference_images", "character_reference_images", "character_reference_images_mask")

MODELS = {
    "negative_prompt": ("V_1", "V_1_TURBO", "V_2", "V_2_TURBO", "AUTO"),
    "color_palette": ("V_2", "V_2_TURBO", "AUTO"),
    "style_type": ("V_2", "V_2_TURBO", "V_2A", "V_2A_TURBO", "AUTO"),
    "resolution": ("V_2", "V_2_TURBO", "AUTO"),
}

EDIT_MODELS = ("V_2", "V_2_TURBO")


def violations(route: Route, fields: Fields) -> Iterator[Problem]:
    """Find every rule that the fields of a request break; the fields already fit the contract."""
    for rule in _RULES:
        yield from rule(route, fields)


def is_unsafe(fields: Fields) -> bool:
    """Say whether the safety check refuses the prompt or a file of a request."""
    # A data set answers for each of its files.
    files = [part.filename or "" for name, part in _files(fields) if name != "files"]
    return UNSAFE_PROMPT in fields.get("prompt", "") or any(UNSAFE_FILE in file for file in files)


def _ranges(_route: Route, fields: Fields) -> Iterator[Problem]:
    for name, (low, high) in RANGES.items():
        if name in fields and not low <= fields[name] <= high:
            yield Problem(name, f"must be between {low} and {high}")


def _patterns(_route: Route, fields: Fields) -> Iterator[Problem]:
    for name in ("style_codes", "custom_model_uri", "model_name"):
        for value in _listed(fields.get(name, [])):
            if not re.fullmatch(PATTERNS[name], value):
                yield Problem(name, f"{value!r} does not have the right form")


def _prompt(route: Route, fields: Fields) -> Iterator[Problem]:
    # `/upscale` and `layerize-text` work without a prompt, so an empty one is harmless there.
    optional = route.path.endswith(("/upscale", "/layerize-text"))

    if "prompt" in fields and not optional and not fields["prompt"].strip():
        yield Problem("prompt", "must not be empty")


def _exclusive(_route: Route, fields: Fields) -> Iterator[Problem]:
    for one, other in EXCLUSIVE:
        if one in fields and other in fields:
            yield Problem(one, f"cannot be used together with {other}")


def _lengths(_route: Route, fields: Fields) -> Iterator[Problem]:
    for name, most in LENGTHS.items():
        if len(fields.get(name, ())) > most:
            yield Problem(name, f"takes at most {most}")


def _palette(_route: Route, fields: Fields) -> Iterator[Problem]:
    members = fields.get("color_palette", {}).get("members")

    if members is not None and not 1 <= len(members) <= 8:
        yield Problem("color_palette.members", "takes 1 to 8 members")

    for member in members or ():
        if not re.fullmatch(PATTERNS["color_hex"], member["color_hex"]):
            yield Problem("color_palette.members.color_hex", f"{member['color_hex']!r} is not a colour")
        if not 0.05 <= member.get("color_weight", 1.0) <= 1.0:
            yield Problem("color_palette.members.color_weight", "must be between 0.05 and 1.0")


def _models(route: Route, fields: Fields) -> Iterator[Problem]:
    model = fields.get("model", "V_2")

    if route.operation == "POST /edit" and model not in EDIT_MODELS:
        yield Problem("model", f"must be one of {', '.join(EDIT_MODELS)}")
    if not route.has("model") or not route.has("aspect_ratio"):
        return

    for name, models in MODELS.items():
        if name in fields and model not in models:
            yield Problem(name, f"is not available for {model}")


def _uploads(route: Route, fields: Fields) -> Iterator[Problem]:
    # A data set answers for each of its files instead of refusing all of them.
    if route.has("files"):
        return

    for name, part in _files(fields):
        if len(part.body) > MAX_BYTES:
            yield Problem(name, "is larger than 10 MB")
        elif look(part.body) is None:
            yield Problem(name, "is not a JPEG, PNG or WebP image")

    for name in GROUPS:
        if sum(len(part.body) for part in fields.get(name, ())) > MAX_BYTES:
            yield Problem(name, "are together larger than 10 MB")


def _masks(_route: Route, fields: Fields) -> Iterator[Problem]:
    image = fields.get("image") or fields.get("image_file")

    if "mask" in fields and not _same_size(image, fields["mask"]):
        yield Problem("mask", "must have the size of the image")

    masks = fields.get("character_reference_images_mask")
    references = fields.get("character_reference_images", [])

    if masks is None:
        return
    if len(masks) != len(references):
        yield Problem("character_reference_images_mask", "must be as many as character_reference_images")
    elif not all(map(_same_size, references, masks)):
        yield Problem("character_reference_images_mask", "must have the size of its reference")


def _same_size(one: Part | None, other: Part) -> bool:
    looks = look(one.body) if one else None, look(other.body)
    return looks[0] is None or looks[1] is None or looks[0].size == looks[1].size


def _files(fields: Fields) -> Iterator[tuple[str, Part]]:
    for name, value in fields.items():
        for item in _listed(value):
            if isinstance(item, Part):
                yield name, item


def _listed(value: Any) -> list[Any]:
    return value if is_list(value) else [value]


_RULES: tuple[Callable[[Route, Fields], Iterator[Problem]], ...] = (
    _prompt,
    _ranges,
    _patterns,
    _exclusive,
    _lengths,
    _palette,
    _models,
    _uploads,
    _masks,
)
