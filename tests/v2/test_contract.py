"""Request classes of the second contract, compared with its file, and received by a sandbox that serves that file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.contract_v2 import FORM, JSON, ROUTES, example, request_problems
from support.pictures import mask, picture

import ideogram_async.sandbox
from ideogram_async import AssetIdentifier, Ideogram, v2
from ideogram_async._namespaces_v2 import V2
from ideogram_async._operations import Accept, operations_of
from ideogram_async.sandbox import Sandbox

CONTRACT = json.loads(Path(ideogram_async.sandbox.__file__).with_name("contract_v2.json").read_text())
OPERATIONS = {
    f"{method.upper()} {path}": declared
    for path, methods in CONTRACT["paths"].items()
    for method, declared in methods.items()
}
CLASSES: dict[str, type[Any]] = {
    operation: getattr(v2, declared["x-class"].removeprefix("v2.")) for operation, declared in OPERATIONS.items()
}
ASSET = AssetIdentifier(asset_type="RESPONSE", asset_id="x")
# Fields of the wire that are another field of the class, with assets in place of files.
ASSETS = {
    "image_asset_identifier": "image",
    "image_asset_identifiers": "images",
    "mask_asset_identifier": "mask",
    "reference_image_asset_identifiers": "reference_images",
    "style_reference_asset_identifiers": "style_reference_images",
    "character_reference_asset_identifiers": "character_reference_images",
}
# The mode of a call, and a switch that is not for users.
NOT_OFFERED = {"async", "webhook_url", "internal"}
ACCEPT = {"sync": Accept.NEVER, "read": Accept.NEVER, "sync-or-async": Accept.OPTIONAL, "async-only": Accept.ALWAYS}
VALUES: dict[str, Any] = {"mask": mask(), "size": "1024x1024", "context_window": "none", "style_codes": ["00ff00ff"]}
FIELDS = [
    (operation, name)
    for operation, route in ROUTES.items()
    for name in route.body.get("properties", {})
    if name not in NOT_OFFERED
]
ENUMS = [(operation, name) for operation, name in FIELDS if "enum" in ROUTES[operation].body["properties"][name]]


def value_of(name: str, schema: dict[str, Any]) -> Any:
    """Return a value for a field of a request class."""
    if name in VALUES:
        return VALUES[name]
    if name in ASSETS:
        return [ASSET] if schema["type"] == "array" else ASSET
    if "enum" in schema:
        return schema["enum"][-1]
    if "anyOf" in schema:
        return schema["anyOf"][0]["properties"]["name"]["enum"][-1]

    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    item = value_of("", schema["items"]) if kind == "array" else None
    text = picture() if schema.get("format") == "binary" else "a red fox"
    return {"array": [item], "boolean": True, "integer": schema.get("maximum", 1), "string": text}[kind]


def make(operation: str, **fields: Any) -> Any:
    """Return a request with the fields that it needs, and others; `None` leaves one out."""
    route = ROUTES[operation]
    values = example(operation, FORM if FORM in route.bodies else JSON) | fields
    return CLASSES[operation](**{name: value for name, value in values.items() if value is not None})


def beside(operation: str, name: str) -> dict[str, Any]:
    """Return what a field needs beside it, or takes the place of."""
    if name == "reference_image_asset_identifiers":
        return {"image": ASSET}
    if name == "character_reference_collection_id":
        return {"character_reference_images": None}

    return {"images": [picture()]} if name in ("mask", "quality") and ROUTES[operation].has("images") else {}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_endpoint(operation: str) -> None:
    """Method, path, mode, webhook, quote, key and positional arguments are those of the contract."""
    endpoint, route = CLASSES[operation].endpoint, ROUTES[operation]
    positional = [field.name for field in attrs.fields(CLASSES[operation]) if not field.kw_only]

    assert operation == str(endpoint)
    assert ACCEPT[str(route.mode)] is endpoint.accept
    assert route.has("webhook_url") == endpoint.has_webhook
    assert route.has_quote == endpoint.has_quote
    assert bool(route.unauthorized) == endpoint.needs_key
    assert OPERATIONS[operation].get("x-positional", []) == positional


def test_methods() -> None:
    """Each operation with a body is a method of `client.v2`, under the name in the contract."""
    methods = {
        declared["x-method"].removeprefix("client.v2."): CLASSES[operation]
        for operation, declared in OPERATIONS.items()
        if ROUTES[operation].bodies
    }

    assert methods == operations_of(V2)


@pytest.mark.parametrize("operation", [operation for operation, route in ROUTES.items() if route.bodies])
def test_fields(operation: str) -> None:
    """A class has the fields of the contract, where files and assets share one."""
    names = {ASSETS.get(name, name) for name in ROUTES[operation].body["properties"]} - NOT_OFFERED
    extra = {"extra"} if ROUTES[operation].body.get("x-open") else set[str]()

    assert names | extra == {field.name for field in attrs.fields(CLASSES[operation])}


@pytest.mark.parametrize(("operation", "name"), ENUMS)
def test_values(operation: str, name: str) -> None:
    """A field takes each value of the contract, and no other."""
    values = ROUTES[operation].body["properties"][name]["enum"]
    others = beside(operation, name)
    problems = {value: make(operation, **{name: value}, **others).problems() for value in values}

    assert [] == [(value, found) for value, found in problems.items() if name in dict(found)]
    assert name in dict(make(operation, **{name: "nonsense"}).problems())


@pytest.mark.parametrize(("operation", "name"), FIELDS)
async def test_received(client: Ideogram, sandbox: Sandbox, operation: str, name: str) -> None:
    """A request with a field is received as the contract declares it, and accepted."""
    value = value_of(name, ROUTES[operation].body["properties"][name])
    await client.send(make(operation, **{ASSETS.get(name, name): value}, **beside(operation, name)))

    [request] = [request for request in sandbox.requests if request.method == "POST"]
    sent = {part.name for part in request.parts} | set(request.json or ())

    assert [] == request_problems(request)
    assert name in sent
