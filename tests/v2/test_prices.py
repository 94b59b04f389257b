"""Price estimates of the second contract, compared with the bills of the sandbox."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from support.pictures import mask, picture

from ideogram_async import AssetIdentifier, Ideogram, JsonPrompt, Unchecked, v2
from ideogram_async._prices import PriceTable
from ideogram_async.sandbox import Sandbox

PNG, LARGE = picture(), "2048x2080"
ASSET = AssetIdentifier(asset_type="RESPONSE", asset_id="x")
QUALITIES = ("very_low", "low", "medium", "high", None)
SPEEDS = ("turbo", "default", "quality", None)
BY_SPEED: list[tuple[Any, tuple[str | None, ...]]] = [
    (lambda **fields: v2.Generate4("x", **fields), ("0.03", "0.06", "0.10", "0.06")),
    (lambda **fields: v2.Remix4(PNG, "x", **fields), ("0.03", "0.06", "0.10", "0.06")),
    (lambda **fields: v2.Generate3("x", **fields), ("0.03", "0.06", "0.09", "0.06")),
    (lambda **fields: v2.Inpaint3(PNG, mask(), "x", **fields), ("0.03", "0.06", "0.09", "0.06")),
    (lambda **fields: v2.Remix3(PNG, "x", **fields), ("0.03", "0.06", "0.09", "0.06")),
    (lambda **fields: v2.Reframe3(PNG, "1024x1024", **fields), ("0.03", "0.06", "0.09", "0.06")),
    (lambda **fields: v2.ReplaceBackground3(PNG, "x", **fields), ("0.03", "0.06", "0.09", "0.06")),
    (
        lambda **fields: v2.Generate3Character("x", character_reference_images=[PNG], **fields),
        ("0.10", "0.15", "0.20", "0.15"),
    ),
    (lambda **fields: v2.Generate4Transparent("x", **fields), (None, "0.06", None, "0.06")),
]
EXACT: list[tuple[Any, str | None]] = [
    *[
        (make(rendering_speed=speed), usd)
        for make, prices in BY_SPEED
        for speed, usd in zip(SPEEDS, prices, strict=True)
    ],
    *[
        (v2.Generate46("x", quality=quality, size=size), usd)
        for size, prices in {
            "auto": ("0.008", "0.03", "0.06", "0.10", "0.10"),
            "2048x2048": ("0.008", "0.03", "0.06", "0.10", "0.10"),
            LARGE: (None, "0.06", "0.12", "0.20", "0.20"),
        }.items()
        for quality, usd in zip(QUALITIES, prices, strict=True)
        if usd
    ],
    (v2.Generate46("x", size="auto", num_images=8), "0.80"),
    *[
        (v2.Generate45("x", quality=quality, images=[PNG]), usd)
        for quality, usd in zip(QUALITIES[:-1], (None, "0.03", "0.06", "0.10"), strict=True)
    ],
    (v2.Generate45("x"), "0.10"),
    (v2.Generate45(JsonPrompt("x"), num_images=3), "0.30"),
    *[
        (v2.PreciseEdit45(PNG, "x", quality=quality), usd)
        for quality, usd in zip(QUALITIES[:-1], ("0.008", "0.03", "0.06", "0.22"), strict=True)
    ],
    (v2.RemoveBackground(ASSET), "0.01"),
    (v2.Layerize3(PNG), "0.09"),
    (v2.Describe3(PNG), "0.01"),
    (v2.Describe4(PNG), "0.01"),
    (v2.GetGeneration("g"), "0"),
    (v2.GetAccountUsage(date(2026, 1, 1)), "0"),  # type: ignore[arg-type]
]
# What the service may choose is estimated by its highest price.
HIGHEST: list[tuple[Any, str | None]] = [
    (v2.Generate46("x"), "0.20"),
    (v2.Generate46("x", images=[PNG], size="source", quality="low"), "0.06"),
    (v2.Generate45("x", images=[PNG]), "0.10"),
    (v2.PreciseEdit45(PNG, "x"), "0.22"),
    (v2.Generate46("x", quality="very_low"), "0.008"),
]
UNKNOWN: list[Any] = [
    v2.PreciseEdit46(PNG, "x"),
    v2.UpscaleAuto(PNG),
    v2.MagicPrompt4("x"),
    v2.Generate4Transparent("x", output_resolution="2k"),
    v2.Generate46("x", size="auto", quality=Unchecked("ultra")),
    v2.Generate46("x", size=LARGE, quality="very_low"),
    v2.Generate46("x", size="auto", extra={"background": "transparent"}),
    v2.Custom("image", "remove-background", "ideogram-1"),
    v2.Custom("image", "generate", "ideogram-4-6", {"quality": "low"}),
    *[v2.Generate45("x", num_images=n) for n in (0, "2", 2.5)],  # type: ignore[arg-type]
]


def price_id(value: Any) -> str:
    fields = ("quality", "rendering_speed", "size", "num_images")
    values = [str(getattr(value, name)) for name in fields if getattr(value, name, None) is not None]
    return " ".join([type(value).__name__, *values]) if hasattr(value, "endpoint") else str(value)


@pytest.mark.parametrize(("request_", "usd"), [*EXACT, *HIGHEST], ids=price_id)
def test_table(request_: Any, usd: str | None) -> None:
    """A request has the price of its operation, tier and area; what is left open counts with its highest price."""
    expected = None if usd is None else Decimal(usd)

    assert expected == PriceTable().estimate(request_).usd


@pytest.mark.parametrize("request_", UNKNOWN, ids=price_id)
def test_unknown(request_: Any) -> None:
    """An unpublished price is unknown, and so is that of fields which the contract does not list."""
    assert None is PriceTable().estimate(request_).usd


def test_sources() -> None:
    """A price has its source and date. Those of a preview are marked."""
    known, preview = PriceTable().estimate(v2.Generate45("x")), PriceTable().estimate(v2.Generate46("x"))

    assert (date(2026, 11, 16), "https://ideogram.ai/blog/ideogram-api-pricing") == (known.as_of, known.source)
    assert "https://fal.ai/models/ideogram/v4.6/llms.txt (preview)" == preview.source


def test_override() -> None:
    """A caller's rate replaces that of one operation and tier."""
    client = Ideogram("key", prices={"v2/generate/ideogram-4-6.low": "0.02"})

    assert Decimal("0.02") == client.estimate(v2.Generate46("x", quality="low", size="auto")).usd
    assert Decimal("0.06") == client.estimate(v2.Generate46("x", quality="low", size=LARGE)).usd


CHARGED = [(request_, usd) for request_, usd in EXACT if request_.endpoint.charged and usd]


@pytest.mark.parametrize(("request_", "usd"), CHARGED, ids=price_id)
async def test_bill(client: Ideogram, sandbox: Sandbox, request_: Any, usd: str) -> None:
    """The sandbox bills the estimated price."""
    await client.send(request_)
    await sandbox.wait_idle()

    assert Decimal(usd) == sandbox.ledger.billed_usd
