"""Encoding of requests: what is sent, what is omitted, and in which form."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.pictures import picture

from ideogram_async import ColorPaletteMember, ImageFile, InvalidRequestError, Unchecked
from ideogram_async._wire.call import Call, Part
from ideogram_async._wire.encode import encode, encode_raw
from ideogram_async.enums import ColorPalettePresetName, ModelStatus, RenderingSpeed
from ideogram_async.requests import (
    CreateDataset,
    Edit,
    Generate,
    GetDataset,
    GetModel,
    Inpaint,
    LayerizeText,
    LegacyGenerate,
    LegacyRemix,
    ListDatasets,
    ListModels,
    Remix,
    RemoveBackground,
    TrainModel,
    UploadDatasetAssets,
    Upscale,
)

PNG = picture()


def fields_of(call: Call) -> dict[str, Any]:
    """Return the parts of a form by name, and several of one name as a list."""
    parts: dict[str, list[Any]] = {}
    for part in call.form or ():
        parts.setdefault(part.name, []).append(part.body)

    return {name: bodies[0] if len(bodies) == 1 else bodies for name, bodies in parts.items()}


# ---- what is sent


def test_none_is_not_sent() -> None:
    """`None`, also as a default, is not sent."""
    request = Generate("x", seed=None, style_type=None, color_palette=None, style_codes=None)

    assert {"prompt": "x"} == fields_of(encode(request))


def test_empty_values_are_sent() -> None:
    """Zero, an empty string and `False` are sent."""
    form = fields_of(encode(Generate("", seed=0, negative_prompt="")))
    edit = fields_of(encode(Edit("x", transparent_background=False)))

    assert {"prompt": "", "seed": "0", "negative_prompt": ""} == form
    assert {"prompt": "x", "transparent_background": "false"} == edit


def test_empty_lists_are_not_sent() -> None:
    """An empty list is not sent, in a form, in JSON and in a query."""
    empty = Generate("x", style_codes=[], style_reference_images=iter(()), color_palette=[])

    assert {"prompt": "x"} == fields_of(encode(empty))
    assert b'{"image_request":{"prompt":"x"}}' == encode(LegacyGenerate("x", color_palette=[])).json
    assert () == encode(ListModels(status=[])).params


def test_texts() -> None:
    """Numbers are sent as decimal text, booleans in lower case, enums as their values, texts unchanged."""
    remix = Remix(PNG, "狐\r\n", image_weight=7, rendering_speed=RenderingSpeed.FLASH, style_type=Unchecked("CUSTOM"))
    edit = Edit("x", transparent_background=True)

    assert {
        "image": ImageFile(PNG),
        "prompt": "狐\r\n",
        "image_weight": "7",
        "rendering_speed": "FLASH",
        "style_type": "CUSTOM",
    } == fields_of(encode(remix))
    assert "true" == fields_of(encode(edit))["transparent_background"]


def test_lists() -> None:
    """A list, or any iterable, becomes one part per item with the same name, in order."""
    request = Generate("x", style_codes=iter(["0a1B2c3D", "ffffffff"]), style_reference_images=[PNG, ("a.png", PNG)])
    form = fields_of(encode(request))

    assert ["0a1B2c3D", "ffffffff"] == form["style_codes"]
    assert [ImageFile(PNG), ImageFile(PNG, name="a.png")] == form["style_reference_images"]


@pytest.mark.parametrize(
    ("palette", "expected"),
    [
        ("EMBER", {"name": "EMBER"}),
        (ColorPalettePresetName.FRESH, {"name": "FRESH"}),
        (Unchecked("NEON"), {"name": "NEON"}),
        ("#ff5733", {"members": [{"color_hex": "#ff5733"}]}),
        (["#ff5733", "#000"], {"members": [{"color_hex": "#ff5733"}, {"color_hex": "#000"}]}),
        (("#ff5733", 0.6), {"members": [{"color_hex": "#ff5733", "color_weight": 0.6}]}),
        ([("#ff5733", 0.6)], {"members": [{"color_hex": "#ff5733", "color_weight": 0.6}]}),
        ([["#ff5733", 1]], {"members": [{"color_hex": "#ff5733", "color_weight": 1}]}),
        (ColorPaletteMember("#000"), {"members": [{"color_hex": "#000"}]}),
    ],
    ids=repr,
)
def test_palettes(palette: Any, expected: dict[str, Any]) -> None:
    """A palette is a name or members, sent as a JSON part or inside the JSON of an envelope."""
    form, old = encode(Generate("x", color_palette=palette)), encode(LegacyGenerate("x", color_palette=palette))
    part = next(part for part in form.form or () if part.name == "color_palette")

    assert "application/json" == part.content_type
    assert expected == json.loads(str(part.body))
    assert expected == json.loads(old.json or b"")["image_request"]["color_palette"]


def test_envelope() -> None:
    """The fields of an envelope are sent in one JSON part with their types, and the file as `image_file`."""
    call = encode(LegacyRemix(PNG, '"Füchse"', seed=0, negative_prompt="", color_palette="EMBER"))
    part, file = call.form or ()

    assert Part("image_file", ImageFile(PNG)) == file
    assert ("image_request", "application/json") == (part.name, part.content_type)
    assert {
        "prompt": '"Füchse"',
        "seed": 0,
        "negative_prompt": "",
        "color_palette": {"name": "EMBER"},
    } == json.loads(str(part.body))


def test_json() -> None:
    """A JSON body is UTF-8, without escapes and without omitted fields."""
    created, trained = encode(CreateDataset("Füchse/狐")), encode(TrainModel("d", "red foxes"))

    assert '{"name":"Füchse/狐"}'.encode() == created.json
    assert b'{"dataset_id":"d","model_name":"red foxes"}' == trained.json
    assert None is created.form


def test_query() -> None:
    """A query repeats the name of a list."""
    call = encode(ListModels(scope="owned", status=[ModelStatus.TRAINING, "COMPLETED"]))

    assert (("scope", "owned"), ("status", "TRAINING"), ("status", "COMPLETED")) == call.params
    assert (None, None) == (call.form, call.json)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("aB-_9", "aB-_9"), ("a/b?c#d %2F", "a%2Fb%3Fc%23d%20%252F"), ("ü", "%C3%BC"), ("...", "...")],
)
def test_paths(value: str, expected: str) -> None:
    """An id is one percent-encoded segment of the path, and is not sent again elsewhere."""
    upload = encode(UploadDatasetAssets(value, [PNG]))

    assert f"/datasets/{expected}" == encode(GetDataset(value)).path
    assert f"/models/{expected}" == encode(GetModel(value)).path
    assert f"/datasets/{expected}/upload_assets" == upload.path
    assert ["files"] == [part.name for part in upload.form or ()]


@pytest.mark.parametrize(
    ("request_", "weight", "charged"),
    [
        (Generate("x"), 1, True),
        (Generate("x", num_images=4), 4, True),
        (Upscale(PNG, num_images=3), 3, True),
        (LayerizeText(PNG), 1, True),
        (CreateDataset("x"), 1, True),
        (ListDatasets(), 0, False),
        (GetModel("m"), 0, False),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "endpoint") else str(value),
)
def test_weight(request_: Any, weight: int, charged: bool) -> None:
    """The weight of a call is its number of images; a call that reads the account has none, and is free."""
    call = encode(request_)

    assert (weight, charged, str(request_.endpoint)) == (call.weight, call.charged, call.operation)


def test_calls_are_values() -> None:
    """The same request gives equal calls, each with its own state, without reading its files."""
    request = Inpaint(Path("/nowhere/a.png"), Path("/nowhere/b.png"), "x")
    first, second = encode(request), encode(request)

    assert first == second
    assert first.state is not second.state


# ---- raw calls


def test_raw_form() -> None:
    """A raw form accepts texts, numbers, objects, files and lists of these."""
    call = encode_raw(
        "post",
        "/v9/new thing?x=ü",
        fields={"n": 1, "b": True, "o": {"a": [1]}, "f": [b"1", Path("a")], "t": ["x", "y"]},
    )

    assert ("POST", "/v9/new%20thing?x=%C3%BC", "POST /v9/new thing") == (call.method, call.path, call.operation)
    assert (
        Part("n", "1"),
        Part("b", "true"),
        Part("o", '{"a":[1]}', "application/json"),
        Part("f", ImageFile(b"1")),
        Part("f", ImageFile(Path("a"))),
        Part("t", "x"),
        Part("t", "y"),
    ) == call.form
    assert (1, True) == (call.weight, call.charged)


def test_raw_query() -> None:
    """A raw query repeats lists, and a GET is free even if the caller says otherwise."""
    call = encode_raw("get", "/x", params={"a": [1, "b"], "c": False}, charged=True, weight=5)

    assert (("a", "1"), ("a", "b"), ("c", "false")) == call.params
    assert (0, False, None, None) == (call.weight, call.charged, call.form, call.json)


def test_raw_json() -> None:
    """A raw body is JSON, even if it is empty; weight and cost are the caller's."""
    call = encode_raw("DELETE", "/x", json={}, charged=False, weight=0)

    assert (b"{}", 0, False) == (call.json, call.weight, call.charged)


