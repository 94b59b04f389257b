"""Rules that a contract file declares beside its schemas, under `x-rules` and `x-max-bytes`.

A rule is an object; its first key names the rule. Advice of the service is not in the file, since it refuses nothing.
"""

from __future__ import annotations

import io
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from ideogram_async.sandbox.contract import Fields, Schema
from ideogram_async.sandbox.recipe import Size, parse_size
from ideogram_async.sandbox.records import Part
from ideogram_async.sandbox.rules import IMAGE_FORMATS, as_list, read_image_info
from ideogram_async.sandbox.validation import Problem

# Values that leave the choice to the service, as if the field were absent.
UNSET = (None, "auto", "none")
SOURCES = ("images", "image", "image_asset_identifiers", "image_asset_identifier")
ANY_FORMAT = (*IMAGE_FORMATS, "AVIF", "GIF", "BMP", "TIFF")
# Black or white for each of the 256 levels of gray.
THRESHOLD = [0] * 128 + [255] * 128
# The largest image whose header Pillow reads without a warning.
MAX_PIXELS = 89_000_000
Check: TypeAlias = "Callable[[Any, Fields, Schema], Iterator[Problem]]"


def declared_violations(schema: Schema, fields: Fields) -> Iterator[Problem]:
    """Yield every declared rule that the fields of a body violate; the fields already fit the schema."""
    rules: Sequence[Schema] = schema.get("x-rules", ())
    yield from _check_files(schema["properties"], fields, _formats_of(rules))
    for rule in rules:
        for name, check in CHECKS.items():
            if name in rule:
                yield from check(rule[name], fields, rule)

    if "webhook_url" in fields and not is_webhook_url(fields["webhook_url"]):
        yield Problem("webhook_url", "must be an https URL; http is allowed on this machine")


def is_webhook_url(text: str) -> bool:
    """Return whether results can be delivered to a URL."""
    try:
        url = urlsplit(text)
        is_complete = bool(url.hostname) and (url.port or 0) >= 0
    except ValueError:
        return False

    return is_complete and (url.scheme == "https" or (url.scheme == "http" and is_loopback(text)))


def is_loopback(text: str) -> bool:
    """Return whether the host of a URL is this machine."""
    host = urlsplit(text).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def has(fields: Fields, name: str) -> bool:
    """Return whether a field is set, and does not leave the choice to the service."""
    value = fields.get(name)
    return value != [] and (not isinstance(value, str | None) or value not in UNSET)


def source_sizes(fields: Fields) -> list[Size]:
    """Return the sizes of the source images that were sent as files and can be read."""
    files = [item for name in SOURCES for item in as_list(fields.get(name, [])) if isinstance(item, Part)]
    return [size for part in files if (size := _size_of(part)) is not None]


def _formats_of(rules: Sequence[Schema]) -> tuple[str, ...]:
    declared = next((rule["formats"] for rule in rules if "formats" in rule), IMAGE_FORMATS)
    return tuple(name.upper() for name in declared)


def _check_files(properties: Schema, fields: Fields, formats: tuple[str, ...]) -> Iterator[Problem]:
    for name, schema in properties.items():
        item: Schema = schema.get("items", schema)
        for part in as_list(fields.get(name, [])):
            if not isinstance(part, Part):
                continue

            if len(part.body) > item.get("x-max-bytes", len(part.body)):
                yield Problem(name, f"is larger than {item['x-max-bytes'] // 2**20} MiB")
            elif "contentMediaType" not in item and not _is_image(part, formats):
                yield Problem(name, f"is not an image of type {', '.join(formats)}")


def _is_image(part: Part, formats: tuple[str, ...]) -> bool:
    # Pillow reads no HEIF, so the mark of its container has to do.
    is_heif = "HEIF" in formats and part.body[4:8] == b"ftyp"
    return is_heif or _size_of(part, formats) is not None


def _size_of(part: Part, formats: tuple[str, ...] = ANY_FORMAT) -> Size | None:
    info = read_image_info(part.body, _readable(formats), MAX_PIXELS)
    return info.size if info else None


def _exactly_one(names: list[str], fields: Fields, _rule: Schema) -> Iterator[Problem]:
    if not any(has(fields, name) for name in names):
        yield Problem(names[0], f"is required, or one of {', '.join(names[1:])}")

    yield from _at_most_one(names, fields, _rule)


def _at_most_one(names: list[str], fields: Fields, _rule: Schema) -> Iterator[Problem]:
    present = [name for name in names if has(fields, name)]
    if len(present) > 1:
        yield Problem(present[0], f"cannot be used together with {', '.join(present[1:])}")


def _requires(names: list[str], fields: Fields, _rule: Schema) -> Iterator[Problem]:
    if has(fields, names[0]) and not has(fields, names[1]):
        yield Problem(names[0], f"needs {names[1]}")


