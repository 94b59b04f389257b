"""Price estimates, compared with the bills of the sandbox."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.pictures import picture
from support.schemas import REQUESTS
from support.variants import VARIANTS, Stage, variant

from ideogram_async import Ideogram, Unchecked
from ideogram_async._prices import PriceTable
from ideogram_async.enums import ModelEnum, RenderingSpeed
from ideogram_async.requests import (
    CreateDataset,
    Describe,
    Edit,
    Generate,
    GenerateTransparent,
    GetModel,
    Inpaint,
    LayerizeText,
    LegacyEdit,
    LegacyEditV3,
    LegacyGenerate,
    LegacyReframe,
    LegacyRemix,
    ListModels,
    Reframe,
    Remix,
    RemoveBackground,
    ReplaceBackground,
    TrainModel,
    UploadDatasetAssets,
    Upscale,
)
from ideogram_async.sandbox import Sandbox

PNG = picture()
URI, FACE = "model/red/version/1", {"character_reference_images": [PNG]}
SPEEDS = ("FLASH", "TURBO", "DEFAULT", "QUALITY", None)
SIZE = "RESOLUTION_1280_704"

V3 = {
    "generate": lambda **fields: Generate("x", **fields),
    "inpaint": lambda **fields: Inpaint(PNG, PNG, "x", **fields),
    "edit_v3": lambda **fields: LegacyEditV3(PNG, PNG, "x", **fields),
    "remix": lambda **fields: Remix(PNG, "x", **fields),
    "reframe": lambda **fields: Reframe(PNG, "1024x1024", **fields),
    "replace_background": lambda **fields: ReplaceBackground(PNG, "x", **fields),
}
LEGACY = {
    "generate": lambda model: LegacyGenerate("x", model=model),
    "remix": lambda model: LegacyRemix(PNG, "x", model=model),
    "reframe": lambda model: LegacyReframe(PNG, SIZE, model=model),
    "edit": lambda model: LegacyEdit(PNG, PNG, "x", model=model),
}
ALL_V3 = dict(zip(SPEEDS, ("0.03", "0.03", "0.06", "0.09", "0.06"), strict=True))
MODELS = {
    "V_1": "0.06",
    "V_1_TURBO": "0.02",
    "V_2": "0.08",
    "V_2_TURBO": "0.05",
    "V_2A": "0.04",
    "V_2A_TURBO": "0.025",
    None: "0.08",
}

PRICES: list[tuple[Any, str | None]] = [
    *[(make(rendering_speed=speed), usd) for make in V3.values() for speed, usd in ALL_V3.items()],
    *[
        (V3[name](rendering_speed=speed, **FACE), usd)
        for name in ("generate", "inpaint", "edit_v3", "remix")
        for speed, usd in zip(SPEEDS, (None, "0.10", "0.15", "0.20", "0.15"), strict=True)
    ],
    *[
        (Generate("x", custom_model_uri=URI, rendering_speed=speed), usd)
        for speed, usd in zip(SPEEDS, (None, "0.06", "0.12", "0.18", "0.12"), strict=True)
    ],
    (Generate("x", custom_model_uri=URI, **FACE), None),
    *[
        (GenerateTransparent("x", upscale_factor=factor, rendering_speed=speed), usd)
        for factor, prices in {
            None: (None, "0.04", "0.07", "0.10", "0.07"),
            "X1": (None, "0.04", "0.07", "0.10", "0.07"),
            "X2": (None, "0.16", "0.19", "0.22", "0.19"),
            "X4": (None, "0.20", "0.23", "0.26", "0.23"),
        }.items()
        for speed, usd in zip(SPEEDS, prices, strict=True)
    ],
    *[(make(model), usd) for make in LEGACY.values() for model, usd in MODELS.items()],
    *[(make("AUTO"), None) for make in LEGACY.values()],
    (LegacyGenerate("x", model=ModelEnum.V_2_TURBO, num_images=8), "0.40"),
    (Generate("x", num_images=3, rendering_speed=RenderingSpeed.QUALITY), "0.27"),
    (Generate("x", num_images=8, **FACE), "1.20"),
    (Edit("x", images=[PNG], num_images=2), "0.40"),
    (RemoveBackground(PNG), "0.01"),
    (LayerizeText(PNG), "0.09"),
    (Describe(PNG), "0.01"),
    (Upscale(PNG), "0.06"),
    (Upscale(PNG, num_images=4), "0.06"),
    (TrainModel("d", "red foxes"), "40"),
    (ListModels(), "0"),
    (GetModel("m"), "0"),
    (CreateDataset("x"), None),
    (UploadDatasetAssets("d", [PNG]), None),
    (Generate("x", rendering_speed=Unchecked("BALANCED")), None),
    *[(Generate("x", num_images=n), None) for n in (0, -3, "3", 2.5, [])],
]


def price_id(value: Any) -> str:
    if isinstance(value, str | None):
        return str(value)

    fields = ("model", "rendering_speed", "upscale_factor", "num_images")
    values = [str(getattr(value, name)) for name in fields if getattr(value, name, None) is not None]
    return " ".join([type(value).__name__, *values])


@pytest.mark.parametrize(("request_", "usd"), PRICES, ids=price_id)
def test_table(request_: Any, usd: str | None) -> None:
    """Each request has the price of its operation, speed, model and number of images; an unknown price is `None`."""
    expected = None if usd is None else Decimal(usd)

    assert expected == PriceTable().estimate(request_).usd


def test_price_has_a_source() -> None:
    """A price contains the price of one image, its source and its date."""
    price = PriceTable().estimate(Generate("x", num_images=2))

    assert (Decimal("0.12"), Decimal("0.06"), date(2026, 11, 16)) == (price.usd, price.per_image, price.as_of)
    assert "https://ideogram.ai/features/api-pricing" == price.source


def test_unknown_price_has_no_source() -> None:
    """An unknown price has no amount, date or source."""
    price = PriceTable().estimate(LegacyGenerate("x", model="AUTO"))

    assert (None, None, None, None) == (price.usd, price.per_image, price.as_of, price.source)


# ---- overrides


@pytest.mark.parametrize("usd", ["0.025", 0.025, Decimal("0.025")], ids=repr)
def test_override(usd: Any) -> None:
    """A caller's rate replaces the bundled one exactly, and no other."""
    client = Ideogram("key", prices={"v3.TURBO": usd})
    price = client.estimate(Generate("x", rendering_speed="TURBO", num_images=3))

    assert (Decimal("0.075"), None, "caller") == (price.usd, price.as_of, price.source)
    assert Decimal("0.06") == client.estimate(Generate("x")).usd
    assert Decimal("0.03") == Ideogram("key").estimate(Generate("x", rendering_speed="TURBO")).usd


