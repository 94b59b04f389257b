"""Who a job is: what it asks for, in a form that can be kept, compared and asked for again.

Two requests are the same if they would send the same: fields, values, and the bytes of their files, wherever those lie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import ideogram_async.requests
from ideogram_async._batch.inputs import Inputs
from ideogram_async._operations import Request
from ideogram_async.enums import Unchecked
from ideogram_async.files import FromJob, ImageFile
from ideogram_async.requests._palette import ColorPaletteMember, Palette

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"

PAIRS = [first + second for first in LETTERS for second in LETTERS]

PLACES = range(90, -1, -10)

"""Of the pairs of letters in a key's 100 bits."""

_writer = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def pack(request: Request[Any], inputs: Inputs) -> str:
    """Write a request down, as JSON. Reads every file, so it blocks; what is no path is copied to the folder.

    Raises:
        InvalidRequestError: If a file cannot be read.
        OSError: If one cannot be copied.
    """
    fields = {name: _packed(value, inputs) for name, value in vars(request).items() if value is not None}
    return _canonical({"operation": type(request).__name__, "fields": fields})


def unpack(packed: str, inputs: Inputs) -> Request[Any]:
    """Read a request that was written down."""
    told = json.loads(packed)
    kind = getattr(ideogram_async.requests, told["operation"])
    return cast(Request[Any], kind(**{name: _unpacked(value, inputs) for name, value in told["fields"].items()}))


def fingerprint_of(packed: str) -> str:
    """Return the hash of what a request would send: of files their content, not their place."""
    # In a text the quotes would be escaped.
    sent = _canonical(_without_places(json.loads(packed))) if '"file":' in packed else packed
    return hashlib.sha256(sent.encode()).hexdigest()


def key_of(fingerprint: str, *, id: str | None, occurrence: int) -> str:
    """Return a job's key: of the user's id, or of the content and how often it came before. 20 letters and digits."""
    name = f"id {id}" if id is not None else f"content {fingerprint} {occurrence}"
    # What `base64.b32encode` would begin with, in half of its time: a long batch asks for very many.
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:13]) >> 4
    return "".join([PAIRS[number >> place & 1023] for place in PLACES])


def _packed(value: Any, inputs: Inputs) -> Any:
    if type(value) in (str, int):
        # Most are, and there may be very many.
        return value

    match value:
        case ImageFile(source=FromJob() as earlier):
            return {"job": earlier.id, "index": earlier.index}
        case ImageFile():
            return {"file": inputs.keep(value)}
        case Palette():
            members = [[member.color_hex, member.color_weight] for member in value.members]
            return {"palette": value.name if value.name is not None else members}
        case Unchecked():
            return {"unchecked": str(value)}
        case tuple() | list():
            return [_packed(item, inputs) for item in value]
        case str():
            return str(value)
        case _:
            return value


def _unpacked(value: Any, inputs: Inputs) -> Any:
    match value:
        case {"job": str(id), "index": int(index)}:
            return ImageFile(FromJob(id, index))
        case {"file": dict(told)}:
            return inputs.find(told)
        case {"palette": str(name)}:
            return Palette(name=name)
        case {"palette": list(members)}:
            return Palette(members=tuple(ColorPaletteMember(*member) for member in members))
        case {"unchecked": str(word)}:
            return Unchecked(word)
        case list():
            return tuple(_unpacked(item, inputs) for item in value)
        case _:
            return value


def _without_places(value: Any) -> Any:
    match value:
        case {"file": {"sha256": digest}}:
            return {"sha256": digest}
        case dict():
            return {name: _without_places(item) for name, item in value.items()}
        case list():
            return [_without_places(item) for item in value]
        case _:
            return value


def _canonical(value: Mapping[str, Any]) -> str:
    return _writer.encode(value)
