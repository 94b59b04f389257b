"""Answer classes of the second contract, compared with its schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.contract_v2 import ROUTES

from ideogram_async import v2
from ideogram_async._wire.converter import converter
from ideogram_async.sandbox.contract import find_schema

CLASSES = {
    str(kind.endpoint): kind.endpoint.answer
    for kind in (getattr(v2, name) for name in v2.__all__)
    if hasattr(kind, "endpoint") and kind is not v2.Custom
}
# Fields that are read from others, or that say nothing.
NOT_KEPT = {"response_type", "error", "status_code"}


def sample(schema: Any, name: str = "") -> Any:
    """Return a value with every property of a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if options := schema.get("oneOf") or schema.get("anyOf"):
        return sample(options[0])

    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "object":
        parts = [schema, *schema.get("allOf", ())]
        properties = {name: each for part in parts for name, each in part.get("properties", {}).items()}
        return {name: sample(each, name) for name, each in properties.items() if name not in NOT_KEPT}

    if kind == "array":
        items = schema["items"].get("anyOf") or schema["items"].get("oneOf") or [schema["items"]]
        count = schema.get("minItems", 1) if len(items) == 1 else 1
        return [sample(item) for item in items for _ in range(count)]

    text = {"date-time": "2026-11-28T09:30:00+00:00", "uri": f"https://ideogram.ai/{name}.png"}.get(
        schema.get("format", ""), "1.50" if name in ("cost_total", "quantity", "unit_price") else "#1A1A1A"
    )
    return {"string": text, "integer": 7, "number": 0.5, "boolean": True}[kind]


def test_every_operation_has_an_answer() -> None:
    """Each operation of the contract has a class with an answer."""
    assert ROUTES.keys() == CLASSES.keys()


@pytest.mark.parametrize("operation", CLASSES)
def test_every_field_is_read(operation: str) -> None:
    """Every property of a schema has a field, and is JSON again."""
    body = sample(ROUTES[operation].answer)
    answer = converter().structure(body, CLASSES[operation])
    content = json.loads(json.dumps(answer.to_dict()))
    items = getattr(answer, "data", getattr(answer, "buckets", ()))

    assert {} == answer.extra
    assert [{}] * len(items) == [item.extra for item in items]
    assert "data" not in body or len(body["data"]) == len(items)
    assert "json_prompt" not in body or body["json_prompt"] == content["json_prompt"]


def test_every_kind_of_item() -> None:
    """Each kind of item of a poll has its class; SVG and videos are kept as they are."""
    body = sample(find_schema("GenerationResponse"))
    generation = converter().structure(body, v2.Generation)
    kinds = {item.object_type: type(item) for item in generation}
    unknown = [item for item in generation if isinstance(item, v2.UnknownItem)]

    assert {
        "image.without-prompt-or-seed": v2.Image,
        "image.generation": v2.Image,
        "svg.generation": v2.UnknownItem,
        "video.generation": v2.UnknownItem,
        "layerized_image": v2.Layered,
        "layerized_design.generation": v2.Layered,
    } == kinds
    assert [item for item in body["data"] if item["object_type"].startswith(("svg", "video"))] == [
        item.raw for item in unknown
    ]
    assert 6 == len(generation.images)


@pytest.mark.parametrize("required", [True, False])
def test_fields_that_may_be_absent(required: bool) -> None:
    """An image needs only whether it is safe; a link that is null or empty is absent."""
    links = [{}, {"url": None}, {"url": ""}] if required else [{"url": "https://ideogram.ai/x.png"}]
    body = {"generation_id": "g", "data": [{"is_image_safe": False, **link} for link in links]}
    generation = converter().structure(body, v2.Generation)

    assert required == all(image.url is None for image in generation.images)
    assert len(links) == len(generation)
