"""What an option is given, what a cell of a table or a line of JSON holds, as values of a request's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ideogram_async.cli.catalog import Field, Kind, kind_of, word
from ideogram_async.enums import ColorPalettePresetName
from ideogram_async.files import FromJob
from ideogram_async.requests._palette import ColorPaletteMember
from ideogram_async.requests._rules import Choice, Texts

COLOUR = re.compile(r"(#[^:]*):([0-9.]+)")

EARLIER = re.compile(r"job:(?P<id>.+?)(?:#(?P<index>\d+))?")

PRESET = Choice(ColorPalettePresetName)

YES_AND_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def from_text(field: Field, text: str, folder: Path) -> Any:
    """Read a cell of a table. Lists are separated by `;`. Blanks around count in free text only.

    Raises:
        ValueError: If it makes no sense; the message is the rule.
    """
    kind = kind_of(field)
    if kind is not Kind.TEXT:
        text = text.strip()

    match kind:
        case Kind.NUMBER:
            return _number(text)
        case Kind.FLAG:
            return _flag(text)
        case Kind.FILE:
            return _file(text, folder)
        case Kind.FILES:
            return [_file(item.strip(), folder) for item in text.split(";")]
        case Kind.TEXTS | Kind.PALETTE:
            return from_texts(field, [item.strip() for item in text.split(";")])
        case Kind.TEXT:
            return word(field.metadata.get("rule"), text)


def from_texts(field: Field, texts: Sequence[str]) -> Any:
    """Read what an option was given, once or several times."""
    if kind_of(field) is not Kind.PALETTE:
        rule = field.metadata.get("rule")
        return [word(rule.each if isinstance(rule, Texts) else rule, text) for text in texts]

    if len(texts) == 1 and not texts[0].startswith("#"):
        return word(PRESET, texts[0])

    return [_colour(text) for text in texts]


def from_json(field: Field, value: Any, folder: Path) -> Any:
    """Read a value of a line of JSON; what makes no sense stays, for the rule to judge.

    Raises:
        ValueError: If it can be judged here only; the message is the rule.
    """
    match kind_of(field), value:
        case Kind.FILE, _:
            return _json_file(value, folder)
        case Kind.FILES, list():
            return [_json_file(item, folder) for item in value]
        case Kind.FILES, _:
            return [_json_file(value, folder)]
        case Kind.PALETTE, list():
            return [_json_colour(item) for item in value]
        case Kind.PALETTE, {"members": list(members)}:
            return [_json_colour(item) for item in members]
        case Kind.PALETTE, str(name) | {"name": str(name)}:
            return from_texts(field, [name])
        case Kind.TEXTS, list() if all(isinstance(item, str) for item in value):
            return from_texts(field, value)
        case Kind.TEXT, str():
            return word(field.metadata.get("rule"), value)
        case _:
            return value


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None


def _flag(text: str) -> bool:
    if text.lower() not in YES_AND_NO:
        raise ValueError(f"must be true or false, not {text!r}")

    return YES_AND_NO[text.lower()]


def _file(text: str, folder: Path) -> Path | FromJob:
    earlier = EARLIER.fullmatch(text)
    return FromJob(earlier["id"], int(earlier["index"] or 0)) if earlier else folder / text


def _json_file(value: Any, folder: Path) -> Any:
    match value:
        case str():
            return folder / value
        case Mapping():
            return _earlier(value)
        case _:
            raise ValueError(f'must be a path, or {{"job": "an earlier id", "index": 0}}, not {type(value).__name__}')


def _earlier(value: Mapping[str, Any]) -> FromJob:
    name, index = value.get("job"), value.get("index", 0)
    is_index = isinstance(index, int) and not isinstance(index, bool) and index >= 0
    if isinstance(name, str) and is_index and set(value) <= {"job", "index"}:
        return FromJob(name, index)

    raise ValueError('must be a path, or {"job": "an earlier id", "index": 0}')


def _colour(text: str) -> ColorPaletteMember:
    weighted = COLOUR.fullmatch(text)
    try:
        return ColorPaletteMember(weighted[1], float(weighted[2])) if weighted else ColorPaletteMember(text)
    except ValueError:
        return ColorPaletteMember(text)


def _json_colour(value: Any) -> Any:
    match value:
        case dict() if {"color_hex"} <= set(value) <= {"color_hex", "color_weight"}:
            return ColorPaletteMember(**value)
        case _:
            return value
