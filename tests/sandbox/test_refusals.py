"""Requests that the sandbox refuses, and the errors that it returns."""

from __future__ import annotations

import json

import pytest

GENERATE = "/v1/ideogram-v3/generate"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([], "prompt"),
        ([("prompt", " ")], "prompt"),
        ([("prompt", "a"), ("color", "red")], "color"),
        ([("prompt", "a"), ("prompt", "b")], "prompt"),
        ([("prompt", "a"), ("num_images", "two")], "num_images"),
        ([("prompt", "a"), ("num_images", "9")], "num_images"),
        ([("prompt", "a"), ("seed", "2147483648")], "seed"),
        ([("prompt", "a"), ("rendering_speed", "BALANCED")], "rendering_speed"),
        ([("prompt", "a"), ("resolution", "1024x1024"), ("aspect_ratio", "1x1")], "resolution"),
        ([("prompt", "a"), ("style_codes", "xyz")], "style_codes"),
        ([("prompt", "a"), ("style_codes", "00ff00ff"), ("style_type", "AUTO")], "style_codes"),
        ([("prompt", "a"), ("custom_model_uri", "model/x")], "custom_model_uri"),
        ([("prompt", "a"), ("custom_model_uri", "model/x/version/1")], "custom_model_uri"),
        ([("prompt", "a"), ("color_palette", '{"name": "EMBER", "members": []}')], "color_palette"),
        ([("prompt", "a"), ("color_palette", "EMBER")], "color_palette"),
        ([("prompt", "a"), ("color_palette", '{"members": []}')], "color_palette.members"),
        (
            [("prompt", "a"), ("color_palette", '{"members": [{"color_hex": "red"}]}')],
            "color_palette.members.color_hex",
        ),
        (
            [("prompt", "a"), ("color_palette", '{"members": [{"color_hex": "#fff", "color_weight": 0.01}]}')],
            "color_palette.members.color_weight",
        ),
        ([("prompt", "a"), ("style_reference_images", "no file")], "style_reference_images[0]"),
        ([("prompt", "a"), ("style_reference_images", ("a.png", b"no image"))], "style_reference_images"),
    ],
)
async def test_generate_names_the_field(api, sandbox, fields, field):
    """An invalid request is answered with 400 and the name of the field, and is not billed."""
    answer = await api.form(GENERATE, fields)

    assert 400 == answer.status
    assert answer.json["error"].startswith(f"{field}: ")
    assert () == sandbox.ledger.entries
    assert [400] == [arrival.status for arrival in sandbox.requests]


async def test_large_image(api):
    """An image is limited to ten megabytes."""
    answer = await api.form("/v1/remove-background", [("image", ("a.png", bytes(11 * 2**20)))])

    assert 400 == answer.status
    assert answer.json["error"].startswith("image: ")


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"prompt": "a", "model": "V_2A", "negative_prompt": "b"}, "negative_prompt"),
        ({"prompt": "a", "model": "V_1", "color_palette": {"name": "EMBER"}}, "color_palette"),
        ({"prompt": "a", "model": "V_1", "style_type": "ANIME"}, "style_type"),
        ({"prompt": "a", "model": "V_1", "resolution": "RESOLUTION_1024_1024"}, "resolution"),
        ({"prompt": "a", "seed": "1"}, "image_request.seed"),
        ({"prompt": "a", "seed": True}, "image_request.seed"),
        ({}, "image_request.prompt"),
    ],
)
async def test_legacy_generate_names_the_field(api, request_fields, field):
    """The older models support fewer fields, and JSON values have types."""
    answer = await api.post("/generate", {"image_request": request_fields})

    assert 400 == answer.status
    assert answer.json["error"].startswith(f"{field}: ")


async def test_flash_is_not_transparent(api):
    """The fastest speed does not support transparent images."""
    fields = [("prompt", "a"), ("rendering_speed", "FLASH")]
    answer = await api.form("/v1/ideogram-v3/generate-transparent", fields)

    assert 400 == answer.status


async def test_legacy_edit_has_two_models(api, png):
    """The oldest edit supports only the V_2 models."""
    fields = [("image_file", ("a.png", png)), ("mask", ("m.png", png)), ("prompt", "a"), ("model", "V_1")]
    answer = await api.form("/edit", fields)

    assert 400 == answer.status
    assert answer.json["error"].startswith("model: ")


