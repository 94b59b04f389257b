"""Parsing of options, table cells and JSON values to the values of a request's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ideogram_async.cli.catalog import Field, FieldKind, field_kind, parse_choice
from ideogram_async.enums import ColorPalettePresetName
from ideogram_async.files import FromJob
from ideogram_async.requests._palette import ColorPaletteMember
from ideogram_async.requests._rules import Choice, Texts

WEIGHTED_COLOR = re.compile(r"(#[^:]*):([0-9.]+)")
EARLIER_IMAGE = re.compile(r"job:(?P<id>.+?)(?:#(?P<index>\d+))?")
PRESET = Choice(ColorPalettePresetName)
FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_text(field: Field, text: str, folder: Path) -> object:
    """Parse a cell of a table. Lists are separated by `;`. Surrounding spaces are kept in free text only.

    Raises:
        ValueError: If it is invalid; the message is the rule.
    """
    kind = field_kind(field)
    if kind is not FieldKind.TEXT:
        text = text.strip()

    match kind:
        case FieldKind.NUMBER:
            return _parse_number(text)
        case FieldKind.FLAG:
            return _parse_flag(text)
        case FieldKind.FILE:
            return _parse_file(text, folder)
        case FieldKind.FILES:
            return [_parse_file(item.strip(), folder) for item in text.split(";")]
        case FieldKind.TEXTS | FieldKind.PALETTE:
            return parse_texts(field, [item.strip() for item in text.split(";")])
        case FieldKind.TEXT:
            return parse_choice(field.metadata.get("rule"), text)


def parse_texts(field: Field, texts: Sequence[str]) -> object:
    """Parse the values of an option that may be repeated."""
    if field_kind(field) is not FieldKind.PALETTE:
        rule = field.metadata.get("rule")
        return [parse_choice(rule.each if isinstance(rule, Texts) else rule, text) for text in texts]

    if len(texts) == 1 and not texts[0].startswith("#"):
        return parse_choice(PRESET, texts[0])

    return [_parse_color(text) for text in texts]


def parse_json(field: Field, value: object, folder: Path) -> object:
    """Convert a JSON value. An invalid one is returned unchanged if the rule of the field reports it.

    Raises:
        ValueError: If it is invalid and no rule reports it; the message is the rule.
    """
    match field_kind(field), value:
        case FieldKind.FILE, _:
            return _json_file(value, folder)
        case FieldKind.FILES, list():
            return [_json_file(item, folder) for item in value]
        case FieldKind.FILES, _:
            return [_json_file(value, folder)]
        case FieldKind.PALETTE, list():
            return [_json_color(item) for item in value]
        case FieldKind.PALETTE, {"members": list(members)}:
            return [_json_color(item) for item in members]
        case FieldKind.PALETTE, str(name) | {"name": str(name)}:
            return parse_texts(field, [name])
        case FieldKind.TEXTS, list() if all(isinstance(item, str) for item in value):
            return parse_texts(field, value)
        case FieldKind.TEXT, str():
            return parse_choice(field.metadata.get("rule"), value)
        case _:
            return value


def _parse_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None


def _parse_flag(text: str) -> bool:
    if text.lower() not in FLAGS:
        raise ValueError(f"must be true or false, not {text!r}")

    return FLAGS[text.lower()]


def _parse_file(text: str, folder: Path) -> Path | FromJob:
    earlier = EARLIER_IMAGE.fullmatch(text)
    return FromJob(earlier["id"], int(earlier["index"] or 0)) if earlier else folder / text


def _parse_color(text: str) -> ColorPaletteMember:
    weighted = WEIGHTED_COLOR.fullmatch(text)
    try:
        return ColorPaletteMember(weighted[1], float(weighted[2])) if weighted else ColorPaletteMember(text)
    except ValueError:
        return ColorPaletteMember(text)


def _json_file(value: object, folder: Path) -> Path | FromJob:
    match value:
        case str():
            return folder / value
        case Mapping():
            return _json_earlier_image(value)
        case _:
            raise ValueError(f'must be a path, or {{"job": "an earlier id", "index": 0}}, not {type(value).__name__}')


def _json_earlier_image(value: Mapping[str, object]) -> FromJob:
    name, index = value.get("job"), value.get("index", 0)
    is_known = set(value) <= {"job", "index"} and not isinstance(index, bool)
    if is_known and isinstance(name, str) and isinstance(index, int) and index >= 0:
        return FromJob(name, index)

    raise ValueError('must be a path, or {"job": "an earlier id", "index": 0}')


def _json_color(value: object) -> object:
    match value:
        case dict() if {"color_hex"} <= set(value) <= {"color_hex", "color_weight"}:
            return ColorPaletteMember(**value)
        case _:
            return value
