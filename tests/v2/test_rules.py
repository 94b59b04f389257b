"""Rules of the second contract that are checked before sending: what breaks each, and what just keeps it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from support.clients import connected
from support.contract_v2 import ROUTES, request_problems
from support.pictures import mask, picture

from ideogram_async import AssetIdentifier, BadRequestError, Ideogram, JsonPrompt, v2
from ideogram_async.sandbox import Sandbox
from ideogram_async.v2._values import ResolutionV4

PNG, OTHER, BIG = picture(), picture(size=(32, 32)), picture(size=(640, 640))
MASK, OTHER_MASK, BIG_MASK = mask(), mask(size=(32, 32)), mask(size=(640, 640))
LONG, LONGER = picture(size=(600, 100)), picture(size=(610, 100))
WIDE, WIDER = picture(size=(300, 100)), picture(size=(310, 100))
MIB = 2**20
ASSET = AssetIdentifier(asset_type="RESPONSE", asset_id="x")
DRAW = (v2.Generate46, v2.Generate45, v2.Generate4, v2.Generate4Transparent, v2.Generate3)
EDITS = (v2.PreciseEdit46, v2.PreciseEdit45)
STYLED = [
    lambda **fields: v2.Generate3("x", **fields),
    lambda **fields: v2.Remix3(PNG, "x", **fields),
]
CODE = ["0a1B2c3D"]


def asset(kind: Any = "RESPONSE", **fields: Any) -> AssetIdentifier:
    return AssetIdentifier(**{"asset_type": kind, "asset_id": "x", **fields})


REFUSED: list[tuple[Any, str, str]] = [
    *[(kind(text), "prompt", "must not be empty") for kind in DRAW for text in ("", " \n")],
    *[(kind("x" * 10_001), "prompt", "has 10001 characters; at most 10000") for kind in DRAW],
    (v2.ReplaceBackground3(PNG, "x" * 4001), "prompt", "has 4001 characters; at most 4000"),
    (v2.Generate4(JsonPrompt("x" * 9_999)), "prompt", "at most 10000"),
    *[(kind(JsonPrompt("x")), "prompt", "does not accept a JsonPrompt") for kind in (v2.Generate3,)],
    *[(kind(PNG, JsonPrompt("x")), "prompt", "does not accept") for kind in (v2.Remix4, v2.Remix3)],
    *[(kind("x", num_images=n), "num_images", f"from 1 to 8, not {n}") for kind in DRAW for n in (0, 9)],
    *[(v2.Generate46("x", seed=n), "seed", "from 0 to 2147483647") for n in (-1, 2**31)],
    *[(v2.Remix3(PNG, "x", image_weight=n), "image_weight", "from 1 to 100") for n in (0, 101)],
    # Sizes
    *[
        (v2.Generate46("x", size=size), "size", message)
        for size, message in {
            "": "must be auto, source, or width by height",
            "large": "must be auto, source, or width by height",
            "2048X1024": "must be auto, source",
            "2048x1000": "multiples of 32",
            "224x1024": "at least 256",
            "256x1568": "at most 6:1",
            "4096x4128": "has 16908288 pixels; at most 16777216",
        }.items()
    ],
    (v2.Generate45("x", images=[PNG], size="2048x2080"), "size", "at most 4194304"),
    (v2.Generate45("x", images=[PNG], size="1280x720"), "size", "multiples of 32"),
    *[(kind("x", size="source"), "size", "source needs images") for kind in (v2.Generate46, v2.Generate45)],
    (v2.Generate46("x", quality="very_low", size="2048x2080"), "quality", "very_low is limited to 4194304"),
    (v2.Generate45("x", quality="very_low"), "quality", "very_low needs images"),
    (v2.Generate45("x", images=[LONGER]), "images", "at most 6:1, not 610x100"),
    (v2.ReplaceBackground3(WIDER, "x"), "image", "at most 3:1, not 310x100"),
    # Masks
    (v2.Generate45("x", mask=MASK), "mask", "needs files as images"),
    (v2.Generate45("x", mask=MASK, images=[ASSET]), "mask", "needs files as images"),
    (v2.Generate45("x", mask=MASK, images=[OTHER]), "mask", "32x32 pixels, not 64x48"),
    (v2.Generate45("x", mask=MASK, images=[PNG] * 5), "images", "at most 4 with a mask, not 5"),
    (v2.Generate45("x", mask=MASK, images=[PNG], size="auto"), "size", "cannot be combined with mask"),
    (v2.Generate45("x", images=[PNG] * 6), "images", "accepts at most 5, not 6"),
    (v2.Inpaint3(PNG, OTHER_MASK, "x"), "mask", "64x48 pixels, not 32x32"),
    *[(kind(PNG, "x", mask=OTHER_MASK), "mask", "64x48 pixels, not 32x32") for kind in EDITS],
    *[(kind(ASSET, "x", mask=MASK), "mask", "needs a file as image") for kind in EDITS],
    *[
        (kind(PNG, "x", mask=MASK, reference_images=[PNG] * 4), "reference_images", "at most 3 with a mask, not 4")
        for kind in EDITS
    ],
    *[(kind(PNG, "x", reference_images=[PNG] * 5), "reference_images", "at most 4, not 5") for kind in EDITS],
    *[(kind(PNG, "x", reference_images=[ASSET]), "reference_images", "only if image is one") for kind in EDITS],
    # Windows
    *[(kind(BIG, "x", context_window="auto"), "context_window", "auto needs a mask") for kind in EDITS],
    *[(kind(ASSET, "x", context_window=(0, 0, 256, 256)), "context_window", "needs a file") for kind in EDITS],
    *[(kind(BIG, "x", context_window=(256, 0, 0, 256)), "context_window", "rows come first") for kind in EDITS],
    *[(kind(BIG, "x", context_window="0,0,256"), "context_window", "must be none, auto, or") for kind in EDITS],
    (v2.PreciseEdit45(BIG, "x", context_window=(0, 0, 255, 256)), "context_window", "at least 256"),
    (v2.PreciseEdit45(BIG, "x", context_window=(0, 0, 300, 3000)), "context_window", "at most 6:1"),
    (v2.PreciseEdit45(BIG, "x", context_window=(0, 0, 2048, 2049)), "context_window", "at most 4194304"),
    # Characters and styles
    (v2.Generate3Character("x"), "character_reference_images", "needs one image"),
    (
        v2.Generate3Character("x", character_reference_images=[PNG], character_reference_collection_id="c"),
        "character_reference_images",
        "and not both",
    ),
    (v2.Generate3Character("x", character_reference_images=[PNG] * 2), "character_reference_images", "at most 1"),
    (
        v2.Generate3Character("x", character_reference_images=[PNG], character_reference_mask=OTHER_MASK),
        "character_reference_mask",
        "64x48 pixels, not 32x32",
    ),
    *[(make(style_preset="weird", style_codes=CODE), "style_preset", "with style_codes") for make in STYLED],
    *[
        (make(style_preset="weird", style_reference_images=[PNG]), "style_preset", "with style_reference_images")
        for make in STYLED
    ],
    *[
        (
            make(style_reference_images=[PNG], style_reference_collection_id="c"),
            "style_reference_collection_id",
            "cannot be combined with style_reference_images",
        )
        for make in STYLED
    ],
    *[(make(style_reference_images=[PNG] * 11), "style_reference_images", "at most 10") for make in STYLED],
    (v2.Generate3("x", resolution="1024x1024", aspect_ratio="1x1"), "aspect_ratio", "combined with resolution"),
    (v2.Remix3(PNG, "x", resolution="1024x1024", aspect_ratio="1x1"), "aspect_ratio", "combined with resolution"),
    (v2.Remix4(PNG, "x", image_weight=50, resolution="1024x1024"), "image_weight", "another shape"),
    # Closed lists have their own spelling
    (v2.Generate4("x", rendering_speed="TURBO"), "rendering_speed", "did you mean 'turbo'?"),  # type: ignore[arg-type]
    (v2.Generate3("x", color_palette="EMBER"), "color_palette", "did you mean 'ember'?"),
    (v2.MagicPrompt4("x", aspect_ratio="auto"), "aspect_ratio", "did you mean 'AUTO'?"),  # type: ignore[arg-type]
    # Files and assets
    *[
        (kind(picture(length=size * MIB + 1), *args), "image", f"at most {size * MIB} are allowed")
        for kind, args, size in [
            (v2.Remix4, ["x"], 50),
            (v2.UpscaleAuto, [], 50),
            (v2.Layerize3, [], 50),
            (v2.RemoveBackground, [], 25),
            (v2.Reframe3, ["1024x1024"], 25),
            (v2.Describe3, [], 10),
            (v2.Describe4, [], 10),
        ]
    ],
    (v2.RemoveBackground(b"GIF89a"), "image", "is not a PNG, JPEG or WebP file"),
    (v2.ReplaceBackground3(b"", "x"), "image", "is empty"),
    (v2.Layerize3(PNG, font_candidate_files=[b"x" * (5 * MIB + 1)]), "font_candidate_files", "at most 5242880"),
    (v2.Generate45("x", images=[PNG, ASSET]), "images", "must be either files or assets, not both"),
    (v2.RemoveBackground(asset("response")), "image", "asset_type 'response' is not one of"),
    (v2.RemoveBackground(asset(asset_id="")), "image", "asset_id must not be empty"),
    (v2.RemoveBackground(asset(collection_id="c" * 21)), "image", "collection_id must have 22"),
    (v2.Generate46("x", extra={"prompt": "y"}), "extra", "contains 'prompt'"),
    (v2.Generate46("x", extra={"images": []}), "extra", "contains 'images'"),
    (v2.Generate46("x", extra={"image_asset_identifiers": []}), "extra", "contains 'image_asset_identifiers'"),
    *[(v2.Generate46("x", extra={name: 1}), "extra", "not a further") for name in ("async", "webhook_url", "dry_run")],
    *[(v2.Custom("image", "a", "b", {name: 1}), "fields", "use client.submit") for name in ("async", "dry_run")],
    # Structured prompts
    (v2.Generate4(JsonPrompt(" ")), "prompt", "needs a description"),
    *[
        (v2.Generate4(JsonPrompt("x", elements=[v2.Obj("y", box=box)])), "prompt", "elements[0].box: must be y_min")
        for box in [(0, 0, 0, 1), (1, 0, 0, 1), (0, 0, 1, 1001), (-1, 0, 1, 1), (0, 0, 1), (0, 0, 1, 1.5)]
    ],
    (v2.Generate4(JsonPrompt("x", elements=[v2.Obj("y", colors=["#000000"] * 6)])), "prompt", "at most 5, not 6"),
    (v2.Generate4(JsonPrompt("x", style=v2.Style(colors=["#000000"] * 17))), "prompt", "at most 16, not 17"),
    *[
        (v2.Generate4(JsonPrompt("x", style=v2.Style(colors=[color]))), "prompt", "must be a color such as #1A1A1A")
        for color in ("#abc", "red", "1A1A1A")
    ],
]

ALLOWED: list[Any] = [
    *[kind("x" * 10_000, num_images=8, seed=0) for kind in DRAW],
    *[v2.Generate46("x", size=size) for size in ("auto", "256x1536", "4096x4096", "8192x2048")],
    v2.Generate46("x", size="source", images=[PNG]),
    v2.Generate46("x", quality="very_low", size="2048x2048"),
    v2.Generate46("x", images=[LONGER]),
    *[v2.Generate45("x", size=size) for size in get_args(ResolutionV4)],
    v2.Generate45("x", quality="very_low", images=[ASSET]),
    v2.Generate45("x", images=[LONG]),
    v2.Generate45("x", images=[PNG, OTHER] * 2, mask=MASK),
    v2.Generate45("x", images=[PNG] * 5),
    v2.Generate45("x", images=ASSET),
    v2.Generate45("x", images=[]),
    v2.ReplaceBackground3(WIDE, "x" * 4000),
    *[kind(BIG, "x", mask=BIG_MASK, context_window="auto", reference_images=[PNG] * 3) for kind in EDITS],
    *[kind(ASSET, "x", reference_images=[ASSET] * 4, context_window="none") for kind in EDITS],
    *[kind(BIG, "x", context_window=(0, 0, 256, 640)) for kind in EDITS],
    v2.PreciseEdit46(BIG, "x"),
    v2.Generate3Character("x", character_reference_collection_id="c"),
    v2.Generate3Character("x", character_reference_images=[PNG], character_reference_mask=MASK),
    v2.Generate3Character("x", character_reference_images=[ASSET]),
    *[make(style_codes=CODE, style_reference_images=[PNG]) for make in STYLED],
    v2.Inpaint3(PNG, MASK, "x", style_preset="weird", style_codes=CODE, style_reference_images=[PNG]),
    v2.Reframe3(PNG, "1024x1024", style_preset="weird", style_codes=CODE, style_reference_images=[PNG]),
    *[make(style_preset="weird") for make in STYLED],
    v2.Generate3("x", resolution="1024x1024", aspect_ratio="auto"),
    v2.Remix4(picture(size=(640, 640)), "x", image_weight=50, resolution="1024x1024"),
    v2.Remix4(ASSET, "x", image_weight=50, resolution="1024x1024"),
    v2.Describe3(picture(length=10 * MIB)),
    v2.RemoveBackground(asset(collection_id="c" * 22)),
    *[v2.RemoveBackground(asset(kind)) for kind in ("ASSET", "CANVAS_ASSET", "LAYERED_ASSET", "UPLOAD")],
    v2.Layerize3(PNG, font_candidate_files=[("a.ttf", b"font")]),
    v2.Generate46("x", extra={"background": "transparent"}),
    v2.Generate4(JsonPrompt("x", elements=[v2.Obj("y", box=(0, 0, 1000, 1000), colors=["#1a1A1a"] * 5)])),
    v2.Generate4(JsonPrompt("x", style=v2.Style(colors=["#1a1A1a"] * 16), elements=[v2.Text("a", "b")])),
    *[kind(PNG, JsonPrompt("x")) for kind in EDITS],
]

# What the sandbox does not check: the content of prompts, masks of characters, and further fields.
NOT_IN_SANDBOX: dict[str, tuple[str, ...]] = {
    "prompt": (
        "JsonPrompt",
        "does not accept",
        "must not be empty",
        "needs a",
        "elements",
        "must be a color",
        ", not 17",
        ", not 6",
    ),
    "character_reference_mask": ("",),
    "style_preset": ("with style_reference_images",),
    "context_window": ("rows come first",),
    "size": ("with mask",),
    "extra": ("",),
    "image": ("asset_id",),
}


def request_id(value: Any) -> str:
    return type(value).__name__ if hasattr(value, "endpoint") else str(value)[:30]


@pytest.mark.parametrize(("request_", "field", "rule"), REFUSED, ids=request_id)
def test_refused(request_: Any, field: str, rule: str) -> None:
    """A request that breaks a rule is refused, with the name of the field."""
    found = [text for name, text in request_.problems() if name == field]

    assert any(rule in text for text in found), request_.problems()


@pytest.mark.parametrize("request_", ALLOWED, ids=request_id)
async def test_allowed(client: Ideogram, sandbox: Sandbox, request_: Any) -> None:
    """A request that just keeps the rules has no problems, and the service accepts it."""
    problems = request_.problems()
    await client.send(request_)
    received = next(request for request in sandbox.requests if request.method == "POST")

    assert [] == problems
    assert [] == request_problems(received)


SENDABLE = [
    (request_, field)
    for request_, field, rule in REFUSED
    if str(request_.endpoint) in ROUTES and not any(words in rule for words in NOT_IN_SANDBOX.get(field, ()))
]


@pytest.mark.parametrize(("request_", "field"), SENDABLE, ids=request_id)
async def test_the_service_refuses_it_too(sandbox: Sandbox, request_: Any, field: str) -> None:
    """What is refused before sending is what the service refuses, and nothing else."""
    async with connected(sandbox.url, validate=False) as client:
        with pytest.raises(BadRequestError):
            await client.send(request_)

    assert () == sandbox.ledger.entries


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (v2.RemoveBackground(asset(asset_id=5)), ("image", "asset_id must be a string, not int")),
        (v2.RemoveBackground(asset(None)), ("image", "asset_type must be a string, not None")),
        (
            v2.Generate45("x", images=[ASSET, asset(collection_id=b"x")]),
            ("images", "[1] collection_id must be a string, not bytes"),
        ),
        (v2.Generate46("x", size=1024), ("size", "must be a string such as '2048x1024', not int")),  # type: ignore[arg-type]
        (v2.Generate46("x", extra=[1]), ("extra", "must be a dict, not list")),  # type: ignore[arg-type]
        (v2.Generate46("x", extra={1: 2}), ("extra", "must have names of type str, not int")),  # type: ignore[dict-item]
        (
            v2.PreciseEdit45(PNG, "x", context_window=(0, 0, 1)),
            ("context_window", "must be a string, or four whole numbers, not tuple"),
        ),  # type: ignore[arg-type]
        (v2.GetAccountUsage("2026-01-01"), ("start_time", "must be a datetime, not str")),  # type: ignore[arg-type]
    ],
    ids=lambda value: None if isinstance(value, tuple) else request_id(value),
)
def test_wrong_types(request_: Any, problem: tuple[str, str]) -> None:
    """A value of a wrong type is refused, also without validation."""
    assert [problem] == request_.problems(validate=False)


def test_numbers_that_json_does_not_have() -> None:
    """NaN and infinity in further fields are refused, with the message of the running Python."""
    [(field, message)] = v2.Generate46("x", extra={"a": float("nan")}).problems()

    assert "extra" == field
    assert message.startswith("cannot be sent as JSON: 'Out of range float values are not JSON compliant")
