"""Read a request: from bytes to parts, from parts to the fields of the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from typing import Any

from ideogram_async.sandbox.contract import Problem, Route, Schema, check, is_file
from ideogram_async.sandbox.records import Arrival, Part

__all__ = ["boundary_of", "collect", "fields_of", "flattened", "parse_json", "parse_parts", "problems_of"]

_READERS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "number": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "object": json.loads,
}


def boundary_of(content_type: str) -> str | None:
    """Give the boundary of a multipart content type."""
    header = Message()
    header["Content-Type"] = content_type
    return header.get_boundary()


def parse_parts(body: bytes, boundary: str) -> tuple[Part, ...]:
    """Take a multipart body apart.

    Raises:
        ValueError: If the last boundary is missing.
    """
    chunks = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())

    if not chunks[-1].startswith(b"--"):
        raise ValueError("the multipart body has no end")

    return tuple(_part(chunk) for chunk in chunks[1:-1])


def _part(chunk: bytes) -> Part:
    head, _, body = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace"))
    name = headers.get_param("name", "", header="content-disposition")
    return Part(
        name=name if isinstance(name, str) else collapse_rfc2231_value(name),
        filename=headers.get_filename(),
        content_type=headers.get("Content-Type"),
        body=body,
    )


def parse_json(body: bytes) -> Any:
    """Read a JSON body; anything else is `None`."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def fields_of(arrival: Arrival, route: Route) -> Any:
    """Give the fields of a request as the contract types them, not yet checked."""
    if route.body_type is None:
        return collect(((name, value) for name, value in arrival.query), route.query)
    if route.body_type == "application/json":
        return arrival.json

    return collect(((part.name, part) for part in arrival.parts), route.body)


def collect(pairs: Iterable[tuple[str, Part | str]], schema: Schema) -> dict[str, Any]:
    """Group repeated names and read each value as its schema says; what cannot be read stays text."""
    fields: dict[str, Any] = {}
    properties: Schema = schema["properties"]

    for name, value in pairs:
        own: Schema = properties.get(name, {"type": "string"})

        if own.get("type") == "array":
            fields.setdefault(name, []).append(_read(value, own["items"]))
        elif name in fields:
            fields[name] = [fields[name], value]
        else:
            fields[name] = _read(value, own)

    return fields


def _read(value: Part | str, schema: Schema) -> Any:
    if is_file(schema):
        return value

    text = value.text if isinstance(value, Part) else value
    reader = _READERS.get("object" if "oneOf" in schema else schema["type"])

    try:
        return text if reader is None else reader(text)
    except (KeyError, ValueError):
        return text


def problems_of(arrival: Arrival, route: Route, fields: Any) -> Iterator[Problem]:
    """Find what the contract has against a request."""
    content_type = arrival.headers.get("Content-Type", "")

    if route.body_type is not None and not content_type.lower().startswith(route.body_type):
        yield Problem("Content-Type", f"must be {route.body_type}")
        return

    yield from check(fields, route.body if route.body_type else route.query)


def flattened(fields: dict[str, Any]) -> dict[str, Any]:
    """Lift the fields of `image_request` to the level of the others."""
    inner: dict[str, Any] = fields.get("image_request", {})
    return {**{name: value for name, value in fields.items() if name != "image_request"}, **inner}
