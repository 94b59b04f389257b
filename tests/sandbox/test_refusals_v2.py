"""Requests that the second contract forbids are refused with 400, the field and the rule, and are not billed."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from support.contract_v2 import FORM, JSON, ROUTES, example, form_of
from support.pictures import mask, picture

from ideogram_async.sandbox import Sandbox

ASSET = {"asset_type": "RESPONSE", "asset_id": "x"}
IMAGE, LONG = picture(), picture(size=(700, 100))
PROMPT = json.dumps(
    {"high_level_description": "A poster.", "compositional_deconstruction": {"background": "", "elements": []}}
)
GENERATE = "/v2/image/generate/ideogram-"
REMIX_3, REMIX_4 = "/v2/image/remix/ideogram-3", "/v2/image/remix/ideogram-4"
EDIT_45, EDIT_46 = "/v2/image/precise-edit/ideogram-4-5", "/v2/image/precise-edit/ideogram-4-6"
INPAINT, REPLACE = "/v2/image/inpaint/ideogram-3", "/v2/image/replace-background/ideogram-3"


async def send(api: Any, path: str, fields: dict[str, Any]) -> Any:
    """Send a request in the form that its values need."""
    values = [item for value in fields.values() for item in (value if isinstance(value, list) else [value])]
    if not any(isinstance(value, bytes) for value in values):
        return await api.post(path, fields)

    form = form_of(f"POST {path}", fields)
    return await api.call("POST", api.sandbox.url + path, headers={"Api-Key": "key"}, data=form)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # Schemas.
    (GENERATE + "4", {"prompt": ""}, "prompt: must have at least 1"),
    (GENERATE + "4", {"prompt": "x" * 10_001}, "prompt: must have at most 10000"),
    (GENERATE + "4", {"num_images": 9}, "num_images: must be at most 8"),
    (GENERATE + "4", {"num_images": "2"}, "num_images: must be of type integer"),
    (GENERATE + "4", {"seed": -1}, "seed: must be at least 0"),
    (GENERATE + "4", {"seed": None}, "seed: must be of type integer"),
    (GENERATE + "4", {"resolution": "1000x1000"}, "resolution: '1000x1000' is not one"),
    (GENERATE + "4", {"rendering_speed": "TURBO"}, "rendering_speed: 'TURBO' is not one"),
    (GENERATE + "4", {"async": "true"}, "async: must be of type boolean"),
    (GENERATE + "3", {"style_codes": ["xyz"]}, "style_codes[0]: must match"),
    (GENERATE + "3", {"color_palette": {"members": [{"color_hex": "red"}]}}, "color_palette: fits none"),
    (GENERATE + "3", {"color_palette": {"name": "EMBER"}}, "color_palette: fits none"),
    (
        GENERATE + "3",
        {"style_reference_asset_identifiers": []},
        "style_reference_asset_identifiers: must have at least",
    ),
    (GENERATE + "4-5", {"images": [IMAGE] * 6}, "images: must have at most 5"),
    (REPLACE, {"prompt": "  ", "image": IMAGE}, "prompt: must match"),
    (REPLACE, {"prompt": "x" * 4001, "image": IMAGE}, "prompt: must have at most 4000"),
    (REMIX_4, {"image": IMAGE, "seed": 1}, "seed: is not a field"),
    # One source.
    (REMIX_4, {}, "image: is required"),
    (REMIX_4, {"image": IMAGE, "image_asset_identifier": ASSET}, "image: cannot be used together"),
    (INPAINT, {"image": IMAGE}, "mask: is required"),
    (GENERATE + "3-character", {}, "character_reference_images: is required"),
    # Fields that exclude or need each other.
    (GENERATE + "3", {"resolution": "512x1536", "aspect_ratio": "1x3"}, "resolution: cannot be used together"),
    (GENERATE + "3", {"style_preset": "aura", "style_codes": ["00ff00ff"]}, "style_preset: cannot be used"),
    (REMIX_3, {"image": IMAGE, "style_preset": "aura", "style_reference_images": [IMAGE]}, "style_preset: cannot"),
    (GENERATE + "4-5", {"image_asset_identifiers": [ASSET], "mask": mask()}, "mask: needs images"),
    (GENERATE + "4-5", {"images": [IMAGE], "mask": mask(), "size": "512x512"}, "size: cannot be used together"),
    (GENERATE + "4-5", {"images": [IMAGE] * 5, "mask": mask()}, "images: accepts at most 4"),
    (GENERATE + "4-5", {"quality": "very_low"}, "quality: 'very_low' needs images"),
    (EDIT_45, {"image_asset_identifier": ASSET, "mask": mask()}, "mask: needs image"),
    (EDIT_45, {"image": IMAGE, "context_window": "auto"}, "context_window: 'auto' needs mask"),
    (EDIT_45, {"image_asset_identifier": ASSET, "context_window": "0,0,300,300"}, "context_window: needs image"),
    (
        EDIT_45,
        {"image": IMAGE, "reference_image_asset_identifiers": [ASSET]},
        "reference_image_asset_identifiers: needs",
    ),
    # Masks.
    (INPAINT, {"image": IMAGE, "mask": mask((48, 64))}, "mask: must have the size"),
    (EDIT_45, {"image": IMAGE, "mask": mask((48, 64))}, "mask: must have the size"),
    (EDIT_45, {"image": IMAGE, "mask": mask(is_white=True)}, "mask: must be black"),
    (EDIT_45, {"image": IMAGE, "mask": mask()[:60]}, "mask: must be black"),
    (GENERATE + "4-5", {"images": [IMAGE, LONG], "mask": mask((700, 100))}, "mask: must have the size"),
    # Sizes.
    (GENERATE + "4-5", {"size": "big"}, "size: must be auto"),
    (GENERATE + "4-5", {"size": "source"}, "size: 'source' needs"),
    (GENERATE + "4-5", {"images": [IMAGE], "size": "1000x1024"}, "size: needs sides"),
    (GENERATE + "4-5", {"images": [IMAGE], "size": "224x1024"}, "size: needs sides"),
    (GENERATE + "4-5", {"images": [IMAGE], "size": "2048x2080"}, "size: accepts at most 4194304"),
    (GENERATE + "4-5", {"images": [IMAGE], "size": "256x1568"}, "size: accepts at most"),
    (GENERATE + "4-5", {"images": [LONG]}, "images: must not be longer than 6:1"),
    (GENERATE + "4-6", {"size": "4096x4128"}, "size: accepts at most 16777216"),
    (GENERATE + "4-6", {"size": "2080x2080", "quality": "very_low"}, "quality: 'very_low' makes at most"),
    (REPLACE, {"image": LONG}, "image: must not be longer than 3:1"),
    (REMIX_4, {"image": IMAGE, "image_weight": 50, "resolution": "2048x2048"}, "image_weight: cannot be used"),
    (EDIT_45, {"image": picture(size=(512, 512)), "context_window": "0,0,300,200"}, "context_window: needs sides"),
    (EDIT_45, {"image": picture(size=(512, 512)), "context_window": "300,0,100,300"}, "context_window: needs sides"),
    (EDIT_45, {"image": picture(size=(512, 512)), "context_window": "0,0,600,300"}, "context_window: must lie"),
    (EDIT_45, {"image": IMAGE, "context_window": "1,2,3"}, "context_window: must match"),
    # Files.
    (REMIX_4, {"image": b"no image"}, "image: is not an image"),
    (REMIX_4, {"image": picture("GIF")}, "image: is not an image"),
    ("/v2/image/describe/ideogram-4", {"image": picture(length=10 * 2**20 + 1)}, "image: is larger than 10 MiB"),
]

TAKEN: list[tuple[str, dict[str, Any]]] = [
    (GENERATE + "4-5", {"prompt": PROMPT, "magic_prompt": "off"}),
    (GENERATE + "4", {"prompt": "x" * 10_000, "private": None}),
    (GENERATE + "3", {"resolution": "512x1536", "aspect_ratio": "auto", "color_palette": {"name": "ember"}}),
    (GENERATE + "3", {"color_palette": {"members": [{"color_hex": "#abc", "color_weight": 0.5}]}}),
    # Advice refuses nothing: a size that is not a preset, a side above 4096.
    (GENERATE + "4-5", {"size": "1000x1000"}),
    (GENERATE + "4-6", {"size": "8192x2048"}),
    (GENERATE + "4-6", {"images": [LONG], "quality": "low"}),
    (GENERATE + "4-5", {"images": [IMAGE] * 4, "mask": mask()}),
    (GENERATE + "4-5", {"images": [IMAGE], "size": "source", "quality": "very_low"}),
    (EDIT_46, {"image": IMAGE, "context_window": "0,0,40,40"}),
    (EDIT_45, {"image": picture(size=(512, 512)), "context_window": "0,200,256,512"}),
    (EDIT_45, {"image": IMAGE, "mask": mask(), "context_window": "auto"}),
    (INPAINT, {"image": IMAGE, "mask": mask(is_white=True)}),
    (REMIX_4, {"image": IMAGE, "image_weight": 50}),
    (REPLACE, {"image": picture("GIF")}),
    ("/v2/design/layerize/ideogram-3", {"image": IMAGE, "prompt": "x", "font_candidate_files": [b"\0\1\0\0font"]}),
]


@pytest.mark.parametrize(("path", "fields", "problem"), REFUSED, ids=[problem for _, _, problem in REFUSED])
async def test_refused(api: Any, sandbox: Sandbox, path: str, fields: dict[str, Any], problem: str) -> None:
    """A request that breaks one rule is refused with its field and the rule."""
    needs_prompt = "prompt" in ROUTES[f"POST {path}"].body["properties"]
    answer = await send(api, path, ({"prompt": "a fox"} if needs_prompt else {}) | fields)

    assert 400 == answer.status
    assert answer.json["error"].startswith(problem)
    assert () == sandbox.ledger.entries


@pytest.mark.parametrize(("path", "fields"), TAKEN)
async def test_taken(api: Any, path: str, fields: dict[str, Any]) -> None:
    """A request that breaks no rule, or only follows no advice, is taken."""
    answer = await send(api, path, {"prompt": "a fox"} | fields)

    assert 200 == answer.status, answer.body


@pytest.mark.parametrize("part", ["text", "repeated"])
async def test_json_parts(api: Any, part: str) -> None:
    """Lists of assets are one part of type JSON: neither text, nor a part for each."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("prompt", "a fox")
    content_type = JSON if part == "repeated" else "text/plain"
    for _ in range(2 if part == "repeated" else 1):
        form.add_field("image_asset_identifiers", json.dumps([ASSET]), content_type=content_type)

    url = api.sandbox.url + GENERATE + "4-5"
    answer = await api.call("POST", url, headers={"Api-Key": "key"}, data=form)

    assert 400 == answer.status
    assert answer.json["error"].startswith("image_asset_identifiers")


