"""Identity of a job: its request as JSON, a fingerprint of its content, and its key.

Two requests are the same if they would send the same fields, values and file contents, wherever the files are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import ideogram_async.requests
from ideogram_async._batch.inputs import InputStore
from ideogram_async._operations import Request
from ideogram_async.enums import Unchecked
from ideogram_async.files import FromJob, ImageFile
from ideogram_async.requests._palette import ColorPaletteMember, Palette

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
PAIRS = [first + second for first in LETTERS for second in LETTERS]
PAIR_SHIFTS = range(90, -1, -10)
"""Bit positions of the letter pairs in a key of 100 bits."""

_writer = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def serialize(request: Request[object], inputs: InputStore) -> str:
    """Return a request as JSON. Reads every file, so it blocks. Files that are not paths are copied to the folder.

    Raises:
        InvalidRequestError: If a file cannot be read.
        OSError: If a file cannot be copied.
    """
    fields = {name: _jsonable(value, inputs) for name, value in vars(request).items() if value is not None}
    return _to_json({"operation": type(request).__name__, "fields": fields})


def deserialize(serialized: str, inputs: InputStore) -> Request[object]:
    """Return the request that was serialized."""
    data = json.loads(serialized)
    request_class = getattr(ideogram_async.requests, data["operation"])
    fields = {name: _from_json(value, inputs) for name, value in data["fields"].items()}
    return cast(Request[object], request_class(**fields))


def fingerprint_of(serialized: str) -> str:
    """Return the hash of the content that a request sends: the content of its files, not their paths."""
    # Inside a JSON string the quotes would be escaped.
    content = _to_json(_without_paths(json.loads(serialized))) if '"file":' in serialized else serialized
    return hashlib.sha256(content.encode()).hexdigest()


def job_key(fingerprint: str, *, id: str | None, occurrence: int) -> str:
    """Return a job's key, 20 letters and digits: derived from the user's id, or from the content and its occurrence."""
    name = f"id {id}" if id is not None else f"content {fingerprint} {occurrence}"
    # The start of `base64.b32encode`, in half the time: a long batch needs very many keys.
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:13]) >> 4
    return "".join([PAIRS[number >> shift & 1023] for shift in PAIR_SHIFTS])


def _jsonable(value: Any, inputs: InputStore) -> Any:
    if type(value) in (str, int):
        # A shortcut for the usual case.
        return value

    match value:
        case ImageFile(source=FromJob() as earlier):
            return {"job": earlier.id, "index": earlier.index}
        case ImageFile():
            return {"file": inputs.describe(value)}
        case Palette():
            members = [[member.color_hex, member.color_weight] for member in value.members]
            return {"palette": value.name if value.name is not None else members}
        case Unchecked():
            return {"unchecked": str(value)}
        case tuple() | list():
            return [_jsonable(item, inputs) for item in value]
        case str():
            return str(value)
        case _:
            return value


def _from_json(value: Any, inputs: InputStore) -> Any:
    match value:
        case {"job": str(id), "index": int(index)}:
            return ImageFile(FromJob(id, index))
        case {"file": dict(description)}:
            return inputs.load(description)
        case {"palette": str(name)}:
            return Palette(name=name)
        case {"palette": list(members)}:
            return Palette(members=tuple(ColorPaletteMember(*member) for member in members))
        case {"unchecked": str(text)}:
            return Unchecked(text)
        case list():
            return tuple(_from_json(item, inputs) for item in value)
        case _:
            return value


def _without_paths(value: Any) -> Any:
    match value:
        case {"file": {"sha256": digest}}:
            return {"sha256": digest}
        case dict():
            return {name: _without_paths(item) for name, item in value.items()}
        case list():
            return [_without_paths(item) for item in value]
        case _:
            return value


def _to_json(value: Mapping[str, Any]) -> str:
    return _writer.encode(value)