def test_override_leaves_the_unknown() -> None:
    """An override of another rate leaves an unknown price unknown; a rate of zero is allowed."""
    client = Ideogram("key", prices={"v3-character.TURBO": 0, "V_2": "1"})

    assert None is client.estimate(Generate("x", rendering_speed="FLASH", **FACE)).usd
    assert None is client.estimate(LegacyGenerate("x", model="AUTO")).usd
    assert Decimal(0) == client.estimate(Generate("x", rendering_speed="TURBO", **FACE)).usd


@pytest.mark.parametrize("usd", ["", "free", "-0.01", -1, float("nan"), float("inf"), None, True, "1,5"], ids=repr)
def test_invalid_price(usd: Any) -> None:
    """A value that is not an amount of money is refused immediately, with the name of its rate."""
    with pytest.raises(ValueError, match=r"prices: v3\.TURBO must be an amount in USD, not"):
        Ideogram("key", prices={"v3.TURBO": usd})


@pytest.mark.parametrize("name", ["v3.turbo", "v3.BALANCED", "AUTO", ""])
def test_unknown_rate(name: str) -> None:
    """An unknown rate is refused, and the error lists the known ones."""
    with pytest.raises(ValueError, match=f"unknown rate '{name}'; expected one of V_1, V_1_TURBO,"):
        Ideogram("key", prices={name: "1"})


# ---- the sandbox bills the same


def billable(request_: Any, usd: str | None) -> bool:
    """Return whether a request costs money and can be sent to a new sandbox."""
    is_known = usd not in (None, "0") and not request_.problems()
    return is_known and not isinstance(request_, TrainModel) and not getattr(request_, "custom_model_uri", None)


BILLABLE = [(request_, usd) for request_, usd in PRICES if billable(request_, usd)]


@pytest.mark.parametrize(("request_", "usd"), BILLABLE, ids=price_id)
async def test_bill(client: Ideogram, sandbox: Sandbox, request_: Any, usd: str) -> None:
    """The sandbox bills the estimated price."""
    await client.send(request_)

    assert Decimal(usd) == client.estimate(request_).usd == sandbox.ledger.billed_usd


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
async def test_bill_of_every_operation(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, kind: type[Any], which: str
) -> None:
    """The sandbox bills the estimated price of every operation with all its fields, and nothing if it is unknown."""
    request, _ = variant(kind, which, await Stage.prepare(client, sandbox, tmp_path))
    before = sandbox.ledger.billed_usd
    await client.send(request)
    estimate = client.estimate(request).usd
    # A custom model with a character reference is billed like any character: no source lists its price.
    is_unpriced = estimate is None and getattr(request, "custom_model_uri", None)

    assert is_unpriced or (estimate or Decimal(0)) == sandbox.ledger.billed_usd - before