@pytest.mark.parametrize(("text", "status"), [("true", 200), ("True", 400), ("1", 400)])
async def test_booleans_of_a_form(api: Any, text: str, status: int) -> None:
    """In a form a boolean is `true` or `false`."""
    fields = {"prompt": "a fox", "image": IMAGE, "private": text}

    assert status == (await send(api, REMIX_4, fields)).status


async def test_no_files_in_json(api: Any) -> None:
    """A JSON body cannot contain a file."""
    answer = await api.post(REMIX_4, {"prompt": "a fox", "image": "iVBORw0KGgo="})

    assert (400, True) == (answer.status, answer.json["error"].startswith("image: must be a file"))


@pytest.mark.parametrize("operation", [operation for operation, route in ROUTES.items() if route.method == "POST"])
async def test_content_types(api: Any, operation: str) -> None:
    """A body of an undeclared type is refused."""
    bodies = ROUTES[operation].bodies
    url = api.sandbox.url + operation.removeprefix("POST ")
    answers = [await api.call("POST", url, headers={"Api-Key": "key", "Content-Type": "text/plain"}, data=b"{}")]
    if FORM not in bodies:
        form = aiohttp.FormData({"prompt": "a fox"}, default_to_multipart=True)
        answers.append(await api.call("POST", url, headers={"Api-Key": "key"}, data=form))

    assert {400} == {answer.status for answer in answers}
    assert all(answer.json["error"].startswith("Content-Type: ") for answer in answers)