def _value_requires(needs: Schema, fields: Fields, _rule: Schema) -> Iterator[Problem]:
    for name, by_value in needs.items():
        others: list[str] = by_value.get(fields.get(name), [])
        if others and not any(has(fields, other) for other in others):
            yield Problem(name, f"{fields[name]!r} needs {' or '.join(others)}")


def _max_items_with_mask(maxima: Schema, fields: Fields, _rule: Schema) -> Iterator[Problem]:
    for name, maximum in maxima.items():
        if has(fields, "mask") and len(fields.get(name, ())) > maximum:
            yield Problem(name, f"accepts at most {maximum} together with a mask")


def _mask_of(source: str, fields: Fields, rule: Schema) -> Iterator[Problem]:
    mask, first = fields.get("mask"), next(iter(as_list(fields.get(source, []))), None)
    if not isinstance(mask, Part) or (size := _size_of(mask)) is None:
        return

    if isinstance(first, Part) and _size_of(first) not in (None, size):
        yield Problem("mask", f"must have the size of {source}")
    if rule["needs_both_colors"] and not _has_both_colors(mask):
        yield Problem("mask", "must be black where the image changes and white elsewhere, and contain both")


@cache
def _readable(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Return the formats that this Pillow reads; MPO is read as JPEG."""
    from PIL import Image

    Image.init()
    return tuple(name for name in formats if name in Image.OPEN)


def _has_both_colors(mask: Part) -> bool:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(mask.body), formats=_readable(ANY_FORMAT)) as image:
            return {0, 255} == {pixel for _, pixel in image.convert("L").point(THRESHOLD).getcolors() or ()}
    except (OSError, SyntaxError, ValueError):
        return False


def _size(limits: Schema, fields: Fields, _rule: Schema) -> Iterator[Problem]:
    text = fields.get("size")
    has_sources = any(has(fields, name) for name in SOURCES)
    if text in UNSET:
        return
    if text == "source":
        if not has_sources:
            yield Problem("size", "'source' needs source images")
    elif (size := parse_size(text)) is None:
        yield Problem("size", "must be auto, source, or WIDTHxHEIGHT")
    elif has_sources or not limits["only_with_sources"]:
        yield from _check_size(size, limits)


def _check_size(size: Size, limits: Schema) -> Iterator[Problem]:
    if any(side % limits["multiple_of"] or side < limits["min_side"] for side in size):
        yield Problem("size", f"needs sides of at least {limits['min_side']} that {limits['multiple_of']} divides")
    elif not _fits(size, limits):
        yield Problem("size", f"accepts at most {limits['max_pixels']} pixels and a ratio of {limits['max_ratio']}:1")


def _fits(size: Size, limits: Schema) -> bool:
    is_too_large: bool = size[0] * size[1] > limits["max_pixels"] or max(size) > limits["max_ratio"] * min(size)
    return not is_too_large


def _max_pixels_of(maxima: Schema, fields: Fields, _rule: Schema) -> Iterator[Problem]:
    size = parse_size(fields.get("size") or "")
    for name, by_value in maxima.items():
        maximum = by_value.get(fields.get(name), {}).get("max_pixels")
        if size and maximum and size[0] * size[1] > maximum:
            yield Problem(name, f"{fields[name]!r} makes at most {maximum} pixels")


def _source_ratio(maximum: int, fields: Fields, _rule: Schema) -> Iterator[Problem]:
    if any(max(size) > maximum * min(size) for size in source_sizes(fields)):
        yield Problem("images" if "images" in fields else "image", f"must not be longer than {maximum}:1")


def _context_window(limits: Schema, fields: Fields, _rule: Schema) -> Iterator[Problem]:
    text = fields.get("context_window")
    sizes = source_sizes(fields)
    if text in UNSET or not sizes:
        return

    # More digits than any image has pixels are cut off.
    top, left, bottom, right = (int(number[:9]) for number in text.split(","))
    window, (width, height) = (right - left, bottom - top), sizes[0]
    if min(window) < limits["min_side"] or not _fits(window, limits):
        yield Problem("context_window", f"needs sides of at least {limits['min_side']} and must not be too large")
    elif right > width or bottom > height:
        yield Problem("context_window", "must lie within the image")


def _not_with_other_shape(names: list[str], fields: Fields, _rule: Schema) -> Iterator[Problem]:
    sizes = source_sizes(fields)
    wanted = parse_size(fields.get(names[1], ""))
    if has(fields, names[0]) and wanted and sizes and wanted[0] * sizes[0][1] != wanted[1] * sizes[0][0]:
        yield Problem(names[0], f"cannot be used with a {names[1]} of another shape than the image")


CHECKS: dict[str, Check] = {
    "exactly_one": _exactly_one,
    "at_most_one": _at_most_one,
    "not_with": _at_most_one,
    "requires": _requires,
    "value_requires": _value_requires,
    "max_items_with_mask": _max_items_with_mask,
    "mask_of": _mask_of,
    "size": _size,
    "max_pixels_of": _max_pixels_of,
    "source_ratio": _source_ratio,
    "context_window": _context_window,
    "not_with_other_shape": _not_with_other_shape,
}
