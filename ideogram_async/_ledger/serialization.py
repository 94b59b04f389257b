"""Requests as JSON, and the fingerprint of what they send.

Two requests are the same if they would send the same fields, values and file contents, wherever the files are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from io import BytesIO
from types import ModuleType
from typing import Any, Protocol, TypeAlias, cast

import ideogram_async.requests
import ideogram_async.v2
from ideogram_async._operations import Request
from ideogram_async._wire.encode import to_json
from ideogram_async.enums import Unchecked
from ideogram_async.errors import JournalError
from ideogram_async.files import FromJob, ImageFile
from ideogram_async.models.training import AssetIdentifier
from ideogram_async.requests._palette import ColorPaletteMember, Palette
from ideogram_async.v2.custom import Custom, FieldFile
from ideogram_async.v2.json_prompt import JsonPrompt

FileDescription: TypeAlias = Mapping[str, Any]
"""A file as a record describes it: a path with size, modification time and hash, a URL, or a hash alone."""

DETAILS = ("file", "unchecked", "json", "json_prompt", "mode")
"""Names in a serialized request that contain more than what is sent, or the same in another form."""

_writer = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Files(Protocol):
    """The files of serialized requests."""

    def describe(self, file: ImageFile) -> FileDescription:
        """Return the description of a file, with its SHA-256. Reads it."""
        ...

    def load(self, description: FileDescription) -> ImageFile:
        """Return the file of a description."""
        ...


class HashedFiles:
    """Files of which only the hash is recorded. They cannot be loaded again."""

    def describe(self, file: ImageFile) -> FileDescription:
        return {"name": file.name, "content_type": file.content_type, "sha256": digest(file)}

    def load(self, description: FileDescription) -> ImageFile:
        raise LookupError(f"the file {description['sha256']} was not kept")


def digest(file: ImageFile) -> str:
    """Return the SHA-256 of a file. Reads it."""
    with file.open() as opened:
        return hashlib.file_digest(cast(BytesIO, opened), "sha256").hexdigest()


def serialize(request: Request[object], files: Files) -> str:
    """Return a request as JSON. Reads every file, so it blocks.

    Raises:
        InvalidRequestError: If a file cannot be read.
        OSError: If a file cannot be copied.
    """
    values = {name: _jsonable(value, files) for name, value in vars(request).items() if value is not None}
    modes = {name: values.pop(name) for name in request.mode_fields if name in values}
    record = {"operation": str(request.endpoint), "fields": values}
    return _to_json(record | {"mode": modes} if modes else record)


def deserialize(serialized: str, files: Files, key: str = "") -> Request[object]:
    """Return the request that was serialized.

    Args:
        serialized: The request as JSON.
        files: The files of the record.
        key: The key of its job, which an error names.

    Raises:
        JournalError: If it is damaged.
    """
    try:
        data = json.loads(serialized)
        request_class: Callable[..., Request[object]] = request_class_of(data)
        values = data["fields"] | data.get("mode", {})
        fields = {name: _from_json(value, files) for name, value in values.items()}
        request = request_class(**fields)
        problems = request.problems(validate=False)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise _unreadable(key, error) from None

    if problems:
        reason = ", ".join(f"{field} {rule}" for field, rule in problems)
        raise _unreadable(key, reason)

    return request


def _unreadable(key: str, reason: object) -> JournalError:
    return JournalError(f"the request{f' of job {key}' if key else ''} cannot be read: {reason}")


def request_class_of(record: Mapping[str, Any]) -> type[Request[object]]:
    """Return the class of a serialized request.

    Args:
        record: The parsed request. Its operation is the method and path, or in records of earlier versions the name of
            the class.

    Raises:
        KeyError: If there is none.
    """
    # A custom request stays one when its operation gets a class.
    return Custom if "mode" in record else _classes()[record["operation"]]


def fingerprint_of(serialized: str) -> str:
    """Return the hash of the content that a request sends: the content of its files, not their paths."""
    # Inside a JSON string the quotes would be escaped.
    has_details = any(f'"{name}":' in serialized for name in DETAILS)
    content = _to_json(_content_of(json.loads(serialized))) if has_details else serialized
    # Keys are sorted, so the operation is last. Records of earlier versions have the name of its class, which stays
    # part of the fingerprint.
    head, label, operation = content.rpartition('"operation":')
    name = json.loads(operation.removesuffix("}"))
    content = f'{head}{label}"{_class_names().get(name, name)}"}}'
    return hashlib.sha256(content.encode()).hexdigest()


def _jsonable(value: object, files: Files) -> object:
    if type(value) in (str, int):
        # A shortcut for the usual case.
        return value

    match value:
        case FieldFile(field_name=name):
            file = ImageFile(value.source, name=value.name, content_type=value.content_type)
            return {"field": name, **cast("dict[str, object]", _jsonable(file, files))}
        case ImageFile(source=FromJob() as earlier):
            return {"job": earlier.id, "index": earlier.index}
        case ImageFile():
            return {"file": files.describe(value)}
        case Palette():
            members = [[_jsonable(member.color_hex, files), member.color_weight] for member in value.members]
            return {"palette": _jsonable(value.name, files) if value.name is not None else members}
        case Unchecked():
            return {"unchecked": str(value)}
        case AssetIdentifier(asset_id=id, asset_type=kind, collection_id=collection):
            names = {"asset_id": id, "asset_type": str(kind), "collection_id": collection}
            return {"asset": {name: item for name, item in names.items() if item is not None}}
        case JsonPrompt():
            return {"json_prompt": str(value)}
        case dict():
            return {"json": to_json(value).decode()}
        case datetime():
            return {"time": value.isoformat()}
        case tuple() | list():
            return [_jsonable(item, files) for item in value]
        case str():
            return str(value)
        case _:
            return value


def _from_json(value: object, files: Files) -> Any:
    match value:
        case {"field": str(name), **file}:
            return FieldFile.in_field(name, _from_json(file, files))
        case {"job": str(id), "index": int(index)}:
            return ImageFile(FromJob(id, index))
        case {"file": dict(description)}:
            return files.load(description)
        case {"palette": list(members)}:
            return Palette(members=tuple(ColorPaletteMember(*_from_json(member, files)) for member in members))
        case {"palette": name}:
            return Palette(name=_from_json(name, files))
        case {"unchecked": str(text)}:
            return Unchecked(text)
        case {"asset": dict(names)}:
            return AssetIdentifier(**names)
        case {"json_prompt": str(text)}:
            return JsonPrompt.from_json(json.loads(text))
        case {"json": str(text)}:
            return json.loads(text)
        case {"time": str(text)}:
            return datetime.fromisoformat(text)
        case list():
            return tuple(_from_json(item, files) for item in value)
        case _:
            return value


def _content_of(value: object) -> object:
    match value:
        case {"mode": _, **rest}:
            return _content_of(rest)
        case {"field": name, "file": {"sha256": digest}}:
            return {"field": name, "sha256": digest}
        case {"file": {"sha256": digest}}:
            return {"sha256": digest}
        case {"json": str(text)} | {"json_prompt": str(text)}:
            # Parsed, so that the order of names does not count.
            return {"json": json.loads(text)}
        case {"palette": palette}:
            return {"palette": _checked(palette)}
        case dict():
            return {name: _content_of(item) for name, item in value.items()}
        case list():
            return [_content_of(item) for item in value]
        case _:
            return value


def _checked(value: object) -> object:
    """Return a palette as if nothing in it were `Unchecked`: the service receives the same."""
    match value:
        case {"unchecked": text}:
            return text
        case list():
            return [_checked(item) for item in value]
        case _:
            return value


def _to_json(value: object) -> str:
    return _writer.encode(value)


@cache
def _classes() -> dict[str, type[Request[object]]]:
    by_name = {item.__name__: item for item in _requests_of(ideogram_async.requests)}
    return by_name | {str(item.endpoint): item for item in (*_requests_of(ideogram_async.v2), *by_name.values())}


@cache
def _class_names() -> dict[str, str]:
    return {str(item.endpoint): item.__name__ for item in _requests_of(ideogram_async.requests)}


def _requests_of(module: ModuleType) -> list[type[Request[object]]]:
    exported = (getattr(module, name) for name in module.__all__)
    return [item for item in exported if isinstance(item, type) and issubclass(item, Request)]
