"""Requests of the second contract on the wire, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.clients import connected
from support.pictures import mask, picture

from ideogram_async import AssetIdentifier, Ideogram, ImageFile, InvalidRequestError, JsonPrompt, v2
from ideogram_async._wire.encode import encode
from ideogram_async.sandbox import Sandbox

PNG = picture()
ASSET = AssetIdentifier(asset_type="RESPONSE", asset_id="a1")
UPLOAD = AssetIdentifier(asset_type="UPLOAD", asset_id="ü", collection_id="c" * 22)
TEXT, JSON = "text/plain; charset=utf-8", "application/json"


def sent(sandbox: Sandbox) -> Any:
    return next(request for request in sandbox.requests if request.method == "POST")


async def test_json(client: Ideogram, sandbox: Sandbox) -> None:
    """Without files a request is JSON; `None` and empty lists are not sent, and assets have fields of their own."""
    await client.v2.generate_45(
        'Füchse "狐"', num_images=2, seed=0, quality="low", images=[ASSET, UPLOAD], enable_copyright_detection=False
    )

    assert (JSON, [], ()) == (sent(sandbox).media_type, sent(sandbox).query, sent(sandbox).parts)
    assert {
        "prompt": 'Füchse "狐"',
        "num_images": 2,
        "seed": 0,
        "quality": "low",
        "image_asset_identifiers": [
            {"asset_type": "RESPONSE", "asset_id": "a1"},
            {"asset_type": "UPLOAD", "asset_id": "ü", "collection_id": "c" * 22},
        ],
        "enable_copyright_detection": False,
        "private": True,
    } == sent(sandbox).json


async def test_form(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """With a file a request is a form: a list repeats its part, and what the contract declares as JSON is one part."""
    await client.v2.remix_3(
        PNG,
        "x",
        seed=7,
        private=False,
        style_codes=["00000001", "0000000a"],
        color_palette=["#FF0000", ("#00ff00", 0.5)],
        style_reference_images=[ASSET, UPLOAD],
    )
    parts = [(part.name, part.filename, part.content_type, part.body) for part in sent(sandbox).parts]

    assets = '[{"asset_type":"RESPONSE","asset_id":"a1"},{"asset_type":"UPLOAD","asset_id":"ü","collection_id":"'
    palette = b'{"members":[{"color_hex":"#FF0000"},{"color_hex":"#00ff00","color_weight":0.5}]}'

    assert sorted(parts) == sorted(
        [
            ("image", "image.png", "image/png", PNG),
            ("prompt", None, TEXT, b"x"),
            ("seed", None, TEXT, b"7"),
            ("private", None, TEXT, b"false"),
            ("style_codes", None, TEXT, b"00000001"),
            ("style_codes", None, TEXT, b"0000000a"),
            ("color_palette", None, JSON, palette),
            ("style_reference_asset_identifiers", None, JSON, (assets + "c" * 22 + '"}]').encode()),
        ]
    )


async def test_files(client: Ideogram, sandbox: Sandbox) -> None:
    """Several files have the same name, and an asset beside them is one part of JSON."""
    other = ImageFile(picture("WEBP"), name="狐.webp")
    await client.v2.generate_45("x", images=[PNG, other], mask=mask())
    await client.v2.layerize_3(ASSET, font_candidate_files=[("a.ttf", b"one"), ("b.ttf", b"two")])
    first, second = (
        [(part.name, part.filename, part.content_type) for part in request.parts if part.filename]
        for request in sandbox.requests
    )
    [asset] = [part for part in sandbox.requests[1].parts if part.name == "image_asset_identifier"]

    assert [
        ("images", "image.png", "image/png"),
        ("images", "狐.webp", "image/webp"),
        ("mask", "image.png", "image/png"),
    ] == sorted(first)
    assert ["a.ttf", "b.ttf"] == [name for _, name, _ in second]
    assert (JSON, b'{"asset_type":"RESPONSE","asset_id":"a1"}') == (asset.content_type, asset.body)


@pytest.mark.parametrize("images", [None, [PNG]], ids=["JSON", "form"])
async def test_a_structured_prompt(client: Ideogram, sandbox: Sandbox, images: Any) -> None:
    """A structured prompt is a string of compact JSON, and switches magic prompt off unless the request sets it."""
    prompt = JsonPrompt("ein Fuchs 狐", elements=[v2.Text("A", "b", box=(0, 0, 1, 1))])
    await client.v2.generate_46(prompt, images=images)
    await client.v2.generate_46(prompt, images=images, magic_prompt="auto")
    fields = [
        request.json or {part.name: part.text for part in request.parts if not part.filename}
        for request in sandbox.requests
    ]

    assert (
        '{"high_level_description":"ein Fuchs 狐","compositional_deconstruction":{"background":"","elements":'
        '[{"type":"text","text":"A","desc":"b","bbox":[0,0,1,1]}]}}'
    ) == fields[0]["prompt"]
    assert ["off", "auto"] == [each["magic_prompt"] for each in fields]


def test_no_magic_prompt() -> None:
    """An operation without the field has nothing to switch off."""
    assert "magic_prompt" not in json.loads(encode(v2.PreciseEdit45(ASSET, JsonPrompt("x"))).json or b"")
    assert "magic_prompt" not in json.loads(encode(v2.Generate46("x")).json or b"")


@pytest.mark.parametrize(
    ("setting", "own", "expected"),
    [(True, None, True), (True, False, False), (None, None, None), (None, True, True), (False, None, False)],
)
async def test_private(sandbox: Sandbox, setting: Any, own: Any, expected: Any) -> None:
    """`private` is sent as the client has it, unless the request sets it."""
    async with connected(sandbox.url, private=setting) as client:
        await client.v2.generate_46("x", private=own)

    assert expected == sent(sandbox).json.get("private")


def test_private_is_the_default() -> None:
    """Where the operation has no such field, nothing is added; nor is it to custom requests."""
    requests = [
        v2.Reframe3(ASSET, "1024x1024"),
        v2.Describe3(ASSET),
        v2.MagicPrompt4("x"),
        v2.Custom("image", "generate", "ideogram-4-6", {"prompt": "x"}),
    ]

    assert [False] * 4 == [b"private" in (encode(request, private=True).json or b"") for request in requests]


async def test_extra(client: Ideogram, sandbox: Sandbox) -> None:
    """Further fields are sent as they are, as JSON or as parts, where the contract may have more of them."""
    fields = {"background": "transparent", "n": 1, "flag": True, "list": ["a", "b"], "object": {"a": None}}
    await client.v2.generate_46("x", extra=fields)
    await client.v2.precise_edit_46(PNG, "x", extra=fields)
    parts = [(part.name, part.body) for part in sandbox.requests[1].parts if part.name in fields]

    assert fields == {name: value for name, value in sandbox.requests[0].json.items() if name in fields}
    assert [
        ("background", b"transparent"),
        ("flag", b"true"),
        ("list", b"a"),
        ("list", b"b"),
        ("n", b"1"),
        ("object", b'{"a":null}'),
    ] == sorted(parts)
    with pytest.raises(TypeError, match="Generate45 has no field 'extra'"):
        v2.Generate45("x", extra={})  # type: ignore[call-arg]


async def test_custom(client: Ideogram, sandbox: Sandbox) -> None:
    """A custom request goes to its path, and its files, dicts and lists are parts of a form."""
    request = v2.Custom(
        *("image", "generate", "ideogram-4-5"),
        {"prompt": "x", "image_asset_identifiers": [{"asset_type": "RESPONSE", "asset_id": "a"}], "private": True},
        weight=2,
    )
    answer = await client.send(request)
    forms = encode(v2.Custom("image", "a", "b", {"list": ["a", "b"], "dict": {"a": 1}}, files={"image": [PNG, PNG]}))

    assert ("/v2/image/generate/ideogram-4-5", request.fields) == (sent(sandbox).path, sent(sandbox).json)
    assert isinstance(answer, v2.Generation)
    assert 2 == encode(request).weight
    assert ["list", "list", "dict", "image", "image"] == [part.name for part in forms.form or ()]
    assert [None, None, JSON] == [part.content_type for part in (forms.form or ())[:3]]


@pytest.mark.parametrize("segment", ["", "..", "../x", "a/b", "A", "a?b", "a b", "-a", "{x}", 5])
@pytest.mark.parametrize("name", ["content", "action", "model", "version"])
async def test_paths(sandbox: Sandbox, name: str, segment: Any) -> None:
    """A custom request never leaves its path, not even unvalidated."""
    request = v2.Custom(**{"content": "image", "action": "a", "model": "b", name: segment})
    async with connected(sandbox.url, validate=False) as client:
        with pytest.raises(InvalidRequestError, match=f"{name}: must "):
            await client.send(request)

    assert [] == sandbox.requests
