"""Reader of OpenAPI documents: the operations, with every field of their requests and answers in one form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

__all__ = ["ContractError", "Field", "Operation", "operations_in", "read_document"]

Json: TypeAlias = Any
Schema: TypeAlias = Mapping[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
BODIES = {"multipart/form-data": "form", "application/x-www-form-urlencoded": "form", "application/json": "JSON"}
LIMITS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems"),
)
SIBLINGS = ("oneOf", "anyOf", "allOf", "$ref")
# The key of the API, which the client sends with every call.
KEY = "api-key"


class ContractError(Exception):
    """A file that is not an OpenAPI document, or one with an error."""


@frozen
class Field:
    """A field of a request or an answer."""

    kinds: frozenset[str]
    """Types, with their format: `string`, `string (binary)`."""
    values: frozenset[str] | None
    """The values of a closed list, as JSON."""
    limits: Mapping[str, str]
    default: str | None
    may_be_null: bool
    is_required: bool
    places: frozenset[str] = frozenset()
    """Where it is sent: `path`, `query`, `header`, `form`, `form as JSON` or `JSON`."""


@frozen
class Operation:
    """An operation of a contract."""

    bodies: frozenset[str] = frozenset()
    fields: Mapping[str, Field] = field(factory=dict[str, Field])
    """By path: `prompt`, `color_palette.members[].color_hex`."""
    answers: Mapping[str, Mapping[str, Field]] = field(factory=dict[str, Mapping[str, Field]])
    """The fields of the answers, by status."""


def read_document(path: Path) -> Json:
    """Read a file of JSON, or of YAML if pyyaml is installed.

    Raises:
        ContractError: If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ContractError(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise ContractError("not UTF-8 text") from None

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix in (".yaml", ".yml"):
            return _read_yaml(text)

        raise ContractError(f"not JSON: {error}") from None


def _read_yaml(text: str) -> Json:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise ContractError("YAML needs pyyaml: install it, or convert the file to JSON") from None

    try:
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ContractError(f"not YAML: {' '.join(str(error).split())}") from None


def operations_in(document: Json) -> dict[str, Operation]:
    """Return the operations of a document by method and path: `POST /describe`.

    Raises:
        ContractError: If the document has an error; the message names the place.
    """
    version = str(_object(document, "the document").get("openapi", ""))
    if not version.startswith("3."):
        raise ContractError(f'"openapi" must be a version 3, not {json.dumps(document.get("openapi"))}')

    try:
        return dict(_Reader(document).operations())
    except RecursionError:
        raise ContractError("its references form a circle, or it is nested too deeply") from None


@frozen
class _Reader:
    document: Mapping[str, Json]

    def operations(self) -> Iterator[tuple[str, Operation]]:
        if "paths" not in self.document:
            raise ContractError('"paths" is missing')

        for path, item in _object(self.document["paths"], "paths").items():
            methods = self.target(item, path)
            for method in methods.keys() & {*METHODS}:
                name = f"{method.upper()} {path}"
                yield name, self._operation(name, methods[method], methods.get("parameters", []))

    def _operation(self, where: str, declared: Json, shared: Json) -> Operation:
        operation = _object(declared, where)
        fields = dict(self._parameters(where, [*_list(shared, where), *_list(operation.get("parameters", []), where)]))
        body = self.target(operation.get("requestBody", {}), f"{where}: requestBody")
        contents = _object(body.get("content", {}), f"{where}: content")
        bodies = {BODIES.get(media_type, media_type): content for media_type, content in contents.items()}
        for name, content in bodies.items():
            for path, each in self._body(f"{where}: {name}", name, _object(content, where)):
                fields[path] = _merged(fields[path], each) if path in fields else each

        responses = _object(operation.get("responses", {}), f"{where}: responses")
        answers = {str(status): dict(self._answer(f"{where}: {status}", each)) for status, each in responses.items()}
        return Operation(frozenset(bodies), fields, answers)

    def _parameters(self, where: str, declared: list[Json]) -> Iterator[tuple[str, Field]]:
        for node in declared:
            parameter = self.target(node, f"{where}: parameters")
            name, place = str(parameter.get("name")), str(parameter.get("in"))
            if place == "header" and name.lower() == KEY:
                continue

            schema = parameter.get("schema", {})
            for path, each in self._fields([schema], name, parameter.get("required") is True, f"{where}: {name}", ()):
                yield path, evolve(each, places=frozenset({place}))

    def _body(self, where: str, name: str, content: Schema) -> Iterator[tuple[str, Field]]:
        encoding = _object(content.get("encoding", {}), f"{where}: encoding")
        for path, each in self._fields([content.get("schema", {})], "", True, where, ()):
            part = encoding.get(path.partition(".")[0].partition("[")[0], {})
            is_json = name == "form" and _object(part, where).get("contentType") == "application/json"
            if path:
                yield path, evolve(each, places=frozenset({"form as JSON" if is_json else name}))

    def _answer(self, where: str, declared: Json) -> Iterator[tuple[str, Field]]:
        contents = _object(self.target(declared, where).get("content", {}), f"{where}: content")
        content = _object(contents.get("application/json", {}), where)
        yield from (item for item in self._fields([content.get("schema", {})], "", True, where, ()) if item[0])

    def _fields(
        self, schemas: list[Json], path: str, is_required: bool, where: str, parents: tuple[str, ...]
    ) -> Iterator[tuple[str, Field]]:
        """Yield a field and those inside it. It has several schemas if the objects around it are alternatives."""
        options = [option for schema in schemas for option in self._options(schema, where, parents)]
        yield path, _field(_plain(options), is_required, may_be_null=len(_plain(options)) < len(options))
        objects = [(option, inner) for option, inner in options if "properties" in option]
        properties: dict[str, list[tuple[Json, tuple[str, ...]]]] = {}
        for option, inner in objects:
            for name, schema in option["properties"].items():
                properties.setdefault(name, []).append((schema, inner))

        for name, declared in properties.items():
            needed = all(name in option.get("required", []) for option, _ in objects)
            inner = max((inner for _, inner in declared), key=len)
            child = f"{path}.{name}" if path else name
            yield from self._fields([schema for schema, _ in declared], child, needed, f"{where}: {name}", inner)

        items = [(option["items"], inner) for option, inner in options if "items" in option]
        if items:
            inner = max((inner for _, inner in items), key=len)
            yield from self._fields([schema for schema, _ in items], f"{path}[]", True, where, inner)

    def _options(self, schema: Json, where: str, parents: tuple[str, ...]) -> Iterator[tuple[Schema, tuple[str, ...]]]:
        """Yield the alternatives of a schema, without references and combinations, with the references on the way."""
        schema = _schema({} if schema is True else schema, where)
        own = {name: value for name, value in schema.items() if name not in SIBLINGS}
        if "$ref" in schema:
            reference = str(schema["$ref"])
            if reference in parents:
                yield {"type": "recursive"}, parents
                return

            parts: list[Json] = [self.resolve(reference, where)]
            parents = (*parents, reference)
        else:
            parts = []

        combined: Options = [({}, parents)]
        for part in [*parts, *schema.get("allOf", [])]:
            combined = _product(combined, [*self._options(part, where, parents)])

        alternatives = [*schema.get("oneOf", []), *schema.get("anyOf", [])]
        if alternatives:
            options = [option for each in alternatives for option in self._options(each, where, parents)]
            combined = _product(combined, options)

        yield from _product(combined, [(own, parents)])

    def target(self, node: Json, where: str) -> Mapping[str, Json]:
        """Return an object, or the one that it references."""
        target = _object(node, where)
        return self.target(self.resolve(str(target["$ref"]), where), where) if "$ref" in target else target

    def resolve(self, reference: str, where: str) -> Json:
        node: Json = self.document
        start, *names = reference.split("/")
        for name in names:
            key = name.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, dict) else None

        if start != "#" or node is None:
            raise ContractError(f"{where}: {reference!r} is not in the file")

        return node


