"""Parsing of options, table cells and JSON values to the values of a request's fields."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ideogram_async._rows.fields import UNCHECKED, Field, FieldKind, field_kind, parse_choice
from ideogram_async.enums import Unchecked
from ideogram_async.files import FromJob, path_error
from ideogram_async.models.training import AssetIdentifier
from ideogram_async.requests._palette import ColorPaletteMember
from ideogram_async.requests._rules import Texts, quote
from ideogram_async.v2.json_prompt import JsonPrompt

WEIGHTED_COLOR = re.compile(r"(#[^:]*):([0-9.]+)")
EARLIER_IMAGE = re.compile(r"job:(?P<id>.+?)(?:#(?P<index>\d+))?")
ASSET = re.compile(r"asset:(?P<asset_type>\w+):(?P<asset_id>[^:]+)(?::(?P<collection_id>[^:]+))?", re.IGNORECASE)
PROMPT_FILE = re.compile(r"@(?P<path>.*\.json)", re.IGNORECASE | re.DOTALL)
JSON_TEXT = re.compile(r'\{\s*"')
"""Start of a structured prompt as text."""
MAX_PROMPT_FILE = 2**20
NOT_STRUCTURED = "is JSON, but no structured prompt: high_level_description or compositional_deconstruction is missing"
JSON_FILE = 'must be a path, or {"job": "an earlier id", "index": 0}'
WHOLE_FLOAT = re.compile(r"(?<=\d)\.0{0,2}$")
"""End of a whole number that a program has written as a float. With three zeros it may be a number of thousands."""

FAILED_FORMULA = re.compile(r"#([^\W\d_]+[!?]|DIV/0!|N/A|NV)|Err:\d+")
"""Result of a formula that failed, in a spreadsheet of any language."""

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
        case FieldKind.PROMPT:
            return parse_prompt(text, folder)
        case FieldKind.TIME:
            return _parse_time(text)
        case FieldKind.OBJECT if text.startswith("{"):
            return _parse_object(text)
        case FieldKind.OBJECT:
            return dict(_parse_pair(item) for item in text.split(";"))
        case FieldKind.NAMED_FILES:
            return _parse_named_files(text.split(";"), folder)
        case FieldKind.TEXTS | FieldKind.PALETTE:
            return parse_texts(field, [item.strip() for item in text.split(";")])
        case FieldKind.TEXT:
            return parse_choice(field.metadata.get("rule"), text)


def parse_texts(field: Field, texts: Sequence[str]) -> object:
    """Parse the values of an option that may be repeated.

    Raises:
        ValueError: If one is invalid; the message is the rule.
    """
    kind = field_kind(field)
    if kind is FieldKind.OBJECT:
        return dict(map(_parse_pair, texts))

    if kind is FieldKind.NAMED_FILES:
        return _parse_named_files(texts, Path())

    if kind is not FieldKind.PALETTE:
        rule = field.metadata.get("rule")
        return [parse_choice(rule.each if isinstance(rule, Texts) else rule, text) for text in texts]

    if len(texts) == 1 and not texts[0].startswith("#"):
        return parse_choice(field.metadata["rule"].preset, texts[0])

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
        case FieldKind.NAMED_FILES, dict():
            return {name: _json_files(files, folder) for name, files in value.items()}
        case FieldKind.PROMPT, dict():
            return _to_prompt(value)
        case FieldKind.TIME, str():
            return _parse_time(value)
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
        case FieldKind.NUMBER, float() if value.is_integer():
            return int(value)
        case _:
            return value


def _parse_number(text: str) -> int:
    number = WHOLE_FLOAT.sub("", text)
    if not re.fullmatch(r"[+-]?\d{1,30}", number):
        raise ValueError(f"must be a whole number, not {quote(text)}")

    return int(number)


def _parse_flag(text: str) -> bool:
    if text.lower() not in FLAGS:
        raise ValueError(f"must be true or false, not {quote(text)}")

    return FLAGS[text.lower()]


def parse_prompt(text: str, folder: Path = Path()) -> str | JsonPrompt:
    """Parse a prompt: text, a structured prompt as JSON, or `@` with the path of its JSON file.

    Raises:
        ValueError: If the file cannot be read, or its content is not a structured prompt.
    """
    if file := PROMPT_FILE.fullmatch(text.strip()):
        return _to_prompt(_parse_object(_read_prompt(folder / file["path"])))

    return _to_prompt(_parse_object(text)) if JSON_TEXT.match(text.strip()) else text


def parse_asset(text: str, folder: Path = Path()) -> AssetIdentifier | None:
    """Parse an asset that the service stores, `asset:UPLOAD:ID` or `asset:UPLOAD:ID:COLLECTION`; `None` if it is none.

    Its type is not checked here.

    Raises:
        ValueError: If it begins as an asset, and is not a file either.
    """
    asset = ASSET.fullmatch(text)
    if asset is None:
        if text.startswith("asset:") and not os.path.exists(folder / text):  # noqa: PTH110
            raise ValueError(f"must be asset:TYPE:ID, such as asset:RESPONSE:kA3xQm2RTO6n0vYzW1sLpg, not {quote(text)}")

        return None

    return AssetIdentifier(
        asset_type=asset["asset_type"].upper(), asset_id=asset["asset_id"], collection_id=asset["collection_id"]
    )


def _read_prompt(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(MAX_PROMPT_FILE)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}: {path}") from None
    except ValueError:
        raise ValueError(f"cannot be read: not UTF-8 text: {path}") from None


def _parse_object(text: str) -> Mapping[str, object]:
    try:
        value: object = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"is not valid JSON: {error}") from None

    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, not {type(value).__name__}")

    return value


def _to_prompt(value: Mapping[str, object]) -> JsonPrompt:
    """Return a structured prompt, also that of an answer that contains one."""
    content = value.get("json_prompt", value)
    try:
        return JsonPrompt.from_json(content)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(NOT_STRUCTURED) from None


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a time such as 2026-01-31 or 2026-01-31T12:00Z, not {quote(text)}") from None

    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_pair(text: str) -> tuple[str, object]:
    """Parse a further field. Its value is JSON, or text if it is not valid JSON."""
    name, value = _split_pair(text)
    try:
        return name, json.loads(value)
    except (RecursionError, ValueError):
        return name, value


def _split_pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise ValueError(f"must be name=value, not {quote(text)}")

    return name.strip(), value.strip()


def _parse_named_files(texts: Sequence[str], folder: Path) -> dict[str, object]:
    files: dict[str, list[object]] = {}
    for name, text in map(_split_pair, texts):
        files.setdefault(name, []).append(_parse_file(text, folder))

    return dict(files)


def _parse_file(text: str, folder: Path) -> Path | str | FromJob | AssetIdentifier:
    earlier = EARLIER_IMAGE.fullmatch(text)
    if earlier:
        return FromJob(earlier["id"], int(earlier["index"] or 0))

    return parse_asset(text, folder) or _locate(text, folder)


def _locate(text: str, folder: Path) -> Path | str:
    """Return the path of a file. The rule of the field reports a text that is not a path, so it is unchanged."""
    path = folder / text
    return text if path_error(text) and not os.path.exists(path) else path  # noqa: PTH110


def _parse_color(text: str) -> ColorPaletteMember:
    weighted = WEIGHTED_COLOR.fullmatch(text)
    try:
        return ColorPaletteMember(weighted[1], float(weighted[2])) if weighted else ColorPaletteMember(text)
    except ValueError:
        return ColorPaletteMember(text)


def _json_file(value: object, folder: Path) -> object:
    match value:
        case str():
            return parse_asset(value, folder) or _locate(value, folder)
        case {"asset_type": str(kind), "asset_id": str(id), **rest} if not rest:
            return AssetIdentifier(asset_type=kind, asset_id=id)
        case {"asset_type": str(kind), "asset_id": str(id), "collection_id": str(collection), **rest} if not rest:
            return AssetIdentifier(asset_type=kind, asset_id=id, collection_id=collection)
        case Mapping():
            return _json_earlier_image(value)
        case None | bool() | int() | float() | list():
            raise ValueError(f"{JSON_FILE}, not {type(value).__name__}")
        case _:
            return value


def _json_files(value: object, folder: Path) -> object:
    return [_json_file(item, folder) for item in value] if isinstance(value, list) else _json_file(value, folder)


def _json_earlier_image(value: Mapping[str, object]) -> FromJob:
    name, index = value.get("job"), value.get("index", 0)
    is_known = set(value) <= {"job", "index"} and not isinstance(index, bool)
    if is_known and isinstance(name, str) and isinstance(index, int) and index >= 0:
        return FromJob(name, index)

    raise ValueError(JSON_FILE)


def _json_color(value: object) -> object:
    match value:
        case str():
            return ColorPaletteMember(_unchecked_or_text(value))
        case dict() if {"color_hex"} <= set(value) <= {"color_hex", "color_weight"}:
            return ColorPaletteMember(_unchecked_or_text(value["color_hex"]), value.get("color_weight"))
        case _:
            return value


def _unchecked_or_text(text: str) -> str:
    is_unchecked = isinstance(text, str) and text.casefold().startswith(UNCHECKED)
    return Unchecked(text[len(UNCHECKED) :]) if is_unchecked else text
