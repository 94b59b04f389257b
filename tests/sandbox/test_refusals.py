"""Requests that the sandbox refuses, and the errors that it returns."""

from __future__ import annotations

import json

import pytest

from ideogram_async.sandbox.contract import routes

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


async def test_edit_needs_an_image(api, sandbox, png):
    """An edit needs images or links, and not both; anything else is not billed."""
    link = ("image_urls", "https://ideogram.ai/api/images/direct/x")
    neither = await api.form("/v1/edit", [("prompt", "a")])
    both = await api.form("/v1/edit", [("prompt", "a"), ("images", ("a.png", png)), link])

    assert [400, 400] == [neither.status, both.status]
    assert "images: is required unless image_urls is given" == neither.json["error"]
    assert () == sandbox.ledger.entries


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
    """A request without a key is refused before any other check, with the status that the contract declares."""
    headers = {} if key is None else {"Api-Key": key}
    paths = [GENERATE, "/upscale", "/remix", "/v1/ideogram-v3/remix", "/unknown"]
    statuses = [(await api.call("POST", sandbox.url + path, json={}, headers=headers)).status for path in paths]

    assert [401, 403, 403, 403, 401] == statuses
    assert () == sandbox.ledger.entries


async def test_unknown_path(api):
    """An unknown operation is 404, and is recorded with its method and path."""
    answer = await api.get("/v2/anything")

    assert 404 == answer.status
    assert "GET /v2/anything" == api.sandbox.requests[0].operation


async def test_wrong_content_type(api, sandbox):
    """A form operation does not accept JSON, nor one of JSON a form, nor any operation plain text."""
    answers = [await api.post("/v1/ideogram-v3/reframe", {"resolution": "1024x1024"})]
    answers.append(await api.form("/generate", [("image_request", '{"prompt": "a fox"}')]))
    for content_type in ("text/plain", "multipart/form-data2; boundary=x", "", "application/jsonp"):
        headers = {"Api-Key": "key", "Content-Type": content_type}
        answers.append(await api.call("POST", sandbox.url + GENERATE, data=b'{"prompt": "a"}', headers=headers))

    assert [400] * 6 == [answer.status for answer in answers]
    assert all(answer.json["error"].startswith("Content-Type: must be ") for answer in answers)
    assert () == sandbox.ledger.entries


@pytest.mark.parametrize("path", [GENERATE, f"{GENERATE}-transparent"])
async def test_json_bodies(api, sandbox, path):
    """JSON makes the same images as a form with the same fields."""
    fields = {"prompt": "a fox", "seed": 7, "num_images": 2, "rendering_speed": "TURBO", "aspect_ratio": "16x9"}
    as_json = await api.post(path, fields)
    as_form = await api.form(path, [(name, str(value)) for name, value in fields.items()])

    [first, second] = sandbox.ledger.entries
    images = [[{**image, "url": None} for image in answer.json["data"]] for answer in (as_json, as_form)]

    assert (200, 200) == (as_json.status, as_form.status)
    assert images[0] == images[1]
    assert (first.images, first.usd) == (second.images, second.usd)


async def test_json_palettes_and_codes(api):
    """A palette is an object in JSON, and style codes are a list."""
    palette = {"members": [{"color_hex": "#ff5733", "color_weight": 0.5}]}
    answer = await api.post(GENERATE, {"prompt": "a", "color_palette": palette, "style_codes": ["00ff00ff"]})

    assert 200 == answer.status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ([], "body"),
        ("a fox", "body"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "a\udc80"}, "prompt"),
        ({"prompt": "a", "\udc80": "b"}, "\udc80"),
        ({"prompt": "a", "seed": "1"}, "seed"),
        ({"prompt": "a", "seed": True}, "seed"),
        ({"prompt": "a", "seed": 1.5}, "seed"),
        ({"prompt": "a", "seed": 10**400}, "seed"),
        ({"prompt": "a", "num_images": 9}, "num_images"),
        ({"prompt": "a", "style_codes": "00ff00ff"}, "style_codes"),
        ({"prompt": "a", "color_palette": "EMBER"}, "color_palette"),
        ({"prompt": "a", "style_reference_images": ["a.png"]}, "style_reference_images[0]"),
        ({"prompt": "a", "resolution": "1024x1024", "aspect_ratio": "1x1"}, "resolution"),
    ],
)
async def test_json_fields_have_types(api, sandbox, body, field):
    """JSON is checked by the same rules as a form, and its values have types."""
    answer = await api.post(GENERATE, body)

    assert 400 == answer.status
    assert answer.json["error"].startswith(f"{field}: ")
    assert () == sandbox.ledger.entries


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([("prompt", ("prompt.txt", b"a fox"))], "prompt"),
        ([("prompt", "a"), ("seed", ("seed.txt", b"1"))], "seed"),
        ([("prompt", "a"), ("seed", "1_0")], "seed"),
        ([("prompt", "a"), ("seed", "9" * 5000)], "seed"),
        ([("prompt", "a"), ("color_palette", "[" * 100_000)], "color_palette"),
        ([("prompt", "a"), ("color_palette", '{"members": [{"color_hex": "#fff", "color_weight": NaN}]}')], "color_"),
        ([("prompt", "a"), *[("seed", "1")] * 3], "seed"),
    ],
)
async def test_form_fields_are_text(api, sandbox, fields, field):
    """A file where text belongs, and a number in another spelling than JSON's, are refused."""
    answer = await api.form(GENERATE, fields)

    assert 400 == answer.status
    assert answer.json["error"].startswith(field)
    assert () == sandbox.ledger.entries


