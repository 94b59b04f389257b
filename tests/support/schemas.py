"""The contract and the classes, each told in the same words so that they can be compared."""

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
    "ANSWERS",
    "ENUMS",
    "OPERATIONS",
    "POSITIONAL",
    "REQUESTS",
    "SAME",
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

# What may be given by position; everything else is named.
POSITIONAL: dict[str, list[str]] = {
    "CreateDataset": ["name"],
    "Describe": ["image"],
    "Edit": ["prompt"],
    "Generate": ["prompt"],
    "GenerateTransparent": ["prompt"],
    "GetDataset": ["dataset_id"],
    "GetModel": ["model_id"],
    "Inpaint": ["image", "mask", "prompt"],
    "LayerizeText": ["image"],
    "LegacyEdit": ["image", "mask", "prompt"],
    "LegacyEditV3": ["image", "mask", "prompt"],
    "LegacyGenerate": ["prompt"],
    "LegacyReframe": ["image", "resolution"],
    "LegacyRemix": ["image", "prompt"],
    "ListDatasets": [],
    "ListModels": [],
    "Reframe": ["image", "resolution"],
    "Remix": ["image", "prompt"],
    "RemoveBackground": ["image"],
    "ReplaceBackground": ["image", "prompt"],
    "TrainModel": ["dataset_id", "model_name"],
    "UploadDatasetAssets": ["dataset_id", "files"],
    "Upscale": ["image"],
}

# The contract writes FLASH's absence as a second enum.
SAME = {"V1IdeogramV3GenerateTransparentPostRequestBodyContentMultipartFormDataSchemaRenderingSpeed": "RenderingSpeed"}
# Where its prose takes fewer words than its schema.
FEWER = {("POST /edit", "model"): ("V_2", "V_2_TURBO")}
# Newer services leave it out.
MAY_BE_ABSENT = ("data",)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference."""
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


# ---- requests


def request_in_contract(operation: str) -> dict[str, Any]:
    """Tell an operation in the contract's words; the envelope is opened, and the file is always `image`."""
    told = OPERATIONS[operation]
    method, path = operation.split()
    content = told.get("requestBody", {}).get("content", {})
    body = resolved(next(iter(content.values()))["schema"]) if content else {"properties": {}}
    envelope = "image_request" if "image_request" in body["properties"] else None
    inner = resolved(body["properties"][envelope]) if envelope else {}
    properties = body["properties"] | inner.get("properties", {})
    required = [*body.get("required", ()), *inner.get("required", ())]
    for parameter in told["parameters"]:
        if parameter["in"] != "header":
            properties = properties | {parameter["name"]: parameter["schema"]}
            required += [parameter["name"]] if parameter["required"] else []

    answer = told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return {
        "method": method,
        "path": path,
        "content type": next(iter(content), None),
        "envelope": envelope,
        "answer": answer,
        "required": {_class_name(name) for name in required if name != envelope},
        "fields": {
            _class_name(name): _schema_kind(operation, name, schema)
            for name, schema in properties.items()
            if name != envelope
        },
    }


def request_in_class(kind: type[Any]) -> dict[str, Any]:
    """Tell a request class in the same words."""
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
    target = resolved(schema)
    if "enum" in target:
        return SAME.get(target["title"], target["title"]), {*FEWER.get((operation, name), target["enum"])}

    if target.get("type") == "array":
        return "many", _schema_kind(operation, name, target["items"])

    return "palette" if "oneOf" in target else target.get("format", target["type"])


def _rule_kind(rule: Rule) -> Any:
    match rule:
        case Choice():
            return rule.enum.__name__, {str(word) for word in rule.enum} - {*rule.excluded}
        case Texts() | ImagesRule():
            return "many", _rule_kind(rule.each)

    kinds = {ImageRule: "binary", PaletteRule: "palette", Integer: "integer", Flag: "boolean", Text: "string"}
    return next(told for kind, told in kinds.items() if isinstance(rule, kind))


# ---- answers


def answer_in_contract(name: str) -> dict[str, Any]:
    """Tell an object of an answer: its fields with their types, whether each is promised and whether it may be null."""
    schema = SCHEMAS[name]
    told = {}
    for field, given in schema["properties"].items():
        types = resolved(given).get("type")
        is_promised = field in schema.get("required", ()) and field not in MAY_BE_ABSENT
        told[field] = _answer_kind(given), is_promised, isinstance(types, list) and "null" in types

    return told


def answer_in_class(kind: type[Any]) -> dict[str, Any]:
    """Tell an answer class in the same words. What is not promised is `None` or empty, so null is no news there."""
    hints = get_type_hints(kind)
    told = {}
    for field in attrs.fields(kind):
        if field.name in ("extra", "meta"):
            continue

        is_promised = field.default is attrs.NOTHING
        may_be_null = type(None) in get_args(hints[field.name])
        assert is_promised or field.default in (None, ())
        assert is_promised or may_be_null or field.default == ()

        told[field.name] = _hint_kind(hints[field.name]), is_promised, may_be_null

    return told


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
    # An enum stands beside `str`, so that unknown words pass.
    named = [arg.__name__ for arg in options if arg not in kinds]
    if named and named[0] in ENUMS:
        assert str in options

    return named[0] if named else kinds[options[0]]


def _alternatives(hint: Any) -> Iterator[Any]:
    yield from get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
