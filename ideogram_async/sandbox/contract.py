"""The contract of the service as data: which operations there are, and what is wrong with a value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from attrs import frozen

from ideogram_async.sandbox.records import Arrival, Part

__all__ = [
    "Problem",
    "Route",
    "Schema",
    "boundary_of",
    "check",
    "collect",
    "enumerated",
    "fields_of",
    "flattened",
    "is_file",
    "is_list",
    "is_object",
    "match",
    "parse_json",
    "parse_parts",
    "problems_of",
    "routes",
]

Schema = Mapping[str, Any]


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Say whether a value of JSON is a list."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Say whether a value of JSON is an object."""
    return isinstance(value, dict)


_CONTRACT = Path(__file__).with_name("contract.json")

_JSON_TYPES: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": is_list,
    "object": is_object,
}


class Problem(NamedTuple):
    """One field and the rule it breaks."""

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field or 'body'}: {self.rule}"


@frozen
class Route:
    """One operation of the contract."""

    operation: str
    """Method and path template, such as `GET /models/{model_id}`."""
    method: str
    pattern: re.Pattern[str]
    body_type: str | None
    """The content type of the body, or `None` for an operation without a body."""
    body: Schema
    query: Schema

    @property
    def path(self) -> str:
        """Give the path template."""
        return self.operation.partition(" ")[2]

    def has(self, field: str) -> bool:
        """Say whether the operation knows a field, also inside its `image_request`."""
        properties = self.body.get("properties", {})
        inner = properties.get("image_request", {}).get("properties", {})
        return field in properties or field in inner


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    document = json.loads(_CONTRACT.read_text(encoding="utf-8"))
    inlined: dict[str, Any] = _inlined(document, document["components"]["schemas"])
    return inlined


def _inlined(node: Any, schemas: Schema) -> Any:
    """Replace each `$ref` by what it names; the contract has no cycles."""
    if is_list(node):
        return [_inlined(item, schemas) for item in node]
    if not is_object(node):
        return node
    if "$ref" in node:
        return _inlined(schemas[node["$ref"].rpartition("/")[2]], schemas)

    return {name: _inlined(item, schemas) for name, item in node.items()}


@lru_cache(maxsize=1)
def routes() -> tuple[Route, ...]:
    """Give all operations, in the order of the contract."""
    return tuple(
        _route(method.upper(), path, operation)
        for path, methods in _document()["paths"].items()
        for method, operation in methods.items()
    )


def _route(method: str, path: str, operation: Schema) -> Route:
    content: Schema = operation.get("requestBody", {}).get("content", {})
    body_type = next(iter(content), None)
    query = {field["name"]: field["schema"] for field in operation["parameters"] if field["in"] == "query"}
    return Route(
        operation=f"{method} {path}",
        method=method,
        pattern=re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)),
        body_type=body_type,
        body=content[body_type]["schema"] if body_type else {},
        query={"type": "object", "properties": query},
    )


def match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Find the operation of a method and path, with the values in the path."""
    for route in routes():
        found = route.pattern.fullmatch(path) if route.method == method else None

        if found is not None:
            return route, found.groupdict()

    return None


def enumerated(name: str) -> tuple[str, ...]:
    """Give the values of one of the contract's enums."""
    return tuple(_document()["components"]["schemas"][name]["enum"])


def is_file(schema: Schema) -> bool:
    """Say whether a field takes a file."""
    return schema.get("format") == "binary"


def check(value: Any, schema: Schema, where: str = "") -> Iterator[Problem]:
    """Find what is wrong with a value: types, enum values, missing and unknown fields."""
    if "oneOf" in schema:
        yield from _check_choice(value, schema["oneOf"], where)
    elif is_file(schema):
        if not isinstance(value, Part) or value.filename is None:
            yield Problem(where, "must be a file")
    elif not _JSON_TYPES[schema["type"]](value):
        yield Problem(where, f"must be of type {schema['type']}")
    elif "enum" in schema and value not in schema["enum"]:
        yield Problem(where, f"{value!r} is not one of the allowed values")
    elif schema["type"] == "array":
        for index, item in enumerate(value):
            yield from check(item, schema["items"], f"{where}[{index}]")
    elif schema["type"] == "object":
        yield from _check_object(value, schema, where)


def _check_choice(value: Any, options: list[Schema], where: str) -> Iterator[Problem]:
    if all(any(check(value, option, where)) for option in options):
        yield Problem(where, "fits none of the allowed forms")


def _check_object(value: dict[str, Any], schema: Schema, where: str) -> Iterator[Problem]:
    prefix = f"{where}." if where else ""
    properties: Schema = schema.get("properties", {})

    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(prefix + name, "is required")

    for name, item in value.items():
        if name in properties:
            yield from check(item, properties[name], prefix + name)
        else:
            yield Problem(prefix + name, "is not a field of this operation")


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
