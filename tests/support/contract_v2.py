"""The second contract: the smallest valid request of each operation, and checks of requests and replies.

Nothing here uses the request and answer classes of the library.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import aiohttp

from ideogram_async.sandbox.contract import Route, find_schema, routes
from ideogram_async.sandbox.declared_rules import declared_violations
from ideogram_async.sandbox.records import RecordedRequest
from ideogram_async.sandbox.validation import body_of, check, fields_of, find_problems
from support.pictures import picture

__all__ = ["BODIES", "FORM", "JSON", "ROUTES", "answer_problems", "example", "form_of", "request_problems"]

JSON, FORM = "application/json", "multipart/form-data"
ROUTES: dict[str, Route] = {route.operation: route for route in routes() if route.mode is not None}
BODIES: list[tuple[str, str]] = [(route.operation, body) for route in ROUTES.values() for body in route.bodies]


def request_problems(request: RecordedRequest) -> list[str]:
    """Return what the contract forbids in a request that a sandbox has received."""
    route = ROUTES[request.operation]
    fields = fields_of(request, route)
    problems = [str(problem) for problem in find_problems(request, route, fields)]
    return problems or [str(problem) for problem in declared_violations(body_of(request, route).schema, fields)]


def answer_problems(body: Any, schema: str) -> list[str]:
    """Return where a JSON value differs from the answer of an operation, or from a schema of that name."""
    answer = ROUTES[schema].answer if schema in ROUTES else find_schema(schema)
    return [str(problem) for problem in check(body, answer)]


def example(operation: str, media_type: str) -> dict[str, Any]:
    """Return the fields of the smallest valid request; files are bytes, and a JSON body has assets in their place."""
    schema = ROUTES[operation].bodies[media_type].schema
    properties = schema["properties"]
    names = list(schema.get("required", ()))
    for rule in schema.get("x-rules", ()):
        options = rule.get("exactly_one", ())
        names += [name for name in options if media_type == FORM or not _is_file(properties[name])][:1]

    return {name: _example_of(properties[name]) for name in names}


def form_of(operation: str, fields: dict[str, Any]) -> aiohttp.FormData:
    """Return a form as the contract declares it: files, repeated parts, and JSON parts."""
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in fields.items():
        is_json = name in ROUTES[operation].bodies[FORM].json_parts
        for item in value if isinstance(value, list) and not is_json else [value]:
            if isinstance(item, bytes):
                form.add_field(name, BytesIO(item), filename=f"{name}.png", content_type="image/png")
            elif is_json:
                form.add_field(name, json.dumps(item), content_type=JSON)
            else:
                form.add_field(name, item if isinstance(item, str) else json.dumps(item))

    return form


def _is_file(schema: Any) -> bool:
    return schema.get("items", schema).get("format") == "binary"


def _example_of(schema: Any) -> Any:
    if schema.get("format") == "binary":
        return picture()
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "array":
        return [_example_of(schema["items"])]
    if schema["type"] == "object":
        return {name: _example_of(schema["properties"][name]) for name in schema.get("required", ())}

    return "a red fox"
