"""Each operation of the contract replies in its own form."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import ideogram_async.sandbox
from ideogram_async.sandbox.contract import routes

CONTRACT = json.loads(Path(ideogram_async.sandbox.__file__).with_name("contract.json").read_text())
EXTRAS = {"notice", "text_blocks", "caption"}
IMAGE = ("image.png", b"PNG")
MASK = ("mask.png", b"PNG")
IMAGE_REQUEST = json.dumps({"prompt": "a fox", "num_images": 2, "color_palette": {"name": "EMBER"}})

GENERATIONS: dict[str, tuple[list[tuple[str, Any]], int, str]] = {
    "/v1/ideogram-v3/generate": ([("prompt", "a fox"), ("num_images", "2"), ("style_codes", "00ff00ff")], 2, "0.12"),
    "/v1/ideogram-v3/generate-transparent": ([("prompt", "a fox"), ("upscale_factor", "X2")], 1, "0.19"),
    "/v1/ideogram-v3/inpaint": ([("image", IMAGE), ("mask", MASK), ("prompt", "a fox")], 1, "0.06"),
    "/v1/ideogram-v3/remix": ([("image", IMAGE), ("prompt", "a fox"), ("rendering_speed", "QUALITY")], 1, "0.09"),
    "/v1/ideogram-v3/reframe": ([("image", IMAGE), ("resolution", "1536x512")], 1, "0.06"),
    "/v1/ideogram-v3/replace-background": ([("image", IMAGE), ("prompt", "a beach")], 1, "0.06"),
    "/v1/remove-background": ([("image", IMAGE)], 1, "0.01"),
    "/v1/ideogram-v3/layerize-text": ([("image", IMAGE)], 1, "0.09"),
    "/v1/edit": ([("prompt", "redder"), ("images", IMAGE), ("transparent_background", "true")], 1, "0.20"),
    "/upscale": ([("image_request", '{"num_images": 2}'), ("image_file", IMAGE)], 2, "0.06"),
    "/describe": ([("image_file", IMAGE)], 0, "0.01"),
    "/v1/ideogram-v3/edit": ([("image", IMAGE), ("mask", MASK), ("prompt", "a fox")], 1, "0.06"),
    "/edit": ([("image_file", IMAGE), ("mask", MASK), ("prompt", "a fox"), ("model", "V_2_TURBO")], 1, "0.05"),
    "/remix": ([("image_request", IMAGE_REQUEST), ("image_file", IMAGE)], 2, "0.16"),
    "/reframe": ([("image_file", IMAGE), ("resolution", "RESOLUTION_512_1536"), ("model", "V_2")], 1, "0.08"),
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether a value has exactly the form of a schema, apart from known additions."""
    if "$ref" in schema:
        return fits(value, CONTRACT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if isinstance(schema["type"], list):
        return value is None or fits(value, {**schema, "type": schema["type"][0]})
    if schema["type"] == "array":
        return isinstance(value, list) and all(fits(item, schema["items"]) for item in value)
    if schema["type"] == "object":
        properties = schema["properties"]
        names = set(value) - EXTRAS
        return set(schema.get("required", ())) <= names <= set(properties) and all(
            fits(value[name], properties[name]) for name in names
        )

    kinds = {"string": str, "integer": int, "boolean": bool}
    return isinstance(value, kinds[schema["type"]]) and value in schema.get("enum", [value])


def answer_schema(operation: str) -> dict[str, Any]:
    """Return the schema of an operation's reply."""
    method, _, path = operation.partition(" ")
    answer = CONTRACT["paths"][path][method.lower()]["responses"]["200"]
    return answer["content"]["application/json"]["schema"]


def links_in(value: Any) -> list[str]:
    """Return every link in a reply."""
    if isinstance(value, dict):
        return [link for item in value.values() for link in links_in(item)]
    if isinstance(value, list):
        return [link for item in value for link in links_in(item)]

    return [value] if isinstance(value, str) and value.startswith("http") else []


@pytest.mark.parametrize("path", GENERATIONS)
async def test_generation(api, sandbox, png, path):
    """Every multipart operation follows the contract, is billed once and serves its images."""
    fields, images, usd = GENERATIONS[path]
    sent = [(name, value if isinstance(value, str) else (value[0], png)) for name, value in fields]

    answer = await api.form(path, sent)
    fetched = [await api.image(link) for link in links_in(answer.json)]

    assert 200 == answer.status
    assert fits(answer.json, answer_schema(f"POST {path}"))
    assert [(f"POST {path}", images, Decimal(usd))] == [
        (entry.operation, entry.images, entry.usd) for entry in sandbox.ledger.entries
    ]
    assert all(200 == image.status and image.body.startswith(b"\x89PNG") for image in fetched)
    assert bool(fetched) is (path != "/describe")


async def test_legacy_generate(api, sandbox):
    """The oldest operation takes JSON, and its reply has a deprecation notice."""
    answer = await api.post("/generate", {"image_request": {"prompt": "a fox", "aspect_ratio": "ASPECT_16_9"}})

    assert 200 == answer.status
    assert fits(answer.json, answer_schema("POST /generate"))
    assert "notice" in answer.json
    assert Decimal("0.08") == sandbox.ledger.billed_usd


def test_every_operation_is_known():
    """Each of the two contracts has 23 operations."""
    assert 46 == len({route.operation for route in routes()})
    assert 23 == sum(route.mode is None for route in routes())


async def test_seed_and_prompt_are_returned(api):
    """A reply contains the seed of each image and the prompt that was used."""
    answer = await api.generate(num_images="2", seed="2147483647", magic_prompt="ON", style_type="DESIGN")

    first, second = answer.json["data"]

    assert (2147483647, 0) == (first["seed"], second["seed"])
    assert first["prompt"].startswith("a fox, ")
    assert "DESIGN" == first["style_type"]


async def test_seeds_follow_from_the_sandbox(make_api):
    """Two sandboxes with the same seed draw the same seeds, and a reset restarts the sequence."""
    from ideogram_async.sandbox import Sandbox

    async with Sandbox(seed=3) as one, Sandbox(seed=3) as other:
        seeds = [(await make_api(sandbox).generate()).json["data"][0]["seed"] for sandbox in (one, other)]
        one.reset()
        seeds.append((await make_api(one).generate()).json["data"][0]["seed"])

    assert 1 == len(set(seeds))


@pytest.mark.parametrize(
    ("fields", "resolution"),
    [
        ({"resolution": "512x1536"}, "512x1536"),
        ({"aspect_ratio": "16x9"}, "1312x736"),
        ({"aspect_ratio": "1x1"}, "1024x1024"),
        ({}, "1024x1024"),
    ],
)
async def test_resolution(api, fields, resolution):
    """The size is the requested one, or the nearest to the aspect ratio."""
    answer = await api.generate(**fields)

    assert resolution == answer.json["data"][0]["resolution"]


async def test_transparent_has_both_sizes(api):
    """The reply of an upscaled image contains the base size and the final one."""
    fields = [("prompt", "a fox"), ("upscale_factor", "X4"), ("aspect_ratio", "1x1")]
    answer = await api.form("/v1/ideogram-v3/generate-transparent", fields)

    [image] = answer.json["data"]

    assert ("1024x1024", "4096x4096") == (image["resolution"], image["upscaled_resolution"])


async def test_edit_takes_links_of_the_sandbox(api, sandbox):
    """A link of an earlier reply is an image to edit; so is one of the real service, which is not read."""
    generated = await api.generate()
    fields = [
        ("prompt", "bluer"),
        ("image_urls", generated.url),
        ("image_urls", "https://ideogram.ai/api/images/direct/x"),
    ]

    edited = await api.form("/v1/edit", fields)
    unseen = await api.form("/v1/edit", [fields[0], fields[2]])

    assert (200, 200) == (edited.status, unseen.status)
    assert 200 == (await api.image(edited.url)).status
    assert 200 == (await api.image(unseen.url)).status


async def test_edit_refuses_other_links(api):
    """A link to another host is refused."""
    answer = await api.form("/v1/edit", [("prompt", "bluer"), ("image_urls", "https://example.com/a.png")])

    assert 400 == answer.status
    assert answer.json["error"].startswith("image_urls")


@pytest.mark.parametrize(
    ("extra", "usd"),
    [
        ([("rendering_speed", "FLASH")], Decimal("0.03")),
        ([("character_reference_images", IMAGE)], Decimal("0.15")),
        ([("character_reference_images", IMAGE), ("rendering_speed", "FLASH")], None),
    ],
)
async def test_rates(api, sandbox, png, extra, usd):
    """The options decide the price; an unpublished price is unknown and counts as zero."""
    sent = [(name, value if isinstance(value, str) else (value[0], png)) for name, value in extra]
    await api.form("/v1/ideogram-v3/generate", [("prompt", "a fox"), *sent])

    [entry] = sandbox.ledger.entries

    assert usd == entry.usd
    assert (usd or 0) == sandbox.ledger.billed_usd
