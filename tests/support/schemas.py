"""Descriptions of the contract and of the classes in one form, so that they can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

import ideogram_async.sandbox
from ideogram_async import enums, models, requests
from ideogram_async._operations import Body
from ideogram_async.models.base import Item
from ideogram_async.requests._file_rules import ImageRule, ImagesRule
from ideogram_async.requests._palette import PaletteRule
from ideogram_async.requests._rules import Choice, Flag, Integer, Rule, Text, Texts

__all__ = [
    "ALIAS",
    "ANSWERS",
    "ENUMS",
    "OPERATIONS",
    "REQUESTS",
    "SCHEMAS",
    "answer_in_class",
    "answer_in_contract",
    "request_in_class",
    "request_in_contract",
]

CONTRACT: dict[str, Any] = json.loads(Path(ideogram_async.sandbox.__file__).with_name("contract.json").read_text())
SCHEMAS: dict[str, Any] = CONTRACT["components"]["schemas"]
OPERATIONS: dict[str, Any] = {
    f"{method.upper()} {path}": operation
    for path, methods in CONTRACT["paths"].items()
    for method, operation in methods.items()
}

REQUESTS: dict[str, type[Any]] = {
    name: getattr(requests, name) for name in requests.__all__ if hasattr(getattr(requests, name), "endpoint")
}
ANSWERS: dict[str, type[Any]] = {
    name: getattr(models, name) for name in models.__all__ if issubclass(getattr(models, name), Item)
}
ENUMS: dict[str, type[Any]] = {name: getattr(enums, name) for name in enums.__all__ if name != "Unchecked"}

# The contract expresses the absence of FLASH by a second enum.
ALIAS = {"V1IdeogramV3GenerateTransparentPostRequestBodyContentMultipartFormDataSchemaRenderingSpeed": "RenderingSpeed"}
# Fields whose description allows fewer values than their schema.
NARROWED = {("POST /edit", "model"): ("V_2", "V_2_TURBO")}
# Fields that the service may omit, although their schema requires them.
OPTIONAL = ("data", "base_image_url")
# Fields that are null in examples of the service, although their schema does not allow it.
NULLABLE = ("status", "failure_reason", "asset_type")


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or the one that it references."""
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


# ---- requests


def request_in_contract(operation: str) -> dict[str, Any]:
    """Describe an operation of the contract, with the envelope unwrapped and the file always named `image`."""
    schema = OPERATIONS[operation]
    method, path = operation.split()
    content = schema.get("requestBody", {}).get("content", {})
    body = resolve(next(iter(content.values()))["schema"]) if content else {"properties": {}}
    envelope = "image_request" if "image_request" in body["properties"] else None
    inner = resolve(body["properties"][envelope]) if envelope else {}
    properties = body["properties"] | inner.get("properties", {})
    required = [*body.get("required", ()), *inner.get("required", ())]
    for parameter in schema["parameters"]:
        if parameter["in"] != "header":
            properties = properties | {parameter["name"]: parameter["schema"]}
            required += [parameter["name"]] if parameter["required"] else []

    answer = schema["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return {
        "method": method,
        "path": path,
        "content type": next(iter(content), None),
        "envelope": envelope,
        "answer": answer,
        "required": {_class_name(name) for name in required if name != envelope},
        "fields": {
            _class_name(name): _schema_kind(operation, name, field)
            for name, field in properties.items()
            if name != envelope
        },
    }


def request_in_class(kind: type[Any]) -> dict[str, Any]:
    """Describe a request class in the same form."""
    endpoint, fields = kind.endpoint, attrs.fields(kind)
    return {
        "method": endpoint.method,
        "path": endpoint.path,
        "content type": endpoint.body.value if endpoint.body is not Body.QUERY else None,
        "envelope": endpoint.envelope,
        "answer": endpoint.answer.__name__,
        "required": {field.name for field in fields if field.default is attrs.NOTHING},
        "fields": {field.name: _rule_kind(field.metadata["rule"]) for field in fields},
    }


def _class_name(name: str) -> str:
    return "image" if name == "image_file" else name


def _schema_kind(operation: str, name: str, schema: dict[str, Any]) -> Any:
    target = resolve(schema)
    if "enum" in target:
        return ALIAS.get(target["title"], target["title"]), {*NARROWED.get((operation, name), target["enum"])}

    if target.get("type") == "array":
        return "many", _schema_kind(operation, name, target["items"])

    return "palette" if "oneOf" in target else target.get("format", target["type"])


def _rule_kind(rule: Rule) -> Any:
    match rule:
        case Choice():
            return rule.enum.__name__, {str(choice) for choice in rule.enum} - {*rule.excluded}
        case Texts() | ImagesRule():
            return "many", _rule_kind(rule.each)

    kinds = {ImageRule: "binary", PaletteRule: "palette", Integer: "integer", Flag: "boolean", Text: "string"}
    return next(name for kind, name in kinds.items() if isinstance(rule, kind))


# ---- answers


def answer_in_contract(name: str) -> dict[str, Any]:
    """Describe an answer object: for each field its type, whether it is required and whether it may be null."""
    schema = SCHEMAS[name]
    fields = {}
    for field, field_schema in schema["properties"].items():
        types = resolve(field_schema).get("type", ())
        is_required = field in schema.get("required", ()) and field not in OPTIONAL
        fields[field] = _answer_kind(field_schema), is_required, field in NULLABLE or "null" in types

    return fields


def answer_in_class(kind: type[Any]) -> dict[str, Any]:
    """Describe an answer class in the same form. A field that is not required defaults to `None` or an empty tuple."""
    hints = get_type_hints(kind)
    fields = {}
    for field in attrs.fields(kind):
        if field.name in ("extra", "meta"):
            continue

        is_required = field.default is attrs.NOTHING
        may_be_null = type(None) in get_args(hints[field.name])
        assert is_required or field.default in (None, ())
        assert is_required or may_be_null or field.default == ()

        fields[field.name] = _hint_kind(hints[field.name]), is_required, may_be_null

    return fields


def _answer_kind(schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]

    types = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    if types == "array":
        return "many", _answer_kind(schema["items"])

    return "date-time" if schema.get("format") == "date-time" else types


def _hint_kind(hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return "many", _hint_kind(get_args(hint)[0])

    kinds = {str: "string", int: "integer", bool: "boolean", datetime: "date-time"}
    options = [arg for arg in _alternatives(hint) if arg is not type(None)]
    # An enum is combined with `str`, so that unknown values are accepted.
    names = [arg.__name__ for arg in options if arg not in kinds]
    if names and names[0] in ENUMS:
        assert str in options

    return names[0] if names else kinds[options[0]]


def _alternatives(hint: Any) -> Iterator[Any]:
    yield from get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
