"""The API contract: its operations, the parsing of their requests, and validation against the schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from attrs import frozen

from ideogram_async.sandbox.records import Part, RecordedRequest

Schema: TypeAlias = Mapping[str, Any]
# The fields of a request by name: values of JSON, parts and lists of parts, as the contract types them.
Fields: TypeAlias = dict[str, Any]

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
FORM_PARSERS: dict[str, Callable[[str], object]] = {
    "integer": int,
    "number": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "object": json.loads,
}


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
        return self.operation.partition(" ")[2]

    def has(self, field: str) -> bool:
        """Return whether the operation has a field, also inside its `image_request`."""
        properties = self.body.get("properties", {})
        return field in properties or field in properties.get("image_request", {}).get("properties", {})


@lru_cache(maxsize=1)
def routes() -> tuple[Route, ...]:
    """Return all operations, in the order of the contract."""
    return tuple(
        _route(method.upper(), path, operation)
        for path, methods in _document()["paths"].items()
        for method, operation in methods.items()
    )


def match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the operation of a method and path, with the values in the path."""
    for route in routes():
        if route.method == method and (values := route.pattern.fullmatch(path)):
            return route, values.groupdict()

    return None


def enum_values(name: str) -> tuple[str, ...]:
    """Return the values of one of the contract's enums."""
    return tuple(_document()["components"]["schemas"][name]["enum"])


@lru_cache(maxsize=1)
def _document() -> Schema:
    document: Schema = json.loads(Path(__file__).with_name("contract.json").read_text(encoding="utf-8"))
    inlined: Schema = _inline(document, document["components"]["schemas"])
    return inlined


def _inline(node: Any, schemas: Schema) -> Any:
    """Replace each `$ref` by the schema that it names; the contract has no cycles."""
    if isinstance(node, list):
        return [_inline(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inline(schemas[node["$ref"].rpartition("/")[2]], schemas)

    return {name: _inline(item, schemas) for name, item in node.items()}


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


def parse_json(body: bytes) -> Any:
    """Parse a JSON body; return `None` if it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def parse_parts(body: bytes, content_type: str) -> tuple[Part, ...]:
    """Split a multipart body into its parts; a body without its last boundary has none."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        return ()

    chunks = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    return tuple(map(_parse_part, chunks[1:-1])) if chunks[-1].startswith(b"--") else ()


def _parse_part(chunk: bytes) -> Part:
    head, _, body = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace"))
    name = headers.get_param("name", "", header="content-disposition")
    return Part(
        name=name if isinstance(name, str) else collapse_rfc2231_value(name),
        filename=headers.get_filename(),
        content_type=headers.get("Content-Type"),
        body=body,
    )


def fields_of(request: RecordedRequest, route: Route) -> Any:
    """Return the fields of a request as the contract types them, not yet checked."""
    if route.body_type is None:
        return _collect(request.query, route.query)
    if route.body_type == "application/json":
        return request.json

    return _collect(((part.name, part) for part in request.parts), route.body)


def flattened(fields: Fields) -> Fields:
    """Return the fields with those of `image_request` at the level of the others."""
    outer = {name: value for name, value in fields.items() if name != "image_request"}
    return {**outer, **fields.get("image_request", {})}


def _collect(pairs: Iterable[tuple[str, Part | str]], schema: Schema) -> Fields:
    """Group repeated names and parse each value by its schema; a value that cannot be parsed stays text."""
    fields: Fields = {}
    for name, value in pairs:
        field_schema: Schema = schema["properties"].get(name, {"type": "string"})
        if field_schema.get("type") == "array":
            fields.setdefault(name, []).append(_parse_value(value, field_schema["items"]))
        elif name in fields:
            fields[name] = [fields[name], value]
        else:
            fields[name] = _parse_value(value, field_schema)

    return fields


def _parse_value(value: Part | str, schema: Schema) -> object:
    if _is_file(schema):
        return value

    text = value.text if isinstance(value, Part) else value
    parser = FORM_PARSERS.get("object" if "oneOf" in schema else schema["type"], str)
    try:
        return parser(text)
    except (KeyError, ValueError):
        return text


class Problem(NamedTuple):
    """A field and the rule that it breaks."""

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field or 'body'}: {self.rule}"


def find_problems(request: RecordedRequest, route: Route, fields: Any) -> Iterator[Problem]:
    """Validate a request against the contract."""
    content_type = request.headers.get("Content-Type", "")
    if route.body_type is not None and not content_type.lower().startswith(route.body_type):
        yield Problem("Content-Type", f"must be {route.body_type}")
    else:
        yield from _check(fields, route.body if route.body_type else route.query)


def _check(value: Any, schema: Schema, name: str = "") -> Iterator[Problem]:
    """Check types, enum values, and missing and unknown fields."""
    if "oneOf" in schema:
        if all(any(_check(value, option, name)) for option in schema["oneOf"]):
            yield Problem(name, "fits none of the allowed forms")
    elif _is_file(schema):
        if not isinstance(value, Part) or value.filename is None:
            yield Problem(name, "must be a file")
    elif not _has_type(value, schema["type"]):
        yield Problem(name, f"must be of type {schema['type']}")
    elif "enum" in schema and value not in schema["enum"]:
        yield Problem(name, f"{value!r} is not one of the allowed values")
    elif schema["type"] == "array":
        for index, item in enumerate(value):
            yield from _check(item, schema["items"], f"{name}[{index}]")
    elif schema["type"] == "object":
        yield from _check_object(value, schema, f"{name}." if name else "")


def _check_object(value: Schema, schema: Schema, prefix: str) -> Iterator[Problem]:
    properties: Schema = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(prefix + name, "is required")

    for name, item in value.items():
        if name in properties:
            yield from _check(item, properties[name], prefix + name)
        else:
            yield Problem(prefix + name, "is not a field of this operation")


def _has_type(value: object, json_type: str) -> bool:
    is_bool = isinstance(value, bool)
    return is_bool if json_type == "boolean" else not is_bool and isinstance(value, JSON_TYPES[json_type])


def _is_file(schema: Schema) -> bool:
    return schema.get("format") == "binary"
