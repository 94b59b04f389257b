"""Sizes of the images that a call of the second contract makes."""

from __future__ import annotations

import math

from ideogram_async.sandbox.contract import Fields, Route
from ideogram_async.sandbox.declared_rules import has
from ideogram_async.sandbox.recipe import Size, requested_size

# Actions that keep the size of their source.
SAME_SIZE = ("inpaint", "precise-edit", "remove-background", "layerize", "upscale")
FACTORS = {"x2": 2, "x4": 4, "x8": 8, "1k": 1, "2k": 2, "4k": 4, "8k": 8}
# A larger image is drawn smaller, as a placeholder would otherwise take gigabytes.
MAX_PIXELS = 8192 * 8192


def result_size(route: Route, fields: Fields, source: Size | None) -> Size:
    """Return the size of the images that a call makes from a source, if it has one of known size."""
    width, height = source or (1024, 1024) if route.action in SAME_SIZE else requested_size(fields, source)
    factor = FACTORS[fields.get("output_resolution", "1k")]
    if route.action == "upscale":
        factor = FACTORS[fields.get("upscale_factor", "x2")]

    scale = factor * min(1.0, math.sqrt(_max_pixels(route, fields) / (width * height * factor**2)))
    return max(int(width * scale), 1), max(int(height * scale), 1)


def _max_pixels(route: Route, fields: Fields) -> int:
    """Return the area down to which an image is scaled; a context window keeps the size of its image."""
    name = "whole_image_max_pixels"
    declared: list[int] = [rule[name] for rule in route.body.get("x-rules", ()) if name in rule]
    return declared[0] if declared and not has(fields, "context_window") else MAX_PIXELS