async def test_json_may_be_sent_as_a_file(api, png):
    """A browser sends a JSON part as a file, which is accepted."""
    image_request = ("image_request", ("blob", b'{"prompt": "a fox"}'))
    answer = await api.form("/upscale", [image_request, ("image_file", ("a.png", png))])

    assert 200 == answer.status


@pytest.mark.parametrize(
    ("body", "content_type", "path"),
    [
        (b"{", "application/json", "/generate"),
        (b"[" * 100_000, "application/json", "/generate"),
        (b'{"a":' * 100_000, "application/json", GENERATE),
        (b'{"prompt": "\xff"}', "application/json", GENERATE),
        (b'{"prompt": "a", "seed": NaN}', "application/json", GENERATE),
        (b"null", "application/json", GENERATE),
        (b"", "application/json", GENERATE),
        (b"--x\r\n", 'multipart/form-data; boundary="', GENERATE),
        (b"--x--", "multipart/form-data; boundary*=punycode''x%ff", GENERATE),
        (
            b"--x\r\nContent-Disposition: form-data; name*=hex\0''a; filename*=idna''%ff\r\n\r\na\r\n--x--",
            "multipart/form-data; boundary=x",
            GENERATE,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\r\n--x--',
            "multipart/form-data; boundary=x",
            GENERATE,
        ),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", GENERATE),
        (b"", "multipart/form-data", GENERATE),
    ],
)
async def test_broken_body(api, sandbox, body, content_type, path):
    """A body that cannot be parsed is refused with 400, and is not billed."""
    headers = {"Api-Key": "key", "Content-Type": content_type}
    answer = await api.call("POST", sandbox.url + path, data=body, headers=headers)

    assert 400 == answer.status
    assert answer.json["error"]
    assert () == sandbox.ledger.entries


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


def required_fields(route):
    """Return the fields that an operation requires, and those of its `image_request`."""
    nested = route.body.get("properties", {}).get("image_request", {})
    inner = [f"image_request.{name}" for name in nested.get("required", ())]
    return [*route.body.get("required", ()), *inner]


def minimal(schema, make_file):
    """Return the smallest value that a schema allows."""
    if schema.get("format") == "binary":
        return make_file()
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["type"] == "array":
        return [minimal(schema["items"], make_file)]
    if schema["type"] == "object":
        return {name: minimal(schema["properties"][name], make_file) for name in schema.get("required", ())}

    return "A fox"


@pytest.mark.parametrize(
    ("route", "field"),
    [
        (route, field)
        for route in routes()
        for field in [None, *required_fields(route)]
        if route.body_types and route.mode is None
    ],
    ids=lambda value: getattr(value, "operation", value),
)
async def test_required_fields(api, sandbox, png, route, field):
    """A request with what the contract requires is accepted; without one required field it is 400 and not billed."""
    dataset = await api.post("/datasets", {"name": "Foxes"})
    value = minimal(route.body, lambda: ("a.png", png))
    # The contract requires neither of two alternatives here, and the last models are not for this operation.
    value |= {"images": [("a.png", png)]} if route.path == "/v1/edit" else {}
    value |= {"model": "V_2"} if "model" in value else {}
    *outer, name = (field or "").split(".")
    (value[outer[0]] if outer else value).pop(name, None)

    path = route.path.replace("{dataset_id}", dataset.json["dataset_id"])
    value |= {"dataset_id": dataset.json["dataset_id"]} if "dataset_id" in value else {}
    answer = await send(api, route, path, value)
    is_accepted = field is None and not route.path.endswith("/train-model")

    assert (200 if is_accepted else 400) == answer.status
    assert field is None or answer.json["error"].startswith(f"{field}: is required")
    assert is_accepted or () == sandbox.ledger.entries


async def send(api, route, path, value):
    """Send a value in the first body type of an operation."""
    if route.body_types[0] == "application/json":
        return await api.post(path, value)

    pairs = [(name, item) for name, items in value.items() for item in (items if isinstance(items, list) else [items])]
    return await api.form(path, [(name, json.dumps(item) if isinstance(item, dict) else item) for name, item in pairs])