@pytest.mark.parametrize("path", ["", "x", "//evil.com/x", "https://evil.com"])
def test_raw_path(path: str) -> None:
    """A raw path stays below the base URL."""
    with pytest.raises(InvalidRequestError, match="invalid raw call, nothing was sent:\n  path: must begin"):
        encode_raw("GET", path)


def test_raw_bodies_exclude_each_other() -> None:
    """A call has one body."""
    with pytest.raises(InvalidRequestError, match="fields: cannot be combined with json"):
        encode_raw("POST", "/x", json=1, fields={})


def test_raw_none() -> None:
    """In a raw call, as in a request, `None` is not sent."""
    call = encode_raw("POST", "/x", fields={"a": None, "b": 0}, params={"c": None, "d": ""})

    assert ((Part("b", "0"),), (("d", ""),)) == (call.form, call.params)


def test_raw_field_named_json() -> None:
    """A form may have a field named `json`, with a list of files too."""
    call = encode_raw("POST", "/x", fields={"json": [b"1", b"2"]})

    assert (Part("json", ImageFile(b"1")), Part("json", ImageFile(b"2"))) == call.form


def test_raw_tuples() -> None:
    """A name and bytes are one file; any other tuple is a list."""
    call = encode_raw("POST", "/x", fields={"f": ("a.png", b"1"), "t": ("x", "y"), "b": (b"1", b"2")})
    files = [Part("f", ImageFile(b"1", name="a.png")), Part("b", ImageFile(b"1")), Part("b", ImageFile(b"2"))]

    assert (files[0], Part("t", "x"), Part("t", "y"), *files[1:]) == call.form


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"method": "PO ST"}, ("method", "must be an HTTP method such as POST, not 'PO ST'")),
        ({"weight": "2"}, ("weight", "must be a whole number of images, not '2'")),
        ({"weight": -1}, ("weight", "must be a whole number of images, not -1")),
        ({"fields": {"f": [b"1", io.BytesIO(b"1")]}}, ("f", "bytes or a (name, bytes) pair, not BytesIO")),
        ({"fields": {"t": "\ud800"}}, ("t", "cannot be encoded in UTF-8: '\\ud800' at 0 is an unpaired surrogate")),
        ({"fields": {"o": {"a": math.nan}}}, ("o", "cannot be sent: Out of range")),
        ({"json": [math.inf]}, ("json", "cannot be sent: Out of range")),
        ({"json": {"a": "\ud800"}}, ("json", "cannot be sent: 'utf-8' codec")),
    ],
)
def test_raw_refuses(value: dict[str, Any], problem: tuple[str, str]) -> None:
    """A value that cannot be sent is refused by name before anything is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        encode_raw(**{"method": "POST", "path": "/x"} | value)

    ((field, message),) = caught.value.problems
    assert problem[0] == field
    assert problem[1] in message


def test_type_without_json() -> None:
    """A type that JSON does not have raises a `TypeError` with its name."""
    with pytest.raises(TypeError, match="cannot send a PosixPath"):
        encode_raw("POST", "/x", json={"a": Path("x")})


def test_form_of_one_image() -> None:
    """An image alone is a form of one part."""
    assert {"image": ImageFile(PNG)} == fields_of(encode(RemoveBackground(PNG)))