async def test_edit_without_an_image(api):
    """An edit without an image is accepted: the contract requires neither files nor links."""
    answer = await api.form("/v1/edit", [("prompt", "a")])

    assert 200 == answer.status


async def test_too_many_images_to_edit(api, png):
    """An edit accepts at most ten images."""
    answer = await api.form("/v1/edit", [("prompt", "a"), *[("images", ("a.png", png))] * 11])

    assert 400 == answer.status
    assert answer.json["error"].startswith("images: ")


async def test_mask_of_another_size(api, png, make_picture):
    """A mask must have the size of its image."""
    fields = [("image", ("a.png", png)), ("mask", ("m.png", make_picture((10, 10)))), ("prompt", "a")]
    answer = await api.form("/v1/ideogram-v3/inpaint", fields)

    assert 400 == answer.status
    assert answer.json["error"].startswith("mask: ")


@pytest.mark.parametrize("sizes", [[(64, 48), (64, 48)], [(10, 10)]])
async def test_masks_of_references(api, png, make_picture, sizes):
    """Masks of references have the number and sizes of the references."""
    masks = [("character_reference_images_mask", ("m.png", make_picture(size))) for size in sizes]
    fields = [("prompt", "a"), ("character_reference_images", ("a.png", png)), *masks]
    answer = await api.form(GENERATE, fields)

    assert 400 == answer.status
    assert answer.json["error"].startswith("character_reference_images_mask: ")


async def test_fitting_mask_of_a_reference(api, png):
    """A mask that fits its reference is accepted."""
    names = ("character_reference_images", "character_reference_images_mask")
    answer = await api.form(GENERATE, [("prompt", "a"), *[(name, ("a.png", png)) for name in names]])

    assert 200 == answer.status


async def test_upscale_works_without_a_prompt(api, png):
    """An empty prompt is accepted where none is needed."""
    fields = [("image_request", json.dumps({"prompt": ""})), ("image_file", ("a.png", png))]
    answer = await api.form("/upscale", fields)

    assert 200 == answer.status


async def test_references_are_limited_together(api, make_picture):
    """The references of a group share ten megabytes."""
    padded = make_picture() + bytes(6 * 2**20)
    fields = [("prompt", "a"), *[("style_reference_images", ("a.png", padded))] * 2]
    answer = await api.form(GENERATE, fields)

    assert 400 == answer.status
    assert "together" in answer.json["error"]


@pytest.mark.parametrize("key", ["", None])
async def test_key_is_required(api, sandbox, key):
    """A request without a key is refused before any other check."""
    headers = {} if key is None else {"Api-Key": key}
    answer = await api.call("POST", sandbox.url + GENERATE, json={}, headers=headers)

    assert 401 == answer.status


async def test_unknown_path(api):
    """An unknown operation is 404, and is recorded with its method and path."""
    answer = await api.get("/v2/anything")

    assert 404 == answer.status
    assert "GET /v2/anything" == api.sandbox.requests[0].operation


async def test_wrong_content_type(api, sandbox):
    """A form operation does not accept JSON."""
    answer = await api.post(GENERATE, {"prompt": "a fox"})

    assert 400 == answer.status
    assert answer.json["error"].startswith("Content-Type: ")


@pytest.mark.parametrize(
    ("body", "content_type", "path"),
    [
        (b"{", "application/json", "/generate"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", GENERATE),
        (b"", "multipart/form-data", GENERATE),
    ],
)
async def test_broken_body(api, sandbox, body, content_type, path):
    """A body that cannot be parsed is refused with 400."""
    headers = {"Api-Key": "key", "Content-Type": content_type}
    answer = await api.call("POST", sandbox.url + path, data=body, headers=headers)

    assert 400 == answer.status


async def test_unsafe_prompt(api, sandbox):
    """A prompt may fail the safety check, which is not billed."""
    answer = await api.generate("an unsafe-prompt")

    assert (422, ["error"]) == (answer.status, list(answer.json))
    assert 0 == sandbox.ledger.billed_images


async def test_unsafe_image(api, png):
    """An image may fail the safety check, by its name."""
    answer = await api.form("/describe", [("image_file", ("unsafe-image.png", png))])

    assert 422 == answer.status


async def test_query_is_checked(api):
    """The query is validated."""
    unknown = await api.get("/models", [("page", "1")])
    wrong = await api.get("/models", [("status", "DONE")])
    twice = await api.get("/models", [("scope", "owned"), ("scope", "shared")])

    assert [400, 400, 400] == [unknown.status, wrong.status, twice.status]
