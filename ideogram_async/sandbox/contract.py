"""The API contracts: their operations, with the schemas of requests and replies."""

from __future__ import annotations

import json
import re
from collections import ChainMap
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from attrs import field, frozen

Schema: TypeAlias = Mapping[str, Any]
# The fields of a request by name: values of JSON, parts and lists of parts, as the contract types them.
Fields: TypeAlias = dict[str, Any]

FILES = ("contract.json", "contract_v2.json")
# The later contract declares JSON for these, too: https://developer.ideogram.ai/v1/api-reference/generate-images
WITH_JSON = ("/v1/ideogram-v3/generate", "/v1/ideogram-v3/generate-transparent")


@frozen
class Body:
    """One form of the body of an operation."""

    schema: Schema
    json_parts: frozenset[str] = frozenset()
    """The fields that a form sends as a part of type `application/json`."""


@frozen
class Route:
    """One operation of a contract."""

    operation: str
    """Method and path template, such as `GET /models/{model_id}`."""
    method: str
    pattern: re.Pattern[str]
    bodies: Mapping[str, Body]
    """The bodies by content type; empty for an operation without a body."""
    query: Schema
    answer: Schema
    """The schema of the reply with status 200."""
    unauthorized: int
    """The status of a reply to a request without a key; 0 if the operation needs none."""
    mode: str | None
    """`sync`, `sync-or-async`, `async-only` or `read`; `None` in the first contract."""
    price: Schema = field(factory=dict[str, Any])
    """The prices that the contract file lists for the operation."""

    @property
    def path(self) -> str:
        return self.operation.partition(" ")[2]

    @property
    def action(self) -> str:
        """The action of an operation of the second contract, such as `generate`; the last segment is a model."""
        *_, action, model = PurePosixPath(self.path).parts
        return model if model == "magic-prompt" else action

    @property
    def body_types(self) -> tuple[str, ...]:
        """The content types of the body; empty for an operation without a body."""
        return tuple(self.bodies)

    @property
    def body(self) -> Schema:
        """The schema of the body in its first content type."""
        return next((body.schema for body in self.bodies.values()), {})

    @property
    def has_quote(self) -> bool:
        """Return whether the operation declares the query parameter `dry_run`; the others ignore it."""
        return "dry_run" in self.query["properties"]

    def has(self, field: str) -> bool:
        """Return whether the operation has a field, also inside its `image_request`."""
        properties = self.body.get("properties", {})
        return field in properties or field in properties.get("image_request", {}).get("properties", {})


@lru_cache(maxsize=1)
def routes() -> tuple[Route, ...]:
    """Return all operations, in the order of the contracts."""
    return tuple(
        _route(method.upper(), path, operation)
        for document in _documents()
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )


def match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the operation of a method and path, with the values in the path."""
    for route in routes():
        if route.method == method and (values := route.pattern.fullmatch(path)):
            return route, values.groupdict()

    return None


def find_schema(name: str) -> Schema:
    """Return a schema by its name; the first contract that has it decides."""
    schema: Schema = ChainMap(*(document["components"]["schemas"] for document in _documents()))[name]
    return schema


@lru_cache(maxsize=1)
def _documents() -> tuple[dict[str, Any], ...]:
    return tuple(_read(Path(__file__).with_name(name)) for name in FILES)


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    inlined: dict[str, Any] = _inline(document, document["components"]["schemas"])
    return inlined


def _inline(node: Any, schemas: Schema) -> Any:
    """Replace each `$ref` by the schema that it names; the contracts have no cycles."""
    if isinstance(node, list):
        return [_inline(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node

    inlined = {name: _inline(item, schemas) for name, item in node.items() if name != "$ref"}
    return {**_inline(schemas[node["$ref"].rpartition("/")[2]], schemas), **inlined} if "$ref" in node else inlined


def _route(method: str, path: str, operation: Schema) -> Route:
    content: Schema = operation.get("requestBody", {}).get("content", {})
    bodies = {media_type: _body(declared) for media_type, declared in content.items()}
    if path in WITH_JSON:
        bodies["application/json"] = next(iter(bodies.values()))

    query = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
    responses = operation["responses"]
    return Route(
        operation=f"{method} {path}",
        method=method,
        pattern=re.compile(re.sub(r"\\?\{(\w+)\\?\}", r"(?P<\1>[^/]+)", re.escape(path))),
        bodies=bodies,
        query={
            "type": "object",
            "properties": {parameter["name"]: parameter["schema"] for parameter in query},
            "required": [parameter["name"] for parameter in query if parameter.get("required")],
        },
        answer=responses["200"]["content"]["application/json"]["schema"],
        unauthorized=_unauthorized(operation),
        mode=operation.get("x-mode"),
        price=operation.get("x-price", {}),
    )


def _body(declared: Schema) -> Body:
    encoding: Schema = declared.get("encoding", {})
    json_parts = [name for name, part in encoding.items() if part["contentType"] == "application/json"]
    return Body(declared["schema"], frozenset(json_parts))


def _unauthorized(operation: Schema) -> int:
    if operation.get("security") == []:
        return 0

    # Some operations declare 403 where the others declare 401.
    return 403 if "403" in operation["responses"] and "401" not in operation["responses"] else 401