async def test_assets_of_the_sandbox(api: Any) -> None:
    """An earlier image is a source by its asset id, and keeps its size when it is enlarged."""
    accepted = await api.post(GENERATE + "4", {"prompt": "a fox", "resolution": "1440x720", "async": True})
    await api.sandbox.wait_idle()
    [image] = (await api.get(f"/v2/generations/{accepted.json['generation_id']}")).json["data"]
    source = {"asset_type": "RESPONSE", "asset_id": image["asset_id"]}
    enlarged = await api.post("/v2/image/upscale/auto", {"image_asset_identifier": source})

    assert "1440x720" == image["resolution"]
    assert "2880x1440" == enlarged.json["data"][0]["resolution"]


async def test_large_images_are_scaled_down(api: Any) -> None:
    """A precise edit of 8192x8192 comes back as 4096x4096, and with a context window in its own size."""
    large = picture("PNG", (8192, 8192), "1")
    answers = [
        await send(api, EDIT_46, {"prompt": "a fox", "image": large, **window})
        for window in ({}, {"context_window": "0,0,512,512"})
    ]

    assert ["4096x4096", "8192x8192"] == [answer.json["data"][0]["resolution"] for answer in answers]


def test_examples_are_complete() -> None:
    """The smallest request of each operation has every field that its rules need."""
    assert {"image", "mask", "prompt"} == example(f"POST {INPAINT}", FORM).keys()
