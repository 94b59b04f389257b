"""The fields of a request, typed and validated by the schemas of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ideogram_async.sandbox.contract import Body, Fields, Route, Schema
from ideogram_async.sandbox.parsing import parse_json
from ideogram_async.sandbox.records import Part, RecordedRequest

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
FORM_PARSERS: dict[str, Callable[[str], object]] = {
    # JSON has no other spelling of numbers, such as `1_000`.
    "integer": parse_json,
    "number": parse_json,
    "boolean": {"true": True, "false": False}.__getitem__,
    "object": parse_json,
}
# The limits of JSON Schema that the contracts use: whether a value is within one, and the rule in words.
LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, "must be at least {}"),
    "maximum": (lambda value, limit: value <= limit, "must be at most {}"),
    "minLength": (lambda value, limit: len(value) >= limit, "must have at least {} characters"),
    "maxLength": (lambda value, limit: len(value) <= limit, "must have at most {} characters"),
    "pattern": (lambda value, limit: re.search(limit, value) is not None, "must match {}"),
    "minItems": (lambda value, limit: len(value) >= limit, "must have at least {} items"),
    "maxItems": (lambda value, limit: len(value) <= limit, "must have at most {} items"),
}


class Problem(NamedTuple):
    """A field and the rule that it breaks."""

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field or 'body'}: {self.rule}"


def fields_of(request: RecordedRequest, route: Route) -> Any:
    """Return the fields of a request as the contract types them, not yet checked."""
    body = body_of(request, route)
    if not route.bodies:
        return _collect(request.query, body)
    if request.media_type == "application/json":
        return request.json

    return _collect(((part.name, part) for part in request.parts), body)


def query_of(request: RecordedRequest, route: Route) -> Fields:
    """Return the query parameters of an operation with a body; undeclared ones are ignored."""
    declared = [(name, value) for name, value in request.query if name in route.query["properties"]]
    return _collect(declared, Body(route.query)) if route.bodies else {}


def flattened(fields: Fields) -> Fields:
    """Return the fields with those of `image_request` at the level of the others."""
    outer = {name: value for name, value in fields.items() if name != "image_request"}
    return {**outer, **fields.get("image_request", {})}


def find_problems(request: RecordedRequest, route: Route, fields: Any) -> Iterator[Problem]:
    """Validate a request against the schemas of its operation."""
    if route.bodies and request.media_type not in route.bodies:
        yield Problem("Content-Type", f"must be {' or '.join(route.body_types)}")
        return

    yield from check(query_of(request, route), route.query) if route.bodies else ()
    yield from check(fields, body_of(request, route).schema)


def body_of(request: RecordedRequest, route: Route) -> Body:
    """Return the form of the body that a request has; an operation without a body has its query in place of one."""
    if not route.bodies:
        return Body(route.query)

    return route.bodies.get(request.media_type) or next(iter(route.bodies.values()))


def _collect(pairs: Iterable[tuple[str, Part | str]], body: Body) -> Fields:
    """Group repeated names and parse each value by its schema; a value that cannot be parsed stays text."""
    fields: Fields = {}
    for name, value in pairs:
        schema: Schema = body.schema["properties"].get(name, {"type": "string"})
        if "array" in _types_of(schema) and name not in body.json_parts:
            fields.setdefault(name, []).append(_parse_value(value, schema["items"]))
            continue

        parsed = _parse_json_part(value) if name in body.json_parts else _parse_value(value, schema)
        fields[name] = [fields[name], parsed] if name in fields else parsed

    return fields


def _parse_json_part(value: Part | str) -> object:
    """Parse a part that must be JSON; one of another type stays a part."""
    is_json = isinstance(value, Part) and (value.content_type or "").partition(";")[0].strip() == "application/json"
    return parse_json(value.body) if isinstance(value, Part) and is_json else value


def _parse_value(value: Part | str, schema: Schema) -> object:
    if _is_file(schema):
        return value

    kind = _types_of(schema)[0]
    if isinstance(value, Part):
        # A browser sends JSON as a file, but no other text.
        if value.filename is not None and kind != "object":
            return value

        # Invalid UTF-8 becomes lone surrogates, which no field accepts.
        value = value.body.decode("utf-8", "surrogateescape")

    try:
        return FORM_PARSERS.get(kind, str)(value)
    except (KeyError, ValueError):
        return value


def check(value: Any, schema: Schema, name: str = "") -> Iterator[Problem]:
    """Check types, enum values, limits, and missing and unknown fields."""
    types = _types_of(schema)
    if options := _options_of(schema):
        if all(any(check(value, option, name)) for option in options):
            yield Problem(name, "fits none of the allowed forms")
    elif _is_file(schema):
        if not isinstance(value, Part) or value.filename is None:
            yield Problem(name, "must be a file")
    elif value is None and "null" in types:
        return
    elif not any(_has_type(value, kind) for kind in types):
        form = ", in a part of type application/json" if isinstance(value, Part) else ""
        yield Problem(name, f"must be of type {types[0]}{form}")
    elif isinstance(value, str) and not _is_unicode(value):
        yield Problem(name, "must be valid Unicode text")
    elif "enum" in schema and value not in schema["enum"]:
        yield Problem(name, f"{value!r} is not one of the allowed values")
    else:
        yield from _check_limits(value, schema, name)
        yield from _check_content(value, schema, name)


def _check_limits(value: Any, schema: Schema, name: str) -> Iterator[Problem]:
    for limit, (is_within, rule) in LIMITS.items():
        if limit in schema and not is_within(value, schema[limit]):
            yield Problem(name, rule.format(schema[limit]))

    if schema.get("format") == "date-time" and not _is_time(value):
        yield Problem(name, "must be a time with a UTC offset, such as 2026-11-28T09:30:00Z")


def _check_content(value: Any, schema: Schema, name: str) -> Iterator[Problem]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from check(item, schema["items"], f"{name}[{index}]")
    elif isinstance(value, dict):
        yield from _check_object(value, schema, f"{name}." if name else "")


def _check_object(value: Schema, schema: Schema, prefix: str) -> Iterator[Problem]:
    properties: Schema = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(prefix + name, "is required")

    others: Schema | bool = schema.get("additionalProperties", False)
    for name, item in value.items():
        known = properties.get(name, others)
        if isinstance(known, Mapping):
            yield from check(item, known, prefix + name)
        elif not schema.get("x-open"):
            yield Problem(prefix + name, "is not a field of this operation")


def _types_of(schema: Schema) -> list[str]:
    """Return the JSON types that a schema allows; alternatives are objects in both contracts."""
    declared: str | list[str] = schema.get("type", "object")
    return [declared] if isinstance(declared, str) else declared


def _options_of(schema: Schema) -> list[Schema]:
    options: list[Schema] = schema.get("oneOf") or schema.get("anyOf") or []
    return options


def _has_type(value: object, json_type: str) -> bool:
    is_bool = isinstance(value, bool)
    return is_bool if json_type == "boolean" else not is_bool and isinstance(value, JSON_TYPES.get(json_type, ()))


def _is_unicode(text: str) -> bool:
    """Return whether a text contains no lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_time(text: str) -> bool:
    """Return whether a text is a time with an offset, in a year that UTC has, too."""
    try:
        time = datetime.fromisoformat(text)
        return time.tzinfo is not None and time.astimezone(UTC).year > 0
    except (ValueError, OverflowError):
        return False


def _is_file(schema: Schema) -> bool:
    return schema.get("format") == "binary"