Options: TypeAlias = list[tuple[Any, tuple[str, ...]]]


def _product(first: Options, second: Options) -> Options:
    """Return each schema of one list combined with each of another."""
    return [(_both(one, other), max(up, down, key=len)) for one, up in first for other, down in second]


def _both(one: Schema, other: Schema) -> Schema:
    """Return a schema that requires what two schemas require."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]

    return merged


def _plain(options: Options) -> list[Schema]:
    """Return the schemas of the alternatives but null."""
    return [option for option, _ in options if option.get("type") != "null"]


def _field(schemas: list[Schema], is_required: bool, *, may_be_null: bool) -> Field:
    kinds = {kind for schema in schemas for kind in _kinds(schema)}
    lists = [schema["enum"] if "enum" in schema else [schema["const"]] for schema in schemas if _is_closed(schema)]
    scalars = [schema for schema in schemas if "properties" not in schema]
    limits = {
        name: " or ".join(sorted({_text(schema[name]) for schema in schemas if name in schema}))
        for name in LIMITS
        if any(name in schema for schema in schemas)
    }
    return Field(
        kinds=frozenset(kinds - {"null"}),
        values=frozenset(map(_text, (value for values in lists for value in values if value is not None)))
        if lists and len(lists) == len(scalars)
        else None,
        limits=limits,
        default=next((_text(schema["default"]) for schema in schemas if "default" in schema), None),
        may_be_null=may_be_null or "null" in kinds,
        is_required=is_required,
    )


def _is_closed(schema: Schema) -> bool:
    return "enum" in schema or "const" in schema


def _kinds(schema: Schema) -> Iterator[str]:
    declared = schema.get("type", "object" if "properties" in schema else [])
    for kind in [declared] if isinstance(declared, str) else declared:
        has_format = kind == "string" and "format" in schema
        yield f"{kind} ({schema['format']})" if has_format else str(kind)

    if schema.get("nullable") is True:
        yield "null"


def _merged(one: Field, other: Field) -> Field:
    """Return a field that is in two bodies."""
    return evolve(
        one,
        places=one.places | other.places,
        kinds=one.kinds | other.kinds,
        values=None if one.values is None or other.values is None else one.values | other.values,
        limits={**other.limits, **one.limits},
        is_required=one.is_required and other.is_required,
        may_be_null=one.may_be_null or other.may_be_null,
    )


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _schema(value: Json, where: str) -> dict[str, Json]:
    """Return a schema whose keywords have the types that the reader relies on."""
    schema = _object(value, where)
    for name in ("oneOf", "anyOf", "allOf", "required", "enum"):
        _list(schema.get(name, []), f"{where}: {name}")

    _object(schema.get("properties", {}), f"{where}: properties")
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else _list(kinds, f"{where}: type"):
        if not isinstance(kind, str):
            raise ContractError(f"{where}: type must be a string, not {_name(kind)}")

    return schema


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ContractError(f"{where} must be an object, not {_name(value)}")

    return value


def _list(value: Json, where: str) -> list[Json]:
    if not isinstance(value, list):
        raise ContractError(f"{where} must be a list, not {_name(value)}")

    return value


def _name(value: Json) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
